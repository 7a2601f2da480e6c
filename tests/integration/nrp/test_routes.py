"""The routes of the Neurorobotics Platform's backend: fields, codes and order as there, its faults not."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from pydantic import SecretStr
from tests.support.edges import NO_SERVICES, edge_of
from tests.support.fake_experiments import FakeExperiments
from tests.support.served import ROOT

from perdure import __version__
from perdure.dialects.nrp.router import NRP
from perdure.dialects.nrp.simulations import Simulations
from perdure.errors import Damaged, StoreUnavailable
from perdure.stores.base import Store
from perdure.stores.commands import DeleteRun
from perdure.stores.memory import MemoryStore
from perdure.stores.open import open_store
from perdure.web.tokens import Tokens

ADA = {"Authorization": "Bearer token-a"}
GRACE = {"Authorization": "Bearer token-g"}
TOKENS = Tokens({"ada": [SecretStr("token-a")], "grace": [SecretStr("token-g")]})
STATES = ["created", "paused", "started", "completed", "stopped", "failed"]

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Backend:
    """The routes over a store and a driver that fakes experiments."""

    def __init__(self, store: Store, *, tokens: Tokens = TOKENS, most: int = 100) -> None:
        self.store = store
        self.driver = FakeExperiments(store, most)
        self.simulations = Simulations(store, self.driver)

        nrp = replace(NRP, opened=lambda services: nullcontext(self.simulations))
        self.edge = edge_of(nrp, tokens=tokens, limit=10_000)
        transport = httpx.ASGITransport(self.edge)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://test")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        async with self.edge.opened(NO_SERVICES), self.client:
            yield

    async def make(self, headers: dict[str, str] = ADA, **fields: Any) -> httpx.Response:
        return await self.client.post(
            "/simulation", json={"experimentID": "pendulum", **fields}, headers=headers
        )

    async def put(self, number: int, state: Any, headers: dict[str, str] = ADA) -> httpx.Response:
        return await self.client.put(f"/simulation/{number}/state", json={"state": state}, headers=headers)

    async def bring(self, number: int, state: str) -> None:
        """Bring a fresh simulation, which is paused, to a state."""
        path = {"completed": ["started", "completed"], "paused": []}.get(state, [state])
        for trigger in path:
            simulation = await self.simulations.get(number)
            assert simulation is not None
            await self.driver.trigger(None, simulation.run.id, trigger)


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    store = MemoryStore()
    made = Backend(store)
    async with made.serving():
        yield made
    store.close()


def error(response: httpx.Response, status: int, kind: str = "Client error") -> str:
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    body = response.json()
    assert body.keys() == {"message", "type", "data"}
    assert body["type"] == kind
    message: str = body["message"]
    return message


async def test_a_simulation_has_the_fields_of_the_platform(backend: Backend) -> None:
    response = await backend.make(ctxId="context-7", owner="somebody else", unknown=1)
    assert response.status_code == 201
    assert response.headers["Location"] == "/simulation/0"
    body = response.json()
    created = datetime.fromisoformat(body.pop("creationDate"))
    assert created.utcoffset() == timedelta(0)
    assert body == {
        "state": "paused",
        "simulationID": 0,
        "experimentConfiguration": "simulation_config.json",
        "mainScript": "main_script.py",
        "owner": "ada",
        "experimentID": "pendulum",
        "ctxId": "context-7",
        "MQTTPrefix": "",
    }
    read = (await backend.client.get("/simulation/0", headers=ADA)).json()
    assert read == response.json()
    assert (await backend.client.get("/simulation", headers=ADA)).json() == [read]
    state = await backend.client.get("/simulation/0/state", headers=ADA)
    assert (state.status_code, state.json()) == (200, {"state": "paused"})


async def test_configuration_and_script_may_be_named(backend: Backend) -> None:
    body = (await backend.make(experimentConfiguration="c.json", mainScript="s.py")).json()
    assert (body["experimentConfiguration"], body["mainScript"]) == ("c.json", "s.py")
    assert (backend.driver.made[0].configuration, backend.driver.made[0].script) == ("c.json", "s.py")


async def test_a_script_knows_its_simulation_by_the_number(backend: Backend) -> None:
    numbers = [(await backend.make()).json()["simulationID"] for _ in range(3)]
    assert [request.sim_id for request in backend.driver.made] == numbers == [0, 1, 2]


async def test_a_simulation_may_be_started_at_once(backend: Backend) -> None:
    """There, that is a 500 and a phantom that keeps every POST at 409."""
    response = await backend.make(state="started")
    assert (response.status_code, response.json()["state"]) == (201, "started")
    assert (await backend.make()).status_code == 201


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"[1]", "object"),
        (b"[" * 9_000, "JSON"),
        (b"\xff", "JSON"),
        (b"{}", "experimentID"),
        (b'{"experimentID": 7}', "experimentID"),
        (b'{"experimentID": null}', "experimentID"),
        (b'{"experimentID": "x", "mainScript": []}', "mainScript"),
        (b'{"experimentID": "x", "experimentConfiguration": {}}', "experimentConfiguration"),
        (b'{"experimentID": "x", "ctxId": 1}', "ctxId"),
        (b'{"experimentID": "x", "state": "completed"}', "completed"),
        (b'{"experimentID": "x", "state": 1}', "state"),
    ],
)
async def test_a_wrong_body_is_told_in_json(backend: Backend, body: bytes, named: str) -> None:
    response = await backend.client.post("/simulation", content=body, headers=ADA)
    assert named in error(response, 400)
    assert (await backend.client.get("/simulation", headers=ADA)).json() == []


async def test_a_body_that_is_too_large_is_refused(backend: Backend) -> None:
    error(await backend.make(ctxId="x" * 20_000), 413)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/simulation/0/nothing", 404),
        ("GET", "/simulation/7", 404),
        ("GET", "/simulation/-1", 404),
        ("GET", "/simulation/00", 404),
        ("GET", "/simulation/x/state", 404),
        ("GET", "/simulation/" + "9" * 100, 404),
        ("PUT", "/simulation", 405),
        ("DELETE", "/simulation", 405),
        ("DELETE", "/simulation/0", 405),
        ("POST", "/simulation/0/state", 405),
        ("POST", "/version", 405),
    ],
)
async def test_unknown_paths_and_methods_are_told_in_json(
    backend: Backend, method: str, path: str, status: int
) -> None:
    response = await backend.client.request(method, path, headers=ADA)
    error(response, status)
    assert (status == 405) == ("Allow" in response.headers)


async def test_other_paths_are_others(backend: Backend) -> None:
    for path in ("/", "/runs", "/simulations", "/version/1"):
        assert (await backend.client.get(path, headers=ADA)).text == "another route"


async def test_the_version_is_told_to_anybody(backend: Backend) -> None:
    assert (await backend.client.get("/version")).json() == {"version": __version__}


# What a state is brought to by a PUT, or - where that is a 400; as the reference has it, its faults mended.
TABLE = """
             created  initialized  paused   started  completed  stopped  failed
paused       -        -            paused   started  -          stopped  failed
started      -        -            paused   started  completed  stopped  failed
completed    -        -            -        -        completed  stopped  failed
stopped      -        -            -        -        -          -        -
failed       -        -            -        -        -          -        -
"""
HEAD, *ROWS = (line.split() for line in TABLE.strip().splitlines())


@pytest.mark.parametrize(
    ("state", "trigger", "target"),
    [(row[0], trigger, target) for row in ROWS for trigger, target in zip(HEAD, row[1:], strict=True)],
)
async def test_every_put_in_every_state(backend: Backend, state: str, trigger: str, target: str) -> None:
    await backend.make()
    await backend.bring(0, state)
    response = await backend.put(0, trigger)
    if target == "-":
        final = state in ("stopped", "failed")
        unknown = trigger == "initialized" and not final
        message = error(response, 400, "Client error" if unknown else "State Transition error")
        assert (trigger if not final else state) in message
        if not unknown:
            assert state in message
        target = state
    else:
        assert (response.status_code, response.json()) == (200, {"state": target})
    assert (await backend.client.get("/simulation/0/state", headers=ADA)).json() == {"state": target}


async def test_mistakes_are_looked_for_in_the_order_of_the_platform(backend: Backend) -> None:
    async def put(number: int, body: bytes, headers: dict[str, str]) -> httpx.Response:
        return await backend.client.put(f"/simulation/{number}/state", content=body, headers=headers)

    await backend.make()
    assert "no simulation" in error(await put(1, b"{", GRACE), 404)
    assert "not JSON" in error(await put(0, b"{", ADA), 400)
    assert "missing" in error(await put(0, b"{}", ADA), 400)
    assert "no state" in error(await put(0, b'{"state": "off"}', ADA), 400)
    assert "text" in error(await put(0, b'{"state": 1}', ADA), 400)
    await backend.bring(0, "stopped")
    assert "stopped" in error(await put(0, b"{", ADA), 400, "State Transition error")


async def test_a_foreign_simulation_is_answered_as_one_that_was_never_made(backend: Backend) -> None:
    await backend.make()
    for path in ("/simulation/{}", "/simulation/{}/state"):
        foreign = await backend.client.get(path.format(0), headers=GRACE)
        unknown = await backend.client.get(path.format(1), headers=GRACE)
        assert error(foreign, 404) == error(unknown, 404).replace("'1'", "'0'")
        assert foreign.json() == {**unknown.json(), "data": "0", "message": foreign.json()["message"]}
        assert foreign.headers.keys() == unknown.headers.keys()
    assert error(await backend.put(0, "started", GRACE), 404) == "There is no simulation '0'."
    assert (await backend.client.get("/simulation/0/state", headers=ADA)).json() == {"state": "paused"}


async def test_owners_are_known_by_their_tokens_only(backend: Backend) -> None:
    """There, `X-User-Name: <owner>` without a token started another user's simulation."""
    await backend.make()
    for headers, status in (
        ({"X-User-Name": "ada"}, 401),
        ({**GRACE, "X-User-Name": "ada"}, 404),
        ({"Authorization": "Bearer ada"}, 401),
        ({"Authorization": "token-a"}, 401),
        ({}, 401),
    ):
        error(await backend.put(0, "started", headers), status)
        error(await backend.client.get("/simulation/0", headers=headers), status)
        error(await backend.client.get("/simulation/0/state", headers=headers), status)
    assert (await backend.client.get("/simulation", headers=GRACE)).json() == []
    for path in ("/simulation", "/simulation/7"):
        answer = await backend.client.get(path)
        error(answer, 401)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    error(await backend.make(headers={"X-User-Name": "ada"}), 401)
    assert (await backend.make({**GRACE, "X-User-Name": "ada"})).json()["owner"] == "grace"


async def test_without_tokens_everything_is_local() -> None:
    store = MemoryStore()
    backend = Backend(store, tokens=Tokens({}))
    async with backend.serving():
        assert (await backend.make(headers={"X-User-Name": "ada"})).json()["owner"] == "local"
        assert (await backend.put(0, "started", {})).status_code == 200
    store.close()


async def test_numbers_are_never_given_again(tmp_path: Path) -> None:
    """There, a restarted backend begins at 0 again."""
    url = f"sqlite:///{tmp_path}/s.db"
    for expected in ([0, 1], [2, 3]):
        store = open_store(url)
        backend = Backend(store)
        async with backend.serving():
            made = [(await backend.make()).json()["simulationID"] for _ in range(2)]
            assert made == expected
            listed = (await backend.client.get("/simulation", headers=ADA)).json()
            assert [it["simulationID"] for it in listed] == ([0, 1] if expected == [0, 1] else [0, 2, 3])
            gone = await backend.simulations.get(1)
            if gone is not None:
                store.submit(DeleteRun(gone.run.id)).result()
            error(await backend.client.get("/simulation/1", headers=ADA), 404)
        store.close()


async def test_many_at_once_get_numbers_of_their_own(backend: Backend) -> None:
    responses = await asyncio.gather(*(backend.make() for _ in range(12)))
    assert sorted(response.json()["simulationID"] for response in responses) == list(range(12))


async def test_what_cant_be_made_leaves_nothing_that_keeps_others_out(backend: Backend) -> None:
    assert "none" in error(await backend.make(experimentID="none"), 404)
    for failure, status, kind in (
        (StoreUnavailable(reason="the disk is full"), 503, "Server Error"),
        (Damaged("broken"), 500, "Server Error"),
    ):
        backend.driver.fails = failure
        error(await backend.make(), status, kind)
    backend.driver.fails = RuntimeError("unexpected")
    response = await backend.make()
    assert response.status_code == 500
    assert response.json().keys() == {"message", "type"}
    assert response.json()["type"] == "General error"
    assert "unexpected" not in response.json()["message"].lower().replace("something unexpected failed", "")
    backend.driver.fails = None
    assert (await backend.client.get("/simulation", headers=ADA)).json() == []
    made = (await backend.make()).json()
    assert made["simulationID"] == 4
    assert [record.id for record in backend.store.documents("nrp")] == ["4", "numbers"]


async def test_beyond_the_most_simulations_there_is_a_409() -> None:
    store = MemoryStore()
    backend = Backend(store, most=2)
    async with backend.serving():
        for _ in range(2):
            assert (await backend.make()).status_code == 201
        error(await backend.make(), 409)
        await backend.put(0, "started")
        await backend.put(0, "completed")
        assert (await backend.make()).status_code == 201
    store.close()


async def test_states_are_told_while_another_change_takes_its_time(backend: Backend) -> None:
    """There, GET state took 22 seconds meanwhile."""
    await backend.make()
    await backend.make()
    backend.driver.gate.clear()
    async with anyio.create_task_group() as group:
        group.start_soon(backend.put, 0, "started")
        await backend.driver.waiting.wait()
        for number in (0, 1):
            answer = await backend.client.get(f"/simulation/{number}/state", headers=ADA)
            assert answer.json() == {"state": "paused"}
        assert len((await backend.client.get("/simulation", headers=ADA)).json()) == 2
        backend.driver.gate.set()
    assert (await backend.client.get("/simulation/0/state", headers=ADA)).json() == {"state": "started"}


async def test_what_is_wrong_is_safe_as_json(backend: Backend) -> None:
    response = await backend.client.get("/simulation/%22%3Cscript%3E/x", headers=ADA)
    assert json.loads(response.content)["type"] == "Client error"
    response = await backend.put(0, "x")
    error(response, 404)


async def test_the_page_shows_the_same_table() -> None:
    page = (ROOT / "docs" / "nrp.md").read_text()
    head, *rows = (
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in page.partition("## States")[2].partition("## Errors")[0].splitlines()
        if line.startswith("|") and not line.startswith("| ---")
    )
    shown = {
        (state.strip(" `"), trigger): cell
        for states, *cells in rows
        for state in states.split(",")
        for trigger, cell in zip(head[1:], cells, strict=True)
    }
    for row in ROWS:
        for trigger, target in zip(HEAD, row[1:], strict=True):
            if trigger not in ("created", "initialized"):
                cell = {"-": "400", row[0]: "stays"}.get(target, "✓")
                assert shown.pop((row[0], trigger)) == cell
    assert not shown
