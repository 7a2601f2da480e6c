"""An app of parts from outside: what works on its runs, and the dialects that it answers."""

from contextlib import nullcontext
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints

import pytest
from pydantic import SecretStr
from tests.support.in_process import in_process

from perdure.api import dialects
from perdure.api.app import create_app
from perdure.dialects.bptk.router import BPTK
from perdure.dialects.stableconfigs.router import STABLECONFIGS
from perdure.errors import DialectUnusable
from perdure.lifecycle import RunStatus
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore
from perdure.web.dialect import Call, Dialect, Route
from perdure.web.failures import Failure

TASK = {"kind": "task", "task": "add", "input": {"numbers": [1, 2]}}


class Asked:
    """An executor that only remembers what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    async def submit(self, run_id: str) -> None:
        self.calls.append(("submit", run_id))

    async def cancel(self, run_id: str) -> None:
        self.calls.append(("cancel", run_id))


async def greet(greeting: str, call: Call) -> bytes:
    """Greet somebody."""
    return f'"{greeting}, {call.params["name"]}!"'.encode()


GREETINGS = Dialect(
    name="Greetings",
    description="It greets.",
    routes=[Route("GET", "/greetings/{name}", greet)],
    opened=lambda services: nullcontext("Hello"),
    error=lambda failure: {"sorry": failure.message},
)


def test_an_executor_from_outside_is_asked_and_nothing_else_works_on_runs() -> None:
    store, asked = MemoryStore(), Asked()
    with in_process(store=store, executor=asked) as client:
        run_id = client.post("/runs", json=TASK).json()["id"]
        assert client.put(f"/runs/{run_id}/state", json={"state": "paused"}).status_code == 200
        run, execution = store.run(run_id), store.execution(run_id)
        assert (run.state, execution.attempt, execution.holder) == (RunStatus.CREATED, 0, "")
    assert asked.calls == [("submit", run_id)] * 2


def test_only_the_dialects_that_are_given_are_answered() -> None:
    with in_process(dialects=(BPTK, GREETINGS)) as client:
        assert client.get("/greetings/ann").json() == "Hello, ann!"
        assert "sorry" in client.post("/greetings/ann", json={}).json()
        assert "sorry" in client.get("/greetings/ann/x").json()
        assert client.get("/scenarios").status_code == 200
        assert client.post("/task", json={}).status_code == client.get("/simulation").status_code == 404
        document = client.get("/openapi.json").json()
        described = document["paths"]["/greetings/{name}"]["get"]
        assert (described["tags"], described["description"]) == (["Greetings"], "Greet somebody.")
        assert [(it["name"], it["in"]) for it in described["parameters"]] == [("name", "path")]
        assert not {"/task", "/simulation"} & document["paths"].keys()
        assert [tag["name"] for tag in document["tags"]][-2:] == ["BPTK", "Greetings"]


def test_an_app_answers_all_installed_dialects_by_default() -> None:
    app = create_app(MemoryStore(), Catalogue(), Settings(store="memory://"))
    assert [api.name for api in app.edge.apis[1:]] == ["BPTK", "Neurorobotics Platform", "StableConfigs"]
    assert {route.path for route in STABLECONFIGS.routes} <= set(app.openapi()["paths"])


@pytest.mark.parametrize(
    ("path", "whose"),
    [
        ("/runs/x", "the native API"),
        ("/runs/{run_id}/steps", "the native API"),
        ("/scenarios", "BPTK"),
        ("/{x}/run-step", "BPTK"),
    ],
)
def test_a_dialect_at_a_path_of_another_api_is_refused(path: str, whose: str) -> None:
    other = replace(GREETINGS, routes=[Route("POST", path, greet)])
    with pytest.raises(DialectUnusable, match=rf"Greetings can't be served: POST .* at a path of {whose}\."):
        create_app(MemoryStore(), Catalogue(), Settings(store="memory://"), dialects=(BPTK, other))


@pytest.mark.parametrize(("name", "whose"), [("runs", "the native API"), ("BPTK", "another dialect")])
def test_a_dialect_with_the_name_of_another_api_is_refused(name: str, whose: str) -> None:
    """What each API works with is kept under its name."""
    other = replace(GREETINGS, name=name)
    with pytest.raises(DialectUnusable, match=rf"{name} can't be served: {whose} has that name, too\."):
        create_app(MemoryStore(), Catalogue(), Settings(store="memory://"), dialects=(BPTK, other))


@pytest.mark.parametrize("method", ["get", "HEAD", "OPTIONS", "BREW", ""])
def test_a_route_that_no_request_reaches_by_its_method_is_refused(method: str) -> None:
    other = replace(GREETINGS, routes=[Route(method, "/greetings", greet)])
    with pytest.raises(DialectUnusable, match="none of the methods GET, POST, PUT, PATCH, DELETE"):
        create_app(MemoryStore(), Catalogue(), Settings(store="memory://"), dialects=(other,))


@pytest.mark.parametrize(
    "path",
    ["", "/", "greetings", "/greetings/", "/greetings//x", "/a{b}", "/{}", "/{a b}", "/{a}/{a}", "/{a:path}"],
)
def test_a_route_at_a_malformed_path_is_refused(path: str) -> None:
    other = replace(GREETINGS, routes=[Route("GET", path, greet)])
    with pytest.raises(DialectUnusable, match="is malformed; write a path as in"):
        create_app(MemoryStore(), Catalogue(), Settings(store="memory://"), dialects=(other,))


def test_a_dialect_that_cannot_be_opened_is_named() -> None:
    def opened(services: object) -> nullcontext[str]:
        raise ValueError("no greeting")

    with (
        pytest.raises(DialectUnusable, match=r"Greetings can't be served: .* ValueError: no greeting"),
        in_process(dialects=(replace(GREETINGS, opened=opened),)),
    ):
        pass


@pytest.mark.parametrize("body", [object(), None])
def test_an_error_that_its_dialect_gives_no_shape_has_the_native_one(body: object) -> None:
    def error(failure: Failure) -> object:
        if body is None:
            raise RuntimeError("no shape")
        return body

    with in_process(dialects=(replace(GREETINGS, error=error),)) as client:
        answer = client.post("/greetings/ann", json={})
        assert answer.status_code == 405
        assert answer.headers["Allow"] == "GET, OPTIONS" and answer.headers["X-Request-ID"]
        assert answer.json()["error"]["code"] == "method_not_allowed"


def test_a_dialect_has_all_that_is_below_a_first_part_from_which_its_paths_go_on() -> None:
    with in_process(dialects=(BPTK, GREETINGS)) as client:
        for path in ("/greetings", "/greetings/ann/x", "/greetings/run-step/x"):
            answer = client.post(path, json={})
            assert (answer.status_code, answer.json().keys()) == (404, {"sorry"})
        for path in ("/scenarios/x", "/runs/x/run-step", "/runs/run-step"):
            assert client.post(path, json={}).json()["error"]["code"] in (
                "route_not_found",
                "method_not_allowed",
            )
        for path in ("/run/keep-alive", "/ready/keep-alive", "/x/keep-alive"):
            assert client.post(path, json={}).json() == {"error": "expecting a valid instance id to be given"}


def test_a_public_route_leaves_others_at_its_path_closed_in_the_document_too() -> None:
    routes = [Route("GET", "/greetings/{name}", greet, public=True), Route("PUT", "/greetings/{name}", greet)]
    settings = Settings(store="memory://", tokens={"ann": (SecretStr("one"),)})
    with in_process(settings, dialects=(replace(GREETINGS, routes=routes),)) as client:
        described = client.get("/openapi.json").json()["paths"]["/greetings/{name}"]
        assert "security" not in described["get"]
        assert described["put"]["security"] == [{"token": []}]
        assert [client.request(it, "/greetings/x").status_code for it in ("GET", "PUT")] == [200, 401]


def test_a_dialect_changes_no_schema_of_another_api() -> None:
    schemas = {"ErrorBody": {"type": "string"}, "Greeting": {"type": "string"}}
    with in_process(dialects=(replace(GREETINGS, schemas=schemas),)) as client:
        described = client.get("/openapi.json").json()["components"]["schemas"]
        assert described["ErrorBody"]["type"] == "object" and described["Greeting"] == {"type": "string"}


def test_a_name_that_two_packages_have_registered_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("odd", value, dialects.GROUP) for value in ("one:X", "two:X")]
    monkeypatch.setattr(dialects, "entry_points", lambda group: EntryPoints(points))
    with pytest.raises(DialectUnusable, match=r"odd can't be served: one:X and two:X have both registered"):
        dialects.installed_dialects()


@pytest.mark.parametrize(
    ("value", "reason"),
    [("perdure.nowhere:X", "can't be imported"), ("perdure.run:Run", "is no Dialect")],
)
def test_an_entry_point_that_has_no_dialect_is_refused(
    value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint("odd", value, dialects.GROUP)
    monkeypatch.setattr(dialects, "entry_points", lambda group: EntryPoints([point]))
    with pytest.raises(DialectUnusable, match=rf"odd of {value} can't be served: .*{reason}"):
        dialects.installed_dialects()
