"""Damage over HTTP: it is told, it hides nothing else, and the store's own check is the administrator's."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import apsw
import httpx
import pytest
from tests.support.served import catalogue

from perdure.api.app import create_app
from perdure.settings import Settings
from perdure.stores.sqlite import SqliteStore

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


def test_the_check_of_the_store_is_the_administrators(path: Path) -> None:
    (run,) = make(path, 1)

    async def refused(client: httpx.AsyncClient) -> None:
        answer = await client.post("/check")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "administrator_only")

    async def sound(client: httpx.AsyncClient) -> None:
        assert (await client.post("/check")).json() == {"problems": []}

    async def damaged(client: httpx.AsyncClient) -> None:
        (problem,) = (await client.post("/check")).json()["problems"]
        assert problem == f"run {run}: the checksum of the key 'make-0' of step 2 is wrong"

    serving(path, refused)
    serving(path, sound, host=SOCKET)
    execute(path, "UPDATE step_keys SET position = 2")
    serving(path, damaged, host=SOCKET)
