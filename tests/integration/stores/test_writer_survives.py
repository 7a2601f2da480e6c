"""Whatever is raised at any line of the writer's thread, nobody waits for ever and nothing is lost."""

import linecache
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

import pytest
import structlog

import perdure.stores.file_medium
import perdure.stores.memory_medium
import perdure.stores.writer
from perdure.errors import PositionConflict, RunExists, StoreUnavailable
from perdure.run import Entry
from perdure.stores.commands import Append, Committed, CreateRun, Unleased, encoded
from perdure.stores.memory import MemoryStore
from perdure.stores.sqlite import SqliteStore, SqlStore
from perdure.testing.faults import FaultyVFS
from perdure.testing.store_samples import WAIT, a_run, a_savepoint, created

Line: TypeAlias = tuple[str, int]
Trace: TypeAlias = Callable[[FrameType, str, Any], Any]
Life: TypeAlias = Callable[[Path, Callable[[Line], None]], None]

ROUNDS = 3
MODULES = {
    module.__file__
    for module in (perdure.stores.writer, perdure.stores.file_medium, perdure.stores.memory_medium)
}


@contextmanager
def tracing(on_line: Callable[[Line], None]) -> Iterator[None]:
    """Call a function before each line of writer and medium that a thread executes which is started now.

    The end of a `with` block is left out: what a tracer raises there, and nothing else can, keeps the block's
    lock from being released.
    """

    def trace(frame: FrameType, event: str, argument: object) -> Trace | None:
        last = frame.f_lineno

        def local(frame: FrameType, event: str, argument: object) -> Trace:
            nonlocal last
            if event == "line":
                source = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
                ends = frame.f_lineno < last and source.lstrip().startswith("with ")
                last = frame.f_lineno
                if not ends:
                    on_line((frame.f_code.co_name, frame.f_lineno))
            return local

        return local if frame.f_code.co_filename in MODULES else None

    before = threading.gettrace()
    threading.settrace(trace)
    try:
        yield
    finally:
        threading.settrace(before)


def again(work: Callable[[], Any]) -> Any:
    """Do what is refused while the store finds out where it is."""
    for _ in range(1000):
        with suppress(StoreUnavailable):
            return work()
        threading.Event().wait(0.01)
    return work()


def life(path: Path, on_line: Callable[[Line], None]) -> None:
    """Let a store live from its opening to its end, with a failing disk in between; check what it answers."""
    vfs = FaultyVFS()
    acknowledged: list[int] = []
    seen: list[Committed] = []
    with closing(SqliteStore(path, vfs=vfs.name)) as store:
        store.watch(seen.append)
        begin(store, on_line)
        for number in range(ROUNDS):
            position = again(lambda: store.run("run").position)
            if number == 1:
                vfs.fail("sync", "-wal", times=1)
            futures = [append(store, at) for at in (position, position + 1, position + 7)]
            for at, future in enumerate(futures, start=position + 1):
                error = future.exception(WAIT)
                assert error is None or isinstance(error, StoreUnavailable | PositionConflict), error
                if error is None:
                    acknowledged.append(at)
        position = again(lambda: store.run("run").position)
        again(lambda: append(store, position).result(WAIT))
        assert store.unavailable is None
        assert seen[-1].position == position + 1
        assert {event.position for event in seen} >= set(acknowledged)
        last = append(store, position + 1)
    assert last.exception(0) is None or isinstance(last.exception(0), StoreUnavailable)
    with closing(SqliteStore(path)) as store:
        steps = [step.position for step in store.steps("run")]
        assert steps == list(range(1, len(steps) + 1))
        assert set(acknowledged) <= set(steps)
        assert len(acknowledged) == len(set(acknowledged))
        assert store.check() == []


def life_in_memory(_: Path, on_line: Callable[[Line], None]) -> None:
    """Let a store in memory live from its opening to its end; check what it answers."""
    seen: list[Committed] = []
    with closing(MemoryStore()) as store:
        store.watch(seen.append)
        begin(store, on_line)
        acknowledged = set()
        for _ in range(ROUNDS):
            position = again(lambda: store.run("run").position)
            futures = [append(store, at) for at in (position, position + 1, position + 7)]
            for at, future in enumerate(futures, start=position + 1):
                error = future.exception(WAIT)
                assert error is None or isinstance(error, StoreUnavailable | PositionConflict), error
                if error is None:
                    acknowledged.add(at)
        position = again(lambda: store.run("run").position)
        again(lambda: append(store, position).result(WAIT))
        assert store.unavailable is None
        assert seen[-1].position == position + 1
        assert {event.position for event in seen} >= acknowledged
        steps = [step.position for step in store.steps("run")]
        assert steps == list(range(1, position + 2))
        assert store.check() == []
        last = append(store, position + 1)
    assert last.exception(0) is None or isinstance(last.exception(0), StoreUnavailable)


def begin(store: SqlStore, on_line: Callable[[Line], None]) -> None:
    """Let the thread of a store's writer start, traced, with the creation of a run."""
    with tracing(on_line), suppress(RunExists):
        again(lambda: store.submit(CreateRun(a_run(), encoded(a_savepoint()))).result(WAIT))


def append(store: SqlStore, position: int) -> Future[Any]:
    return store.submit(Append("run", Unleased(0), position, [Entry(inputs=None, outputs=bytes(3000))]))


@pytest.fixture(autouse=True)
def checkpoints_soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(perdure.stores.file_medium, "CHECKPOINT", 7)
    monkeypatch.setattr(perdure.stores.writer, "PROBE_EVERY", 0.05)
    with structlog.testing.capture_logs():
        yield


def lines_of(life: Life, tmp_path: Path) -> dict[Line, int]:
    """Return which lines of the writer's thread a life executes, and how often each."""
    counts: dict[Line, int] = {}

    def count(line: Line) -> None:
        counts[line] = counts.get(line, 0) + 1

    life(tmp_path / "whole.db", count)
    return counts


@pytest.mark.parametrize("life", [life, life_in_memory])
def test_a_fault_at_any_line_of_the_writer_leaves_nobody_waiting(tmp_path: Path, life: Life) -> None:
    lines = lines_of(life, tmp_path)
    assert len(lines) > 60
    for number, (line, hits) in enumerate(sorted(lines.items())):
        left = hits // 2 + 1  # in the middle of its life

        def strike(now: Line, line: Line = line) -> None:
            nonlocal left
            if now == line:
                left -= 1
                if left == 0:
                    raise MemoryError(f"injected at {line}")

        life(tmp_path / f"{number}.db", strike)


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_error_while_it_answers_fails_who_waits_and_the_next_write_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    with closing(SqliteStore(tmp_path)) as store:
        created(store)
        failed = False
        resolve = Future.set_result

        def failing(future: Future[Any], result: object) -> None:
            nonlocal failed
            if not failed:
                failed = True
                raise error("injected")
            resolve(future, result)

        monkeypatch.setattr(Future, "set_result", failing)
        futures = [append(store, at) for at in range(3)]
        outcomes = [future.exception(WAIT) for future in futures]
        assert any(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
        position = again(lambda: store.run("run").position)
        again(lambda: append(store, position).result(WAIT))
        assert store.unavailable is None
        steps = [step.position for step in store.steps("run")]
        assert steps == list(range(1, position + 2))


def test_a_writer_that_fails_again_and_again_lets_nobody_wait_and_can_be_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise MemoryError

    with closing(SqliteStore(tmp_path)) as store:
        created(store)
        with monkeypatch.context() as patched:
            patched.setattr(perdure.stores.writer.Writer, "_transact", failing)
            for _ in range(2):
                assert isinstance(append(store, 0).exception(WAIT), StoreUnavailable)
            assert "MemoryError" in (store.unavailable or "")
        again(lambda: append(store, 0).result(WAIT))
