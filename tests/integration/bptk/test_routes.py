"""BPTK's routes over HTTP: what is refused and how, whose web pages may call, whose instances are seen."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.support.bptk_servers import MANAGER, client_of, example_factory

from perdure.api.app import create_app
from perdure.bptk import BptkServer
from perdure.dialects.bptk.client import BptkClient, InProcess
from perdure.dialects.bptk.handlers import FIXED, OF_INSTANCE
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore

SESSION = {"scenario_managers": [MANAGER], "scenarios": ["base"], "equations": ["customers"]}
JSON = "application/json"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[BptkClient]:
    with client_of("memory", tmp_path) as made:
        yield made


@pytest.fixture
def instance(client: BptkClient) -> str:
    started: str = client.post("/start-instance").get_json()["instance_uuid"]
    assert client.post(f"/{started}/begin-session", json=SESSION).status_code == 200
    return started


def served(**settings: Any) -> BptkClient:
    """Return a client of an app as `perdure serve` has it."""
    return BptkClient(InProcess(create_app(MemoryStore(), example_factory().catalogue, Settings(**settings))))


def setting(kind: str, values: Any) -> dict[str, Any]:
    return {"settings": {MANAGER: {"base": {kind: values}}}}


# What is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        setting("constants", {"word_of_mouth_success": value})
        for value in (None, "0.5", True, [0.5], {}, 10**400)
    ]
    + [setting("constants", values) for values in (5, [1], "x")]
    + [{"settings": value} for value in (5, [], "x", {MANAGER: 5}, {MANAGER: {"base": [1]}})]
    + [setting("constants", {"market_saturation": 1.0})],  # a converter
)
def test_wrong_values_are_a_clients_mistake_and_change_nothing(
    client: BptkClient, instance: str, settings: dict[str, Any]
) -> None:
    for path, more in (
        (f"/{instance}/run-step", {}),
        (f"/{instance}/run-steps", {"numberSteps": 2}),
        (f"/{instance}/stream-steps", {}),
        (f"/{instance}/begin-session", SESSION),
        ("/run", SESSION),
    ):
        answer = client.post(path, data=json.dumps({**settings, **more}), content_type=JSON)
        assert 400 <= answer.status_code < 500, path
        assert answer.get_json().keys() == {"error"}
    taken = client.post(f"/{instance}/run-step").get_json()
    assert taken == {MANAGER: {"base": {"customers": {"1.0": 0.0}}}}


def test_numbers_that_json_has_not_are_refused(client: BptkClient, instance: str) -> None:
    for literal in ("NaN", "Infinity", "-Infinity", "1e999"):
        body = json.dumps(setting("constants", {"word_of_mouth_success": 0.5})).replace("0.5", literal)
        answer = client.post(f"/{instance}/run-step", data=body, content_type=JSON)
        assert answer.status_code in (400, 422)
        assert "error" in answer.get_json()


def test_what_the_model_has_not_is_left_out(client: BptkClient, instance: str) -> None:
    body = {
        "settings": {
            MANAGER: {
                "base": {"constants": {"nothing": 1.0, "word_of_mouth_success": 0.7}, "agents": [1]},
                "none": {"constants": {"x": 1}},
            },
            "nobody": {"base": {}},
        }
    }
    for customers in (0.0, 1000.0, 8866.666666666664):
        answer = client.post(f"/{instance}/run-step", json={**body, "flatResults": True})
        assert answer.get_json() == {MANAGER: {"base": {"customers": customers}}}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"scenario_managers": ["sddsl_customer_aquisition"]}, f"Did you mean '{MANAGER}'?"),
        ({"scenarios": ["bose"]}, "Did you mean 'base'?"),
        ({"equations": ["custmers"]}, "Did you mean 'customers'?"),
    ],
)
def test_an_unknown_name_is_a_404_with_a_suggestion(
    client: BptkClient, instance: str, changed: dict[str, Any], named: str
) -> None:
    for path in (f"/{instance}/begin-session", "/run"):
        answer = client.post(path, json={**SESSION, **changed})
        assert answer.status_code == 404
        assert named in answer.get_json()["error"]
    assert client.post(f"/{instance}/run-step").status_code == 200  # the session is still the former one


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/run", None, "please pass the request with content-type application/json"),
        ("/equations", None, "please pass the request with content-type application/json"),
        ("/agents", None, "please pass the request with content-type application/json"),
        ("/execute", None, "please pass the request with content-type application/json"),
        ("/equations", {}, "expecting scenarioManager or scenario_manager to be set"),
        ("/equations", {"scenarioManager": MANAGER}, "expecting scenario to be set"),
        ("/agents", {"scenario_manager": MANAGER}, "expecting scenarioManager to be set"),
        ("/agents", {"scenarioManager": MANAGER}, "expecting scenario to be set"),
        ("/agents", {"scenarioManager": MANAGER, "scenario": "base"}, "expecting the model to have agents"),
        ("/run", {**SESSION, "equations": [], "agents": ["x"]}, "expecting the model to have agents"),
        ("/run", {**SESSION, "equations": []}, "expecting either equations or agents to be set"),
        ("/execute", {}, "missing required field: model"),
        ("/execute", {"model": {}}, "missing required field: equations"),
        ("/execute", {"model": {}, "equations": []}, "equations must be a non-empty list"),
        (
            "/ID/begin-session",
            {**SESSION, "backend": "julia"},
            "backend must be 'python' or 'rust', got 'julia'",
        ),
        ("/ID/stream-steps", {}, "expecting settings to be set"),
        ("/nobody/run-step", None, "expecting a valid instance id to be given"),
        ("/nobody/keep-alive", None, "expecting a valid instance id to be given"),
        ("/nobody/end-session", None, "expecting a valid instance id to be given"),
    ],
)
def test_mistakes_are_named_as_bptk_names_them(
    client: BptkClient, instance: str, path: str, body: dict[str, Any] | None, text: str
) -> None:
    sent = {} if body is None else {"json": body}
    answer = client.post(path.replace("ID", instance), **sent)
    assert 400 <= answer.status_code < 500
    assert answer.get_json() == {"error": text}


@pytest.mark.parametrize("number", [-1, 1.5, "3", True, None, [], 10**30])
def test_a_wrong_number_of_steps_is_refused(client: BptkClient, instance: str, number: Any) -> None:
    body = {"settings": {}, "numberSteps": number}
    answer = client.post(f"/{instance}/run-steps", data=json.dumps(body), content_type=JSON)
    assert answer.status_code == 400
    assert (
        client.post(f"/{instance}/run-steps", json={"settings": {}, "numberSteps": 10_001}).status_code == 422
    )
    assert client.post(f"/{instance}/run-steps", json={"settings": {}, "numberSteps": 0}).get_json() == []


@pytest.mark.parametrize(
    "timeout",
    [
        {"years": 5},
        {"minutes": "five"},
        {"hours": -1},
        {"hours": 0},
        {},
        {"weeks": 10**10},
        {"microseconds": 10**30},
        {"hours": True},
        {"hours": None},
        [1],
        "1h",
        None,
    ],
)
def test_a_wrong_timeout_is_refused_and_the_service_goes_on(client: BptkClient, timeout: Any) -> None:
    for path in ("/start-instance", "/start-instances"):
        answer = client.post(path, data=json.dumps({"timeout": timeout}), content_type=JSON)
        assert answer.status_code == 422
        assert answer.get_json()["error"].startswith("The timeout is wrong: ")
    assert client.get("/full-metrics").get_json()["instanceCount"] == 0
    assert client.post("/start-instance").status_code == 200


def test_a_timeout_is_answered_as_it_was_given(client: BptkClient) -> None:
    assert client.post("/start-instance", json={"timeout": {"minutes": 5}}).get_json()["timeout"] == {
        "minutes": 5
    }


@pytest.mark.parametrize(
    "body", ["", "{", "null", "[]", "5", '"x"', "[" * 100_000, '{"a": "\\ud800"}', "\xff"]
)
def test_a_body_that_is_no_object_is_never_a_500(client: BptkClient, instance: str, body: str) -> None:
    paths = [f"/{name}" for name in FIXED] + [f"/{instance}/{name}" for name in OF_INSTANCE]
    for path in paths:
        for send in (client.post, client.put):
            answer = send(path, data=body.encode("latin-1"), content_type=JSON)
            assert answer.status_code < 500, path


def test_a_large_body_is_refused(client: BptkClient) -> None:
    answer = client.post("/run", data=b" " * 1_000_001, content_type=JSON)
    assert answer.status_code == 413
    assert answer.get_json().keys() == {"error"}


def test_an_instance_without_a_session_has_nothing_to_step(client: BptkClient) -> None:
    instance = client.post("/start-instance").get_json()["instance_uuid"]
    for path, body in (
        ("run-step", None),
        ("run-steps", {"settings": {}, "numberSteps": 2}),
        ("stream-steps", None),
    ):
        answer = client.post(f"/{instance}/{path}", **({} if body is None else {"json": body}))
        assert answer.status_code == 409
        assert answer.get_json() == {"error": "no data was returned from run_step"}
    assert client.get(f"/{instance}/session-results").get_json() == {}


# What is answered -------------------------------------------------------------------------------------------


def test_a_slash_at_the_end_and_other_methods(client: BptkClient, instance: str) -> None:
    assert client.get("/scenarios/").get_json() == client.get("/scenarios").get_json()
    assert client.post(f"/{instance}/run-step/").status_code == 200
    wrong = client.get(f"/{instance}/run-step")
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "POST, OPTIONS"
    assert client.get("/no-such-route").status_code == 404
    for path in ("/", "/healthy", "/healthy/", "/metrics", "/metrics/"):
        assert client.get(path).status_code == 200, path


def test_names_may_be_one_text_with_commas(client: BptkClient) -> None:
    body = {"scenario_managers": MANAGER, "scenarios": "base, high_word_of_mouth", "equations": "customers"}
    assert client.put("/run", json=body).get_json()[MANAGER].keys() == {"base", "high_word_of_mouth"}


def test_a_session_is_begun_once_for_a_key(client: BptkClient, instance: str) -> None:
    body = {"scenario_managers": [MANAGER], "scenarios": ["base"], "equations": ["customers"]}
    named = {"Idempotency-Key": "begin"}
    begun = client.post(f"/{instance}/begin-session", json=body, headers=named)
    first = client.post(f"/{instance}/run-step").get_json()
    repeated = client.post(f"/{instance}/begin-session", json=body, headers=named)
    assert (repeated.status_code, repeated.data) == (200, begun.data)
    assert list(first[MANAGER]["base"]["customers"]) == ["1.0"]
    second = client.post(f"/{instance}/run-step").get_json()
    assert list(second[MANAGER]["base"]["customers"]) == ["2.0"]
    other = {**body, "equations": ["potential_customers"]}
    assert client.post(f"/{instance}/begin-session", json=other, headers=named).status_code == 422


def test_a_key_and_an_expected_step(client: BptkClient, instance: str) -> None:
    named = {"Idempotency-Key": "monday"}
    first = client.post(f"/{instance}/run-step", headers=named)
    assert client.post(f"/{instance}/run-step", headers=named).data == first.data
    assert client.post(f"/{instance}/run-step", headers=named, json={"settings": {}}).status_code == 422
    for sent in (
        {"headers": {"Expected-Step": "1"}},
        {"json": {"settings": {}, "expectedStep": 3}},
    ):
        assert client.post(f"/{instance}/run-step", **sent).status_code == 409
    for sent in ({"headers": {"Expected-Step": "x"}}, {"json": {"settings": {}, "expectedStep": 0}}):
        assert client.post(f"/{instance}/run-step", **sent).status_code == 400
    taken = client.post(f"/{instance}/run-step", json={"settings": {}, "expectedStep": 2})
    assert taken.get_json() == {MANAGER: {"base": {"customers": {"2.0": 1000.0}}}}
    several = client.post(
        f"/{instance}/run-steps",
        json={"settings": {}, "numberSteps": 2},
        headers={"Expected-Step": "3", "Idempotency-Key": "tuesday"},
    )
    assert len(several.get_json()) == 2
    malformed = client.post(f"/{instance}/run-step", headers={"Idempotency-Key": "two words"})
    assert malformed.status_code == 422
    assert malformed.get_json().keys() == {"error"}


def test_a_session_with_another_distance_of_answers(client: BptkClient, instance: str) -> None:
    client.post(f"/{instance}/begin-session", json={**SESSION, "dt": 5})
    body = {"settings": {}, "numberSteps": 3}
    times = [
        list(one[MANAGER]["base"]["customers"])
        for one in client.post(f"/{instance}/run-steps", json=body).get_json()
    ]
    assert times == [["1.0"], ["6.0"], ["11.0"]]
    for dt in (0, -1, "1", True, 0.3):
        answer = client.post(f"/{instance}/begin-session", json={**SESSION, "dt": dt})
        assert 400 <= answer.status_code < 500


def test_a_session_begins_with_its_settings_and_its_seed(client: BptkClient, instance: str) -> None:
    begin = {**SESSION, **setting("constants", {"initial_customers": 5.0}), "seed": 7, "backend": "rust"}
    assert client.post(f"/{instance}/begin-session", json=begin).status_code == 200
    taken = client.post(f"/{instance}/run-step").get_json()
    assert taken == {MANAGER: {"base": {"customers": {"1.0": 5.0}}}}
    client.post(f"/{instance}/begin-session", json=SESSION)  # the next one isn't touched by them
    assert client.post(f"/{instance}/run-step").get_json() == {MANAGER: {"base": {"customers": {"1.0": 0.0}}}}


def test_runs_have_limits() -> None:
    with served(max_values_per_request=100, max_run_steps=1_000) as client:
        assert client.post("/run", json=SESSION).status_code == 200
        assert (
            client.post("/run", json={**SESSION, "scenarios": ["base", "low_word_of_mouth"]}).status_code
            == 422
        )
        specs = setting("runspecs", {"dt": 1e-9})
        assert client.post("/run", json={**SESSION, **specs}).status_code == 422
        for wrong in ({"dt": 0}, {"dt": "x"}, {"stoptime": None}, {"starttime": 1e300}):
            answer = client.post("/run", json={**SESSION, **setting("runspecs", wrong)})
            assert answer.status_code == 422
            assert f"The run specs of '{MANAGER}/base' are wrong: " in answer.get_json()["error"]


def test_a_session_leaves_run_specs_out(client: BptkClient, instance: str) -> None:
    specs = setting("runspecs", {"starttime": 3.0})
    assert client.post(f"/{instance}/begin-session", json={**SESSION, **specs}).status_code == 200
    for time in ("1.0", "2.0"):
        taken = client.post(f"/{instance}/run-step", json=specs).get_json()
        assert taken[MANAGER]["base"]["customers"].keys() == {time}


def test_too_many_instances_are_a_429_that_names_the_setting(client: BptkClient) -> None:
    answer = client.post("/start-instances", json={"instances": 10**6})
    assert answer.status_code == 429
    assert "10000 instances" in answer.get_json()["error"]
    assert "PERDURE_MAX_INSTANCES" in answer.get_json()["error"]


# Who may call -----------------------------------------------------------------------------------------------


def test_a_bptk_server_answers_a_preflight_and_any_origin_on_every_route() -> None:
    foreign = {"Origin": "https://elsewhere.example", "Host": "sim.example"}
    with BptkServer(__name__, example_factory).test_client() as client:
        for path in [*FIXED, *(f"x/{name}" for name in OF_INSTANCE)]:
            asked = {**foreign, "Access-Control-Request-Method": "POST"}
            preflight = client.options(f"/{path}", headers=asked)
            assert preflight.status_code == 204
            assert preflight.headers["access-control-allow-origin"] == "*"
            assert "Content-Type" in preflight.headers["access-control-allow-headers"]
            for answer in (client.get(f"/{path}", headers=foreign), client.post(f"/{path}", headers=foreign)):
                assert answer.headers["access-control-allow-origin"] == "*"
                assert answer.status_code != 403


def test_a_bptk_servers_origins_can_be_named() -> None:
    named = BptkServer(__name__, example_factory, cors_origins=["https://game.example"])
    with named.test_client() as client:
        answer = client.get("/scenarios", headers={"Origin": "https://game.example"})
        assert answer.headers["access-control-allow-origin"] == "https://game.example"
        assert answer.headers["vary"] == "Origin"
        assert client.get("/scenarios", headers={"Origin": "https://other.example"}).status_code == 403
        assert client.get("/scenarios").status_code == 200
        rebound = {"Origin": "http://evil.example", "Host": "evil.example"}
        assert client.get("/scenarios", headers=rebound).status_code == 403


def test_a_bptk_server_with_a_token_and_named_origins_answers_to_any_host() -> None:
    named = BptkServer(__name__, example_factory, bearer_token="t", cors_origins=())
    headers = {"Host": "sim.example", "Authorization": "Bearer t"}
    with named.test_client() as client:
        assert client.get("/scenarios", headers=headers).status_code == 200
        assert client.get("/scenarios", headers={**headers, "Origin": "https://x.example"}).status_code == 403


def test_owners_see_their_own_instances_only() -> None:
    with served(tokens={"ada": (SecretStr("a"),), "bob": (SecretStr("b"),)}) as client:
        ada, bob = ({"Authorization": f"Bearer {token}"} for token in "ab")
        instance = client.post("/start-instance", headers=ada).get_json()["instance_uuid"]
        assert client.post(f"/{instance}/begin-session", json=SESSION, headers=ada).status_code == 200
        assert client.post(f"/{instance}/run-step", headers=bob).status_code == 404
        assert client.get("/full-metrics", headers=ada).get_json()[instance]["step"] == 1.0
        assert client.get("/full-metrics", headers=bob).get_json().keys() == {"instanceCount", "threadCount"}
        assert client.get("/save-state", headers=bob).get_json() == []
        (saved,) = client.get("/save-state", headers=ada).get_json()
        assert saved["instance_id"] == instance
        assert client.post("/load-state", headers=ada).text == "Success"
        (run,) = client.get("/runs", headers=ada).get_json()["runs"]
        assert run["owner"] == "ada"
        for path in [*FIXED, *(f"{instance}/{name}" for name in OF_INSTANCE)]:
            for send in (client.get, client.post):
                answer = send(f"/{path}")
                assert answer.status_code in (401, 405)


def test_a_token_is_a_bearer_token(tmp_path: Path) -> None:
    with client_of("memory", tmp_path, token="secret") as client:
        for wrong in ("secret", "Basic secret", "Bearer", "Bearer wrong", ""):
            answer = client.get("/scenarios", headers={"Authorization": wrong})
            assert answer.status_code == 401
            assert answer.get_json() == {"Unauthorized": "Authentication Token is wrong!"}
        assert client.get("/full-metrics").status_code == 401
        assert client.get("/metrics").status_code == 200
