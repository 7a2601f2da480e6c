"""An app of parts from outside: what works on its runs, and the dialects that it answers."""

from contextlib import nullcontext
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints

import pytest
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
        ("/runs/x", "runs"),
        ("/runs/{run_id}/steps", "runs"),
        ("/scenarios", "BPTK"),
        ("/{x}/run-step", "BPTK"),
    ],
)
def test_a_dialect_at_a_path_of_another_api_is_refused(path: str, whose: str) -> None:
    other = replace(GREETINGS, routes=[Route("POST", path, greet)])
    with pytest.raises(DialectUnusable, match=rf"Greetings can't be served: POST .* at a path of {whose}\."):
        create_app(MemoryStore(), Catalogue(), Settings(store="memory://"), dialects=(BPTK, other))


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
