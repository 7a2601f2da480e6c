"""Two servers on one store, as after its lock file was removed: the first one writes nothing more."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.small import NEW, sessions_on

from perdure.drivers.requests import StepRequest
from perdure.errors import Fenced, PerdureError, StoreUnavailable
from perdure.lifecycle import RunState, Wanted
from perdure.run import Change
from perdure.stores.base import Fork, Store
from perdure.stores.memory import MemoryStore
from perdure.stores.sqlite import SqliteStore
from perdure.stores.tail import Tail
from perdure.testing.store_samples import (
    WAIT,
    a_change,
    a_fork,
    a_key,
    a_line,
    a_run,
    a_savepoint,
    a_step,
    an_entry,
    created,
    queued,
)

ROUNDS = 25


def opened_beside(path: Path) -> SqliteStore:
    """Open a store that is open, as a server on another machine does where locks don't reach."""
    path.with_name(f"{path.name}.lock").unlink()
    return SqliteStore(path)


@contextmanager
def one_store(path: Path) -> Iterator[tuple[Store, Store]]:
    with closing(SqliteStore(path)) as store:
        yield store, store


@contextmanager
def one_in_memory(path: Path) -> Iterator[tuple[Store, Store]]:
    with closing(MemoryStore()) as store:
        yield store, store


@contextmanager
def two_stores(path: Path) -> Iterator[tuple[Store, Store]]:
    with closing(SqliteStore(path)) as first, closing(opened_beside(path)) as second:
        yield first, second


@pytest.mark.parametrize("stores", [one_in_memory, one_store, two_stores])
def test_many_steps_of_one_server_and_a_step_of_another_leave_no_wrong_number(
    tmp_path: Path, stores: Callable[[Path], Any]
) -> None:
    async def work(first: Store, second: Store) -> None:
        a, b = sessions_on(first), sessions_on(second)
        made = await b.create("me", NEW)
        many = StepRequest(steps=40, settings={"bath": {"base": {"constants": {"tap": 3.0}}}})
        refused = 0
        for number in range(ROUNDS):
            other = StepRequest(settings={"bath": {"base": {"constants": {"tap": 10.0 + number}}}})
            outcomes = await asyncio.gather(
                a.step("me", made.run.id, many), b.step("me", made.run.id, other), return_exceptions=True
            )
            errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
            assert all(isinstance(error, PerdureError) for error in errors), errors
            refused += len(errors)
        assert refused > 0  # they were in each other's way
        position = (await b.run("me", made.run.id)).position
        assert position >= ROUNDS
        assert await sessions_on(second).examine("me", made.run.id, repair=False) == []

    with stores(tmp_path / "perdure.db") as (first, second):
        asyncio.run(work(first, second))


WRITES: dict[str, Callable[[SqliteStore, int], Future[Any]]] = {
    "create_run": lambda store, _: store.create_run(a_run("new"), a_savepoint()),
    "fork_run": lambda store, _: store.fork_run(a_fork("fork", "run", 1), a_savepoint(1)),
    "fork_runs": lambda store, _: store.fork_runs(
        [Fork(run=a_fork("fork", "run", 1), savepoint=a_savepoint(1))]
    ),
    "update_run": lambda store, _: store.update_run("run", 0, Change(state=RunState.STARTED)),
    "delete_run": lambda store, _: store.delete_run("run"),
    "append": lambda store, _: store.append("run", store.fence, 1, [an_entry(2)]),
    "append with a known key": lambda store, _: store.append("run", store.fence, 1, [an_entry(1, a_key())]),
    "repair_step": lambda store, _: store.repair_step("run", a_step(1)),
    "put_savepoint": lambda store, _: store.put_savepoint("run", store.fence, a_savepoint(1)),
    "mark_savepoint": lambda store, _: store.mark_savepoint("run", 0, name="x", pinned=True),
    "lease": lambda store, _: store.lease("waiting", "w", 9.0),
    "renew": lambda store, fence: store.renew("task", fence, 9.0),
    "report": lambda store, fence: store.report("task", fence, progress=b"p", lines=[a_line(1)]),
    "append of a lease": lambda store, fence: store.append("task", fence, 0, [an_entry(1)]),
    "put_savepoint of a lease": lambda store, fence: store.put_savepoint("task", fence, a_savepoint(1)),
    "finish": lambda store, fence: store.finish("task", fence, a_change(), result=b"r"),
    "release": lambda store, fence: store.release("task", fence),
    "want": lambda store, _: store.want("task", Wanted.STOPPED),
    "cut_lines": lambda store, fence: store.cut_lines("task", fence, None),
    "put_record": lambda store, _: store.put_record("bptk", "id", b"blob", None),
    "delete_record": lambda store, _: store.delete_record("bptk", "kept"),
    "recount": lambda store, _: store.recount(),
}


def test_every_write_of_a_server_is_refused_once_another_has_opened_the_store(tmp_path: Path) -> None:
    path = tmp_path / "perdure.db"
    with closing(SqliteStore(path)) as first:
        created(first)
        first.append("run", first.fence, 0, [an_entry(1, a_key())]).result(WAIT)
        queued(first)
        queued(first, "waiting")
        first.put_record("bptk", "kept", b"blob", None).result(WAIT)
        fence = first.lease("task", "w", 9.0).result(WAIT).fence
        assert {name for name in dir(SqliteStore) if not name.startswith("_") and _writes(name)} == {
            key.split()[0] for key in WRITES
        }
        with closing(opened_beside(path)) as second:
            before = [second.run(id) for id in ("run", "task", "waiting")]
            for write in WRITES.values():
                assert isinstance(write(first, fence).exception(WAIT), Fenced)
            assert "another server has opened the store" in (first.unavailable or "")
            assert [second.run(id) for id in ("run", "task", "waiting")] == before
            assert list(second.steps("run")) == [a_step(1)]
            assert second.record("bptk", "kept") is not None
            second.append("run", second.fence, 1, [an_entry(2)]).result(WAIT)
            assert second.check() == []
            assert isinstance(WRITES["append"](first, fence).exception(WAIT), Fenced)


def _writes(name: str) -> bool:
    return "Future" in str(getattr(getattr(SqliteStore, name), "__annotations__", {}).get("return", ""))


def test_another_opening_is_seen_in_the_tail_where_the_file_does_not_show_it(tmp_path: Path) -> None:
    path = tmp_path / "perdure.db"
    with closing(SqliteStore(path)) as store:
        created(store)
        # As when the locks and the shared memory of SQLite don't reach the other machine.
        tail = Tail(path.with_name("perdure.db.tail"))
        mark = tail.read()
        assert mark is not None
        tail.renew(type(mark)(store=mark.store, opening=mark.opening + 1, batch=mark.batch, time=mark.time))
        tail.close()
        with pytest.raises(StoreUnavailable, match="another server has opened the store"):
            store.append("run", store.fence, 0, [an_entry(1)]).result(WAIT)
        assert store.unavailable is not None
