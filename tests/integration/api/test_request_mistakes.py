"""Mistakes in requests: the message names the place in people's words, unknown names first."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.in_process import in_process

SESSION = {"kind": "session", "scenarios": {"bath": ["base"]}}

Refused = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def refused() -> Iterator[Refused]:
    """Ask a server with one session, whose id goes into the path; return the status and the error."""
    with in_process() as client:
        run = client.post("/runs", json=SESSION).json()["id"]

        def ask(
            method: str, path: str, body: Any = None, content: str | None = None
        ) -> tuple[int, dict[str, Any]]:
            headers = {} if content is None else {"Content-Type": "application/json"}
            answer = client.request(method, path.format(run=run), json=body, content=content, headers=headers)
            return answer.status_code, answer.json()["error"]

        yield ask


def settings_of(**given: Any) -> dict[str, Any]:
    return {"settings": {"bath": {"base": given}}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"steps": 1.5}, "`steps` must be a whole number, got 1.5."),
        ({"steps": 0}, "`steps` must be at least 1, got 0."),
        ({"steps": None}, "`steps` must be a whole number, got null."),
        ({"steps": True}, "`steps` must be a whole number, got true."),
        ({"steps": "two"}, "`steps` must be a whole number, got text."),
        ({"steps": 2**60}, f"`steps` must be at most {2**53 - 1}, got {2**60}."),
        ({"expected_step": 2.5}, "`expected_step` must be a whole number, got 2.5."),
        ([], "The body must be an object, got a list."),
        ({"setings": {}}, "`setings` is not known here: did you mean settings?"),
        ({"settings": []}, "`settings` must be an object, got a list."),
        ({"settings": {"bath": {"base": 3}}}, "`settings.bath.base` must be an object, got 3."),
        (
            settings_of(constants={"tap": "fast"}),
            "`settings.bath.base.constants.tap` must be a number, got text.",
        ),
        (
            settings_of(points={"curve": [[1, 2], [3]]}),
            "`settings.bath.base.points.curve.1` must have at least 2 entries, got 1.",
        ),
        (
            settings_of(points={"curve": [[1, 2], [3, {}]]}),
            "`settings.bath.base.points.curve.1.1` must be a number, got an object.",
        ),
        (
            settings_of(constant={}),
            "`settings.bath.base.constant` is not known here: did you mean constants?",
        ),
        (
            settings_of(constants={"tpa": 1}),
            "'settings.bath.base.constants.tpa' can't be set to 1.0: the model has no such constant. "
            "Did you mean 'tap'?",
        ),
        (
            settings_of(points={"curv": [[0, 0], [1, 1]]}),
            "'settings.bath.base.points.curv' can't be set to [[0.0, 0.0], [1.0, 1.0]]: the model has no "
            "points of that name. Did you mean 'curve'?",
        ),
        (
            {"steps": 100_000},
            "The steps of a request may be at most 10000, not 100000; PERDURE_MAX_STEPS_PER_REQUEST raises "
            "it.",
        ),
    ],
)
def test_a_mistake_in_a_step_names_its_place(refused: Refused, body: Any, message: str) -> None:
    status, error = refused("POST", "/runs/{run}/steps", body)
    assert (status, error["message"]) == (422, message)


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("GET", "/runs/{run}/steps?after=x", None, "The parameter `after` must be a whole number."),
        ("GET", "/runs/{run}/steps?limit=0", None, "The parameter `limit` must be at least 1."),
        (
            "GET",
            "/runs/{run}/results?limt=1",
            None,
            "The parameter `limt` is not known here: did you mean limit?",
        ),
        (
            "GET",
            "/runs?limit=1_0",
            None,
            "The parameter `limit` must be a whole number of at most 16 digits.",
        ),
        (
            "GET",
            "/runs/{run}/results?format=cvs",
            None,
            "The parameter `format` must be 'csv' or 'json': did you mean csv?",
        ),
        (
            "POST",
            "/runs/{run}/savepoints",
            {"name": "n" * 201},
            "`name` must have at most 200 characters, got 201.",
        ),
        ("GET", "/runs?limit=1&limit=2", None, "The parameter `limit` is given twice."),
        ("GET", "/runs?curser=1", None, "The parameter `curser` is not known here: did you mean cursor?"),
        ("GET", "/runs/{run}/events?x=1", None, "The query must be empty: this route takes no parameters."),
        ("GET", "/runs/a!b/steps", None, "The path's `run_id` must match ^[A-Za-z0-9_-]{1,64}$."),
        ("PATCH", "/runs/{run}/savepoints/x", {}, "The path's `timestamp` must be a whole number."),
        ("POST", "/runs", 3, "The body must be an object, got 3."),
        ("POST", "/runs", {**SESSION, "dt": 0}, "`dt` must be more than 0, got 0."),
        ("POST", "/runs", {**SESSION, "seed": 0.5}, "`seed` must be a whole number, got 0.5."),
        ("POST", "/runs", {**SESSION, "scenarios": {"bath": []}}, "`scenarios.bath` must not be empty."),
        ("POST", "/runs", {**SESSION, "outputs": [1]}, "`outputs.0` must be text, got 1."),
        ("POST", "/runs", {"kind": "task", "task": "", "input": {}}, "`task` must not be empty."),
        ("POST", "/runs/{run}/fork", {"step": -1}, "`step` must be at least 0, got -1."),
        (
            "POST",
            "/runs/{run}/forks",
            {"forks": [{"stoptime": "x"}]},
            "`forks.0.stoptime` must be a number, got text.",
        ),
        (
            "PUT",
            "/runs/{run}/state",
            {"state": 1},
            "`state` must be 'stopped', 'paused', 'started', 'completed' or 'failed', got 1.",
        ),
        ("POST", "/runs/{run}/savepoints", {"pinned": "yes"}, "`pinned` must be true or false, got text."),
        (
            "POST",
            "/runs",
            {"kind": "task", "task": "add", "input": {"numbers": [1, "x"]}},
            "The input of the task 'add' is wrong: input.numbers.1 must be a whole number.",
        ),
    ],
)
def test_a_mistake_in_any_request_is_in_peoples_words(
    refused: Refused, method: str, path: str, body: Any, message: str
) -> None:
    status, error = refused(method, path, body)
    assert (status, error["message"]) == (422, message)


@pytest.mark.parametrize(
    ("path", "body", "where", "meant"),
    [
        ("/runs", {"scenario": {"bath": ["base"]}}, ["scenario", "kind"], "scenarios"),
        ("/runs", {"kind": "session", "scenario": {}}, ["scenario", "scenarios"], "scenarios"),
        ("/runs", {"kin": "session", "scenarios": {}}, ["kin", "kind"], "kind"),
        ("/runs", {"kind": "sesion"}, ["kind"], "session"),
        ("/runs", {"kind": "task", "tsk": "add"}, ["tsk", "task", "input"], "task"),
        ("/runs", {**SESSION, "sed": 1, "dt": 0}, ["sed", "dt"], "seed"),
        ("/runs/{run}/forks", {"forks": [{"sed": 1}]}, ["forks.0.sed"], "seed"),
        ("/runs/{run}/steps", {"step": 1, "expected_step": 0}, ["step", "expected_step"], "steps"),
    ],
)
def test_an_unknown_name_comes_first_with_the_one_that_was_meant(
    refused: Refused, path: str, body: Any, where: list[str], meant: str
) -> None:
    status, error = refused("POST", path, body)
    assert status == 422
    assert [one["where"] for one in error["details"]["errors"]] == [f"body.{name}" for name in where]
    assert error["message"].endswith(f"did you mean {meant}?")
    assert error["details"]["suggestion"] == error["details"]["errors"][0]["suggestion"] == meant


@pytest.mark.parametrize(
    ("path", "body", "meant"),
    [
        ("/runs", {"kind": "session", "scenarios": {"bth": ["base"]}}, "bath"),
        ("/runs", {"kind": "session", "scenarios": {"bath": ["bas"]}}, "base"),
        ("/runs", {**SESSION, "outputs": ["watr"]}, "water"),
        ("/runs", {"kind": "task", "task": "ad", "input": {}}, "add"),
        ("/runs/{run}/steps", {"settings": {"bath": {"bse": {}}}}, "base"),
        ("/runs/{run}/steps", settings_of(constants={"tpa": 1}), "tap"),
    ],
)
def test_a_suggestion_is_the_name_alone(refused: Refused, path: str, body: Any, meant: str) -> None:
    _, error = refused("POST", path, body)
    assert error["details"]["suggestion"] == meant
    assert error["message"].count("Did you mean") == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/runs", {"kind": "session", "scenarios": {"qqqqqq": ["base"]}}),
        ("/runs", {"kind": "task", "task": "qqqqqq", "input": {}}),
        ("/runs/{run}/steps", settings_of(constants={"qqqqqq": 1})),
    ],
)
def test_where_no_name_is_like_it_there_is_no_suggestion(refused: Refused, path: str, body: Any) -> None:
    _, error = refused("POST", path, body)
    assert "suggestion" not in error["details"]
    assert "mean" not in error["message"]


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        (
            "/runs/{run}/steps",
            '{"settings": {"bath": {"base": {"constants": {"tap": 1e400}}}}}',
            "settings.bath.base.constants.tap",
        ),
        (
            "/runs/{run}/steps",
            '{"settings": {"bath": {"base": {"points": {"curve": [[0, -1e400]]}}}}}',
            "settings.bath.base.points.curve.0.1",
        ),
        ("/runs", '{"kind": "task", "task": "add", "input": {"numbers": [1, 1e400]}}', "input.numbers.1"),
    ],
)
def test_a_number_out_of_range_is_named_by_its_place(
    refused: Refused, path: str, body: str, place: str
) -> None:
    status, error = refused("POST", path, content=body)
    assert (status, error["code"]) == (422, "invalid_request")
    assert error["message"].startswith(f"`{place}` must be a finite number, got ")


def test_texts_that_a_client_sent_are_not_repeated(refused: Refused) -> None:
    for body in ({**SESSION, "seed": "secret"}, {**SESSION, "outputs": "secret"}, {"kind": "secret"}):
        _, error = refused("POST", "/runs", body)
        assert "secret" not in str(error)
