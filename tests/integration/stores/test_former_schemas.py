"""A store of each former schema is migrated in place: it is read, and its runs go on to the same numbers.

The dumps were written by the code of their time. A schema without one is tested with the dump before it,
brought to that schema as a server of that time did when it opened the store.
"""

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.fixtures.stores.former import EXECUTED, FORKED_AT, HERE, STEPS, catalogue, key, new, step_to

from perdure.drivers.session_requests import StepRequest
from perdure.drivers.sessions import Sessions
from perdure.errors import EndedRunsExceeded, ResultBytesExceeded, RunFinished
from perdure.lifecycle import Outcome, RunStatus
from perdure.observability import Metrics
from perdure.run import LogLine
from perdure.settings import Settings
from perdure.stores.base import Store
from perdure.stores.commands import CutLines, DeleteRun, Finish, Lease, PutDocument, Recount, Report
from perdure.stores.database import migrate
from perdure.stores.memory import MemoryStore
from perdure.stores.queries import MIGRATIONS
from perdure.stores.quota import Quota
from perdure.stores.sqlite import SqliteStore
from perdure.testing.store_samples import WAIT, a_change, a_line

DUMPS = {int(re.sub(r"\D", "", path.name)): path.read_text() for path in HERE.glob("schema-*.sql")}
GOES_ON = 3  # steps that are taken after the migration, with a savepoint among them


def restored(folder: Path, version: int) -> Path:
    """Return the file of a store as a server of a schema left it."""
    path = folder / "perdure.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(DUMPS[max(dumped for dumped in DUMPS if dumped <= version)])
    with closing(apsw.Connection(str(path))) as connection:
        migrate(connection, MIGRATIONS[:version])
        assert connection.pragma("user_version") == version
    return path


@pytest.fixture(params=[migration.version for migration in MIGRATIONS])
def version(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture
def store(tmp_path: Path, version: int) -> Iterator[SqliteStore]:
    with closing(SqliteStore(restored(tmp_path, version))) as store:
        yield store


def sessions_on(store: Store) -> Sessions:
    return Sessions(store, catalogue(), Settings(savepoint_every=3), Metrics())


async def rows(sessions: Sessions, run_id: str) -> list[Any]:
    log = await sessions.log("ann", run_id, 0, 1000)
    return [given.step.rows for given in log.steps]


def run_of(store: Store, owner: str, text: str) -> str:
    run = store.run_by_key(owner, key(text))
    assert run is not None, f"the key of the {text} is known"
    return run.id


async def undisturbed() -> tuple[list[Any], list[Any]]:
    """Return the rows of the session and of its fork where nothing came in between."""
    with closing(MemoryStore()) as store:
        sessions = sessions_on(store)
        run = (await sessions.create("ann", new())).run.id
        await step_to(sessions, run, 0, STEPS + GOES_ON)
        fork = (await sessions.fork("ann", run, FORKED_AT)).run.id
        for _ in range(1 + GOES_ON):
            await sessions.step("ann", fork, StepRequest())
        return await rows(sessions, run), await rows(sessions, fork)


def test_its_sessions_go_on_to_the_same_numbers(store: SqliteStore) -> None:
    async def work() -> None:
        sessions = sessions_on(store)
        run, fork, ended = (run_of(store, "ann", text) for text in ("session", "fork", "ended"))
        for each in (run, fork, ended):
            assert await sessions.examine("ann", each, repair=False) == []
        again = await sessions.step("ann", run, StepRequest(), key(f"step {STEPS}"))
        assert again.replayed
        await step_to(sessions, run, STEPS, STEPS + GOES_ON)
        for _ in range(GOES_ON):
            await sessions.step("ann", fork, StepRequest())
        assert (await rows(sessions, run), await rows(sessions, fork)) == await undisturbed()
        with pytest.raises(RunFinished):
            await sessions.step("ann", ended, StepRequest())
        named = [it for it in await sessions.savepoints("ann", run) if it.name is not None]
        assert [(it.timestamp, it.name, it.pinned) for it in named] == [(3, "calm", True)]
        for each in (run, fork, ended):
            assert await sessions.examine("ann", each, repair=False) == []

    asyncio.run(work())
    assert store.check() == []


def test_its_tasks_and_records_are_there_and_are_worked_on(store: SqliteStore, version: int) -> None:
    assert store.check() == []
    record = store.document("notes", "one")
    assert record is not None
    assert (record.blob, record.version) == (b"second", 2)
    assert store.submit(PutDocument("notes", "one", b"third", 2)).result(WAIT).version > 2
    assert {run.owner for run in store.runs()} == ({"ann", "bob"} if version >= EXECUTED else {"ann"})
    if version < EXECUTED:
        assert store.executions() == []
        return
    assert [it.run_id for it in store.executions()] == ["waiting", "held"]
    waiting, held, done = (store.execution(id) for id in ("waiting", "held", "done"))
    assert (waiting.attempt, waiting.timeout, waiting.result) == (0, 90.0, None)
    assert (held.attempt, held.seconds, held.progress) == (1, 2.5, b"half")
    assert (held.holder, held.fence) == ("", 0)  # the server that held it has gone
    assert (done.attempt, done.seconds, done.result) == (1, 4.0, b"the result")
    ended = store.run("done")
    assert (ended.state, ended.outcome, ended.position) == (RunStatus.COMPLETED, Outcome.SUCCEEDED, 1)
    for id in ("held", "done"):
        assert run_of(store, "bob", id) == id
        assert [(step.inputs, step.outputs) for step in store.steps(id)] == [(b"given", b"answered")]
        assert store.savepoint(id, 1).entities == {"task": {"count": 41}}
        said = [LogLine(text=f"line {at} of {id}", time=float(at), number=at) for at in (1, 2)]
        assert list(store.log_lines(id)) == said
    for id, attempt in (("waiting", 1), ("held", 2)):
        lease = store.submit(Lease(id, "another", 9.0)).result(
            WAIT
        )  # the server that held one before has gone
        assert lease.attempt == attempt
        store.submit(Report(id, lease.fence, lines=[a_line(1)])).result(WAIT)
        assert [line.number for line in store.log_lines(id)] == list(range(1, 2 * attempt))
    assert store.check() == []


def test_what_its_owners_have_is_counted(store: SqliteStore, version: int) -> None:
    with pytest.raises(EndedRunsExceeded, match="has 1 runs that have ended"):
        store.check_quota("ann", Quota(ended=1))
    if version >= EXECUTED:
        fence = store.submit(Lease("waiting", "another", 9.0)).result(WAIT).fence
        store.submit(Finish("waiting", fence, a_change(), result=b"a new one")).result(WAIT)
        assert result_bytes(store) == len(b"the result") + len(b"a new one")
        store.submit(DeleteRun("done")).result(WAIT)
        assert result_bytes(store) == len(b"a new one")
    assert list(store.submit(Recount()).result(WAIT)) == []


def result_bytes(store: Store) -> int:
    with pytest.raises(ResultBytesExceeded) as refused:
        store.check_quota("bob", Quota(result_bytes=1))
    size: int = refused.value.values["size"]
    return size


def test_lines_from_before_savepoints_remembered_them_all_stay(tmp_path: Path) -> None:
    with closing(SqliteStore(restored(tmp_path, 2))) as store:
        for id, said in (("held", 2), ("waiting", 0)):
            fence = store.submit(Lease(id, "another", 9.0)).result(WAIT).fence
            store.submit(CutLines(id, fence, 0)).result(WAIT)
            store.submit(Report(id, fence, lines=[a_line(said + 1)])).result(WAIT)
            assert [line.number for line in store.log_lines(id)] == list(range(1, said + 2))
        assert store.check() == []
