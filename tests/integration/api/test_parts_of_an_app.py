"""An app of parts from outside: what works on its runs, and the dialects that it answers."""

from collections.abc import Mapping

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Scope
from tests.support.in_process import in_process

from perdure.api.app import create_app
from perdure.api.dialects import BPTK, DIALECTS, STABLECONFIGS, ServedDialect
from perdure.lifecycle import RunStatus
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore
from perdure.web.open_routes import Call, Handler
from perdure.web.openapi import Described

TASK = {"kind": "task", "task": "add", "input": {"numbers": [1, 2]}}


class Asked:
    """An executor that only remembers what it was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    async def submit(self, run_id: str) -> None:
        self.calls.append(("submit", run_id))

    async def cancel(self, run_id: str) -> None:
        self.calls.append(("cancel", run_id))


class Greetings:
    """The paths of a dialect that greets."""

    allowed_headers = "Content-Type"

    def find(self, scope: Scope) -> tuple[Mapping[str, Handler], str] | None:
        first, *rest = scope["path"].strip("/").split("/")
        return ({"GET": self._greet}, rest[0]) if first == "greetings" and len(rest) == 1 else None

    async def _greet(self, call: Call) -> ASGIApp:
        return JSONResponse({"greeting": f"Hello, {call.name}!"})

    def error(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
        return JSONResponse({"sorry": text}, status, headers)

    def own_error(self, error: Exception) -> Response | None:
        return None

    def unauthorized(self, text: str) -> Response:
        return self.error(401, text)


GREETINGS = ServedDialect(
    Described(
        tag="Greetings", description="It greets.", paths={"/greetings/{name}": {"get": {}}}, schemas={}
    ),
    Greetings(),
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
        assert client.get("/greetings/ann").json() == {"greeting": "Hello, ann!"}
        assert "sorry" in client.post("/greetings/ann", json={}).json()
        assert client.get("/scenarios").status_code == 200
        assert client.post("/task", json={}).status_code == client.get("/simulation").status_code == 404
        document = client.get("/openapi.json").json()
        assert "/greetings/{name}" in document["paths"]
        assert not {"/task", "/simulation"} & document["paths"].keys()
        assert [tag["name"] for tag in document["tags"]][-2:] == [BPTK.described.tag, "Greetings"]


def test_an_app_answers_all_dialects_by_default() -> None:
    app = create_app(MemoryStore(), Catalogue(), Settings(store="memory://"))
    assert app.dialects == DIALECTS
    assert set(STABLECONFIGS.described.paths) <= set(app.openapi()["paths"])
