"""Damage over HTTP: it is told, it hides nothing else, and the store's own check is the administrator's."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import apsw
import httpx
import msgspec
import pytest
from tests.support.served import catalogue

from perdure.api.app import create_app
from perdure.lifecycle import RunStatus
from perdure.settings import Settings
from perdure.stores.commands import CreateRun, PutDocument
from perdure.stores.sqlite import SqliteStore
from perdure.testing.store_samples import WAIT, a_run, an_execution

NEW = {"kind": "session", "scenarios": {"bath": ["base"]}}
SOCKET = "administrator"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "perdure.db"


def serving(
    path: Path, work: Callable[[httpx.AsyncClient], Awaitable[None]], host: str = "localhost"
) -> None:
    async def main() -> None:
        store = SqliteStore(path)
        app = create_app(store, catalogue(), Settings(), administrator_socket=SOCKET, on_closed=store.close)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{host}") as client,
        ):
            await work(client)

    asyncio.run(main())


def make(path: Path, count: int) -> list[str]:
    ids: list[str] = []

    async def work(client: httpx.AsyncClient) -> None:
        for number in range(count):
            headers = {"Idempotency-Key": f"make-{number}"}
            ids.append((await client.post("/runs", json=NEW, headers=headers)).json()["id"])
            await client.post(f"/runs/{ids[-1]}/steps", headers=headers)

    serving(path, work)
    return ids


def execute(path: Path, sql: str) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(sql)


def test_a_damaged_spec_is_shown_and_hides_no_other_run(path: Path) -> None:
    ids = make(path, 3)
    execute(path, "UPDATE specs SET spec = zeroblob(30) WHERE run = 2")

    async def work(client: httpx.AsyncClient) -> None:
        runs = (await client.get("/runs")).raise_for_status().json()["runs"]
        assert [run["id"] for run in runs] == ids[::-1]
        assert [run["damage"] is None for run in runs] == [True, False, True]
        assert "corrupt" in runs[1]["damage"]
        assert [run["scenarios"] for run in runs] == [{"bath": ["base"]}, {}, {"bath": ["base"]}]
        single = await client.get(f"/runs/{ids[1]}")
        assert (single.status_code, single.json()["error"]["code"]) == (500, "corrupt_blob")

    serving(path, work)


def test_a_damaged_record_is_named_and_hides_no_other_run(path: Path) -> None:
    ids = make(path, 3)
    execute(path, "UPDATE runs SET state = 'startec' WHERE number = 2")

    async def work(client: httpx.AsyncClient) -> None:
        runs = (await client.get("/runs")).raise_for_status().json()["runs"]
        assert [run["id"] for run in runs] == [ids[2], ids[0]]
        single = await client.get(f"/runs/{ids[1]}")
        assert (single.status_code, single.json()["error"]["code"]) == (500, "corrupt_blob")
        assert ids[1] in single.json()["error"]["message"]

    serving(path, work)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("UPDATE runs SET state = 'startec' WHERE id = 'run-1'", "run-1"),
        ("UPDATE runs SET created = -created WHERE id = 'run-1'", "run-1"),
        ("UPDATE runs SET owner = 'eve' WHERE id = 'run-1'", "run-1"),
        ("DELETE FROM specs WHERE run = 2", "run-1"),
        ("UPDATE records SET blob = zeroblob(9) WHERE id = '1'", "'1' of nrp"),
    ],
)
def test_a_damaged_simulation_is_named_and_hides_no_other_one(path: Path, damage: str, problem: str) -> None:
    with closing(SqliteStore(path)) as store:
        for number in range(3):
            record = {"run": f"run-{number}", "experiment": "pendulum", "context": None}
            record |= {"configuration": "simulation_config.json", "script": "main_script.py"}
            blob = msgspec.msgpack.encode(record)
            store.submit(PutDocument("nrp", str(number), blob, None)).result(WAIT)
            run = a_run(f"run-{number}", kind="experiment", owner="local", state=RunStatus.STOPPED)
            store.submit(CreateRun(run, execution=an_execution(run.id, owner="local"))).result(WAIT)
    execute(path, damage)

    async def work(client: httpx.AsyncClient) -> None:
        listed = (await client.get("/simulation")).raise_for_status().json()
        assert [it["simulationID"] for it in listed] == [0, 2]
        assert (await client.get("/simulation/2")).status_code == 200
        single = await client.get("/simulation/1")
        assert single.status_code in (404, 500)
        runs = (await client.get("/runs")).raise_for_status().json()["runs"]
        assert {"run-0", "run-2"} <= {run["id"] for run in runs}

    async def check(client: httpx.AsyncClient) -> None:
        assert any(problem in told for told in (await client.post("/check")).json()["problems"])

    serving(path, work)
    serving(path, check, host=SOCKET)


def test_wrong_counts_of_owners_are_named_and_counted_anew(path: Path) -> None:
    make(path, 2)
    execute(path, "UPDATE owners SET runs = 7, bytes = 5; INSERT INTO owners VALUES ('nobody', 1, 0)")
    wrong = [
        "the owner 'local' is said to have 7 runs, and has 2",
        "the results of 'local' are said to have 5 bytes, and have 0",
        "the owner 'nobody' is said to have 1 runs, and has 0",
    ]

    async def work(client: httpx.AsyncClient) -> None:
        for body in (None, {}, {"repair": False}):
            found = (await client.post("/check", json=body)).json()
            assert found == {"problems": wrong, "repaired": []}
        for repaired in (wrong, []):
            found = (await client.post("/check", json={"repair": True})).json()
            assert found == {"problems": [], "repaired": repaired}

    serving(path, work, host=SOCKET)


def test_the_check_of_the_store_is_the_administrators(path: Path) -> None:
    (run,) = make(path, 1)

    async def refused(client: httpx.AsyncClient) -> None:
        answer = await client.post("/check")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "administrator_only")

    async def sound(client: httpx.AsyncClient) -> None:
        assert (await client.post("/check")).json() == {"problems": [], "repaired": []}

    async def damaged(client: httpx.AsyncClient) -> None:
        (problem,) = (await client.post("/check")).json()["problems"]
        assert problem == f"run {run}: the checksum of the key 'make-0' of step 2 is wrong"

    serving(path, refused)
    serving(path, sound, host=SOCKET)
    execute(path, "UPDATE step_keys SET position = 2")
    serving(path, damaged, host=SOCKET)
