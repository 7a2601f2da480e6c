"""A disk that fails: nothing is acknowledged, nothing acknowledged is lost, and ``/ready`` says why."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest
from tests.support.small import catalogue

from perdure.api.app import create_app
from perdure.settings import Settings
from perdure.stores.sqlite import SqliteStore
from perdure.testing.faults import FaultyVFS


def full(disk: FaultyVFS) -> None:
    disk.room = 0


def read_only(disk: FaultyVFS) -> None:
    disk.fail("write", code=apsw.SQLITE_READONLY)


def failing_at_commit(disk: FaultyVFS) -> None:
    disk.fail("sync", "-wal", loses=True)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(full, "SQLITE_FULL"), (read_only, "SQLITE_READONLY"), (failing_at_commit, "SQLITE_IOERR_FSYNC")],
)
def test_steps_are_refused_while_it_fails_and_go_on_when_it_works_again(
    fault: Callable[[FaultyVFS], None], reason: str, tmp_path: Path
) -> None:
    disk = FaultyVFS()

    async def work() -> None:
        store = SqliteStore(tmp_path / "s.db", vfs=disk.name)
        app = create_app(store, catalogue(), Settings(savepoint_every=4), on_closed=store.close)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
        ):
            body = {"kind": "session", "scenarios": {"bath": ["base"]}, "outputs": ["water"]}
            run = (await client.post("/runs", json=body)).json()["id"]
            other = (await client.post("/runs", json=body)).json()["id"]
            acknowledged: list[Any] = []

            async def step(key: str, **settings: float) -> httpx.Response:
                given = {"bath": {"base": {"constants": settings}}} if settings else {}
                return await client.post(
                    f"/runs/{run}/steps", json={"settings": given}, headers={"Idempotency-Key": key}
                )

            for number in range(6):
                acknowledged += (await step(f"a{number}")).json()["steps"]
            assert (await client.get("/ready")).status_code == 200

            fault(disk)
            for number in range(5):
                refused = await step(f"b{number}", tap=100.0)
                assert refused.status_code == 503
                assert refused.json()["error"]["code"] == "store_unavailable"
            ready = await client.get("/ready")
            assert ready.status_code == 503
            assert reason in ready.json()["error"]["message"]
            assert (await client.post("/runs", json=body)).status_code == 503
            assert (await client.get("/healthy")).status_code == 200

            disk.heal()
            disk.room = None
            # A client that repeats its request is answered once the store has found out that the disk works.
            # The same key: whatever became of the request, it is taken once.
            async with asyncio.timeout(60):
                while (answer := await step("b0", tap=100.0)).status_code == 503:
                    await asyncio.sleep(0.02)
            for last in (answer, await step("c")):
                assert last.status_code == 200, last.text
                acknowledged += last.json()["steps"]
            assert (await client.get("/ready")).status_code == 200
            log = (await client.get(f"/runs/{run}/steps")).json()["steps"]
            assert [entry["step"] for entry in log] == list(range(1, 9))
            assert [entry["results"] for entry in log] == [entry["results"] for entry in acknowledged]

            # The same on a run that saw no fault.
            settings = [{}] * 6 + [{"bath": {"base": {"constants": {"tap": 100.0}}}}, {}]
            for given, entry in zip(settings, log, strict=True):
                same = await client.post(f"/runs/{other}/steps", json={"settings": given})
                assert same.json()["steps"][0]["results"] == entry["results"]

    asyncio.run(work())
