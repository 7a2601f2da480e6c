"""A change at one process reaches the readers at another, without their poll."""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import psycopg
import pytest

from perdure.api.run_events import FOLLOW_RUNS, FollowQuery
from perdure.errors import Invalid
from perdure.lifecycle import DesiredState
from perdure.run import Change
from perdure.state.codec import pack
from perdure.stores.commands import (
    Append,
    ChangeRun,
    Command,
    CreateRun,
    DeleteRun,
    Lease,
    Report,
    SetDesiredState,
    Unleased,
)
from perdure.stores.feed import Feed, Subscription
from perdure.stores.open import StoreOptions, open_store
from perdure.stores.postgres.store import PostgresStore
from perdure.testing.store_samples import WAIT, a_line, a_run, an_entry, created, queued
from perdure.web.dialect import Call
from perdure.web.events import EventStream
from perdure.web.services import AppServices
from perdure.web.tokens import Caller

NEVER = 1e6  # seconds until a poll


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(WAIT):
            await work()

    asyncio.run(within())


async def listeners(url: str, count: int) -> list[int]:
    """Wait until so many connections listen on a database; return the numbers of their processes."""
    while True:
        with psycopg.connect(url) as connection:
            found = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            ).fetchall()
        if len(found) >= count:
            return [pid for (pid,) in found]
        await asyncio.sleep(0.02)


async def hinted(changes: Subscription, run_id: str) -> None:
    """Wait for a hint about a run."""
    while True:
        await changes.wait()
        if run_id in {hint.run_id for hint in changes.take()}:
            return


async def change(store: PostgresStore, command: Command[Any]) -> None:
    await asyncio.wrap_future(store.submit(command))


def reaches(url: str, other_url: str, listen: str | None) -> None:
    """Check that steps, progress, lines and desired states at one store are hints at another."""

    async def work() -> None:
        with (
            closing(PostgresStore(url, StoreOptions(listen=listen))) as one,
            closing(PostgresStore(other_url, StoreOptions(listen=listen))) as other,
        ):
            for id in ("stepped", "marker"):
                created(one, id)
            for id in ("progress", "lines", "stopped"):
                queued(one, id)
            token = {id: one.submit(Lease(id, "w", 60.0)).result(WAIT).fence for id in ("progress", "lines")}
            await listeners(listen or url, 2)
            with Feed(other, every=NEVER) as feed:
                changes = feed.subscribe("stepped", "progress", "lines", "stopped", "marker")
                await change(one, Append("marker", Unleased(0), 0, [an_entry(1)]))
                await hinted(changes, "marker")  # and so all hints about what came before
                for id, command in (
                    ("stepped", Append("stepped", Unleased(0), 0, [an_entry(1)])),
                    ("progress", Report("progress", token["progress"], progress=b"half")),
                    ("lines", Report("lines", token["lines"], lines=[a_line(1)])),
                    ("stopped", SetDesiredState("stopped", DesiredState.STOPPED)),
                ):
                    await change(one, command)
                    await hinted(changes, id)

    run(work)


def test_steps_progress_lines_and_desired_states_reach_the_other_process(url: str) -> None:
    reaches(url, url, None)


def test_they_reach_processes_behind_pgbouncer_by_a_second_url(postgres: str, bounced: str) -> None:
    reaches(bounced, bounced, postgres)


def test_the_stream_of_all_runs_has_what_another_server_does(url: str) -> None:
    async def work() -> None:
        with closing(PostgresStore(url)) as one, closing(PostgresStore(url)) as other:
            await listeners(url, 2)
            with Feed(other, every=NEVER) as feed:
                stream = await followed(other, feed)
                await change(one, CreateRun(a_run("new")))
                assert (await event(stream, "new"))["state"] == "created"
                await change(one, Append("new", Unleased(0), 0, [an_entry(1)]))
                assert (await event(stream, "new"))["step"] == 1
                await change(one, ChangeRun("new", 0, Change(name="renamed")))
                assert (await event(stream, "new"))["name"] == "renamed"
                await change(one, DeleteRun("new"))
                assert await event(stream, "new") == {"run": "new", "state": "deleted"}
                queued(one, "task")
                assert (await event(stream, "task"))["progress"] is None
                token = (await asyncio.wrap_future(one.submit(Lease("task", "w", 60.0)))).fence
                await change(one, Report("task", token, progress=pack({"progress": {"done": 1}})))
                while (last := await event(stream, "task"))["progress"] is None:
                    assert last["state"] in ("created", "started")  # or leased, but not reported
                assert last["progress"] == {"done": 1}
                stream.task.cancel()

    run(work)


class Followed(NamedTuple):
    """A stream of events: what is sent, and the task that sends it."""

    sent: asyncio.Queue[bytes]
    task: asyncio.Task[None]


async def followed(store: PostgresStore, feed: Feed) -> Followed:
    """Follow all runs of ``ann`` at a store, from now on."""
    services = cast(AppServices, SimpleNamespace(store=store, feed=feed, closing=asyncio.Event()))
    sent: asyncio.Queue[bytes] = asyncio.Queue()

    async def receive() -> dict[str, Any]:
        return await asyncio.Future()

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.put_nowait(message.get("body", b""))

    call = Call(caller=Caller("ann"), params={}, headers={}, body=None, scope={}, receive=receive)
    app = await FOLLOW_RUNS.handler(services, call, FollowQuery())
    assert isinstance(app, EventStream)
    return Followed(sent, asyncio.create_task(app({}, receive, send)))


async def event(stream: Followed, run_id: str) -> dict[str, Any]:
    """Return the next event, which is about a run."""
    while b"data: " not in (text := await stream.sent.get()):
        pass
    (data,) = [line.removeprefix(b"data: ") for line in text.splitlines() if line.startswith(b"data: ")]
    found: dict[str, Any] = json.loads(data)
    assert found["run"] == run_id
    return found


def test_a_listener_that_lost_its_connection_listens_again_and_lets_its_readers_look(url: str) -> None:
    async def work() -> None:
        with closing(PostgresStore(url)) as one, closing(PostgresStore(url)) as other:
            created(one)
            created(one, "unchanged")
            pids = await listeners(url, 2)
            with Feed(other, every=NEVER) as feed, feed.subscribe("run", "unchanged") as changes:
                with psycopg.connect(url, autocommit=True) as connection:
                    for pid in pids:
                        connection.execute("SELECT pg_terminate_backend(%s)", [pid])
                await change(one, Append("run", Unleased(0), 0, [an_entry(1)]))
                await hinted(changes, "unchanged")
                assert other.run("run").position == 1
                await listeners(url, 2)

    run(work)


@pytest.mark.parametrize("url", ["memory://", "sqlite:///runs.db"])
def test_a_store_without_notifications_refuses_a_url_for_them(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Invalid, match="PERDURE_STORE_LISTEN"):
        open_store(url, StoreOptions(listen="postgresql://host/db"))
