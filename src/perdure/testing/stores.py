"""The conformance suite of stores: what the port promises, as tests that every store runs.

Subclass `StoreConformance` in a test module of pytest and say how a store is opened:

    class TestMyStore(StoreConformance):
        def open_store(self, folder: Path, *, keep: int = 3) -> Store:
            return MyStore(folder / "runs", keep=keep)

A store that outlives its closing subclasses `DurableStoreConformance` instead.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from perdure.errors import (
    Fenced,
    Invalid,
    KeyReused,
    PerdureError,
    PositionConflict,
    QuotaExceeded,
    RunExists,
    RunFinished,
    RunNotFound,
    SavepointNameTaken,
    SavepointNotFound,
    StepNotFound,
    StoreUnavailable,
    VersionConflict,
)
from perdure.lifecycle import Outcome, RunState
from perdure.run import Change, Entry, Key, Run, Step
from perdure.state.savepoint import Savepoint
from perdure.stores.base import Committed, Created, Store

__all__ = [
    "WAIT",
    "DurableStoreConformance",
    "StoreConformance",
    "a_fork",
    "a_key",
    "a_run",
    "a_savepoint",
    "a_step",
    "an_entry",
    "created",
    "raised",
]

E = TypeVar("E", bound=PerdureError)
WAIT = 30.0  # seconds until a future that never resolves fails its test


# Values -----------------------------------------------------------------------------------------------------


def a_run(id: str = "run", *, owner: str = "ann", **fields: Any) -> Run:
    """Make a run to be created."""
    given: dict[str, Any] = {
        "kind": "session",
        "spec": b"spec of " + id.encode(),
        "created": 1.0,
        "updated": 1.0,
    }
    return Run(id=id, owner=owner, **given | fields)


def a_fork(id: str, parent: str, position: int, *, owner: str = "ann") -> Run:
    """Make a run to be forked from another."""
    return a_run(id, owner=owner, parent=parent, parent_position=position)


def a_savepoint(timestamp: int = 0, position: int | None = None, *, milestone: bool = False) -> Savepoint:
    """Make a savepoint of one entity, which names its timestamp."""
    return Savepoint(
        timestamp=timestamp,
        position=timestamp if position is None else position,
        entities={"model": b"state at %d" % timestamp},
        milestone=milestone,
    )


def a_key(text: str = "key", body: bytes = b"body", ordinal: int = 0) -> Key:
    """Make an idempotency key."""
    return Key(text=text, body_hash=body, ordinal=ordinal)


def an_entry(number: int, key: Key | None = None) -> Entry:
    """Make a step to be appended, which names its number."""
    return Entry(inputs=b"in %d" % number if number % 2 else None, outputs=b"out %d" % number, key=key)


def a_step(number: int) -> Step:
    """Make the step that `an_entry` becomes at the position of its number."""
    entry = an_entry(number)
    return Step(position=number, inputs=entry.inputs, outputs=entry.outputs)


@contextlib.contextmanager
def raised(kind: type[E]) -> Iterator[list[E]]:
    """Expect an error within the block, and give it out as the only item of a list."""
    caught: list[E] = []
    try:
        yield caught
    except kind as error:
        caught.append(error)
    assert caught, f"{kind.__name__} was expected"


def created(store: Store, id: str = "run", steps: int = 0, **fields: Any) -> Run:
    """Create a run with savepoint 0 and so many steps."""
    store.create_run(a_run(id, **fields), a_savepoint()).result(WAIT)
    if steps:
        entries = [an_entry(number) for number in range(1, steps + 1)]
        store.append(id, store.fence, 0, entries).result(WAIT)
    return store.run(id)


# The suite --------------------------------------------------------------------------------------------------


class StoreConformance:
    """What every store does. A subclass says how one is opened."""

    def open_store(self, folder: Path, *, keep: int = 3) -> Store:
        """Open the store that is kept in `folder`, an empty one at first."""
        raise AssertionError("Override open_store to say how the store is opened.")

    @contextlib.contextmanager
    def opened(self, folder: Path, *, keep: int = 3) -> Iterator[Store]:
        """Open the store, and close it after the block."""
        store = self.open_store(folder, keep=keep)
        try:
            yield store
        finally:
            store.close()

    # Runs

    def test_a_created_run_is_read_back_as_it_was(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            run = a_run(spec=bytes(range(256)), reason="because", created=1.25, updated=2.5)
            answer = store.create_run(run, a_savepoint()).result(WAIT)
            assert answer == Created(store.run("run"))
            assert answer.run == a_run(
                spec=bytes(range(256)), reason="because", created=1.25, updated=2.5, number=answer.run.number
            )
            assert [info.timestamp for info in store.savepoints("run")] == [0]

    def test_a_run_without_a_savepoint_has_none(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            store.create_run(a_run(), None).result(WAIT)
            assert list(store.savepoints("run")) == []
            assert list(store.steps("run")) == []

    def test_an_id_is_taken_once(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            with raised(RunExists):
                store.create_run(a_run(owner="bob"), a_savepoint()).result(WAIT)
            assert store.run("run").owner == "ann"

    def test_every_method_names_a_run_that_is_not_there(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "other")
            fence = store.fence
            calls: list[Callable[[], Any]] = [
                lambda: store.run("no"),
                lambda: store.steps("no"),
                lambda: store.savepoints("no"),
                lambda: store.savepoint("no", 0),
                lambda: store.step_by_key("no", a_key()),
                lambda: store.update_run("no", 0, Change()).result(WAIT),
                lambda: store.delete_run("no").result(WAIT),
                lambda: store.append("no", fence, 0, [an_entry(1)]).result(WAIT),
                lambda: store.repair_step("no", a_step(1)).result(WAIT),
                lambda: store.put_savepoint("no", fence, a_savepoint()).result(WAIT),
                lambda: store.mark_savepoint("no", 0, name=None, pinned=True).result(WAIT),
                lambda: store.fork_run(a_fork("f", "no", 0), a_savepoint()).result(WAIT),
            ]
            for call in calls:
                with raised(RunNotFound) as errors:
                    call()
                assert errors[0].values["run"] == "no"

    def test_a_repeated_creation_answers_with_the_run_made_then(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            first = store.create_run(a_run("one"), a_savepoint(), a_key()).result(WAIT)
            again = store.create_run(a_run("two"), a_savepoint(), a_key()).result(WAIT)
            assert again == Created(first.run, replayed=True)
            assert store.count_runs() == 1

    def test_a_creation_key_belongs_to_its_owner_and_ordinal(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            store.create_run(a_run("one"), None, a_key()).result(WAIT)
            assert not store.create_run(a_run("two", owner="bob"), None, a_key()).result(WAIT).replayed
            assert not store.create_run(a_run("three"), None, a_key(ordinal=1)).result(WAIT).replayed

    def test_a_run_is_found_by_the_key_it_was_made_under(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            assert store.run_by_key("ann", a_key()) is None
            store.create_run(a_run("one"), a_savepoint(), a_key()).result(WAIT)
            store.fork_run(a_fork("two", "one", 0), a_savepoint(), a_key("fork")).result(WAIT)
            store.update_run("one", 0, Change(reason="it has changed since")).result(WAIT)
            assert store.run_by_key("ann", a_key()) == store.run("one")
            assert store.run_by_key("ann", a_key("fork")) == store.run("two")
            assert store.run_by_key("ann", a_key(ordinal=1)) is None
            assert store.run_by_key("bob", a_key(body=b"else")) is None
            with raised(KeyReused):
                store.run_by_key("ann", a_key(body=b"else"))
            store.delete_run("one").result(WAIT)
            assert store.run_by_key("ann", a_key(body=b"else")) is None

    def test_an_owner_beyond_the_quota_is_refused_but_still_answered(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            first = store.create_run(a_run("one"), None, a_key(), quota=2).result(WAIT)
            store.create_run(a_run("two"), None, quota=2).result(WAIT)
            with raised(QuotaExceeded):
                store.create_run(a_run("three"), None, quota=2).result(WAIT)
            with raised(QuotaExceeded):
                store.fork_run(a_fork("four", "one", 0), a_savepoint(), quota=2).result(WAIT)
            again = store.create_run(a_run("five"), None, a_key(), quota=2).result(WAIT)
            assert again == Created(first.run, replayed=True)
            store.create_run(a_run("another's", owner="bob"), None, quota=2).result(WAIT)
            store.update_run("two", 0, Change(state=RunState.STOPPED)).result(WAIT)
            store.create_run(a_run("three"), None, quota=2).result(WAIT)

    def test_a_creation_key_with_another_body_is_refused(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            store.create_run(a_run("one"), None, a_key()).result(WAIT)
            with raised(KeyReused):
                store.create_run(a_run("two"), None, a_key(body=b"else")).result(WAIT)
            with raised(KeyReused):
                store.fork_run(a_fork("two", "one", 0), a_savepoint(), a_key(body=b"else")).result(WAIT)
            assert store.count_runs() == 1

    def test_runs_are_listed_newest_first_page_by_page(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for number in range(7):
                created(
                    store,
                    f"r{number}",
                    owner="ann" if number % 2 else "bob",
                    kind="task" if number > 4 else "session",
                )
            seen, before = [], None
            while page := store.runs(before=before, limit=3):
                seen += [run.id for run in page]
                before = page[-1].number
            assert seen == ["r6", "r5", "r4", "r3", "r2", "r1", "r0"]
            assert [run.id for run in store.runs(owner="ann")] == ["r5", "r3", "r1"]
            assert [run.id for run in store.runs(owner="ann", kind="session", limit=1)] == ["r3"]
            assert [run.id for run in store.runs(kind="task")] == ["r6", "r5"]
            assert list(store.runs(limit=0)) == []

    def test_numbers_are_never_used_again(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            former = created(store).number
            store.delete_run("run").result(WAIT)
            assert created(store).number > former

    def test_runs_are_counted_by_owner_and_life(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for id, owner in (("a", "ann"), ("b", "ann"), ("c", "bob")):
                created(store, id, owner=owner)
            store.update_run("a", 0, Change(state=RunState.STOPPED)).result(WAIT)
            store.append("c", store.fence, 0, [], change=Change(state=RunState.COMPLETED)).result(WAIT)
            assert (store.count_runs(), store.count_runs("ann"), store.count_runs("eve")) == (3, 2, 0)
            assert (store.count_runs(live=True), store.count_runs("ann", live=True)) == (1, 1)

    def test_an_update_changes_what_is_given(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            before = created(store, steps=2)
            change = Change(state=RunState.COMPLETED, outcome=Outcome.SUCCEEDED)
            after = store.update_run("run", 0, change).result(WAIT)
            assert after == store.run("run")
            assert (after.state, after.outcome) == (RunState.COMPLETED, Outcome.SUCCEEDED)
            assert (after.version, after.position, after.spec, after.reason) == (
                1,
                2,
                before.spec,
                before.reason,
            )
            again = store.update_run("run", 1, Change(spec=b"new", reason="why")).result(WAIT)
            assert (again.spec, again.reason, again.state) == (b"new", "why", RunState.COMPLETED)

    def test_an_update_of_another_version_is_refused(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            store.update_run("run", 0, Change(reason="first")).result(WAIT)
            with raised(VersionConflict):
                store.update_run("run", 0, Change(reason="second")).result(WAIT)
            assert store.run("run").reason == "first"

    def test_steps_leave_the_version_alone(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, steps=1)
            assert store.run("run").version == 0

    def test_a_deleted_run_is_gone_with_all_that_was_its(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "other", steps=1)
            store.create_run(a_run(), a_savepoint(), a_key()).result(WAIT)
            store.append("run", store.fence, 0, [an_entry(1, a_key())]).result(WAIT)
            store.delete_run("run").result(WAIT)
            with raised(RunNotFound):
                store.run("run")
            assert not store.create_run(a_run(), None, a_key(body=b"else")).result(WAIT).replayed
            assert list(store.steps("run")) == []
            assert list(store.savepoints("run")) == []
            assert store.step_by_key("run", a_key(body=b"else")) is None
            assert list(store.steps("other")) == [a_step(1)]

    # Forks

    def test_a_fork_begins_with_the_steps_of_its_parent(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "parent", steps=5)
            fork = store.fork_run(a_fork("fork", "parent", 3), a_savepoint(3)).result(WAIT).run
            assert (fork.position, fork.parent, fork.parent_position) == (3, "parent", 3)
            assert store.run("fork") == fork
            assert list(store.steps("fork")) == [a_step(number) for number in (1, 2, 3)]
            store.append("fork", store.fence, 3, [an_entry(40)]).result(WAIT)
            assert store.steps("parent")[3] == a_step(4)
            assert store.steps("fork")[3].outputs == b"out 40"

    def test_a_fork_outlives_its_parent(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "parent", steps=2)
            store.fork_run(a_fork("fork", "parent", 2), a_savepoint(2)).result(WAIT)
            store.delete_run("parent").result(WAIT)
            assert list(store.steps("fork")) == [a_step(1), a_step(2)]
            assert store.run("fork").parent == "parent"
            assert store.savepoint("fork", 0).entities == a_savepoint(0).entities

    def test_a_fork_takes_milestones_and_savepoint_0_along_without_marks(self, tmp_path: Path) -> None:
        with self.opened(tmp_path, keep=9) as store:
            created(store, "parent", steps=6)
            for at in (1, 2, 4, 5):
                savepoint = a_savepoint(at, milestone=at in (2, 5))
                store.put_savepoint("parent", store.fence, savepoint, name=f"at {at}", pinned=True).result(
                    WAIT
                )
            store.fork_run(a_fork("fork", "parent", 4), a_savepoint(4)).result(WAIT)
            infos = store.savepoints("fork")
            assert [(info.timestamp, info.milestone) for info in infos] == [(0, False), (2, True), (4, False)]
            assert all(info.name is None and not info.pinned for info in infos)
            assert store.savepoint("fork", 2) == a_savepoint(2, milestone=True)

    def test_a_fork_leaves_the_keys_of_steps_behind(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "parent")
            store.append("parent", store.fence, 0, [an_entry(1, a_key())]).result(WAIT)
            store.fork_run(a_fork("fork", "parent", 1), a_savepoint(1)).result(WAIT)
            assert store.step_by_key("fork", a_key()) is None
            assert not store.append("fork", store.fence, 1, [an_entry(2, a_key())]).result(WAIT).replayed

    def test_a_fork_beyond_the_end_is_refused(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "parent", steps=2)
            for position in (3, -1):
                with raised(StepNotFound):
                    store.fork_run(a_fork("fork", "parent", position), a_savepoint()).result(WAIT)
            with raised(Invalid):
                store.fork_run(a_run("fork"), a_savepoint()).result(WAIT)
            with raised(RunExists):
                store.fork_run(a_fork("parent", "parent", 1), a_savepoint()).result(WAIT)
            with raised(RunNotFound):
                store.run("fork")

    def test_a_repeated_fork_answers_with_the_run_made_then(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "parent", steps=2)
            first = store.fork_run(a_fork("one", "parent", 2), a_savepoint(2), a_key()).result(WAIT)
            store.delete_run("parent").result(WAIT)
            again = store.fork_run(a_fork("two", "parent", 2), a_savepoint(2), a_key()).result(WAIT)
            assert again == Created(first.run, replayed=True)

    # Steps

    def test_steps_are_read_back_in_order(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            for position in range(4):
                answer = store.append("run", store.fence, position, [an_entry(position + 1)]).result(WAIT)
                assert answer.steps == (a_step(position + 1),)
                assert not answer.replayed
            assert list(store.steps("run")) == [a_step(number) for number in (1, 2, 3, 4)]
            assert list(store.steps("run", after=1, limit=2)) == [a_step(2), a_step(3)]
            assert list(store.steps("run", after=4)) == []
            assert store.run("run").position == 4

    def test_an_append_elsewhere_than_at_the_end_is_refused(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, steps=2)
            for position in (0, 1, 3):
                with raised(PositionConflict) as errors:
                    store.append("run", store.fence, position, [an_entry(9)]).result(WAIT)
                assert errors[0].values["position"] == 2
            assert store.run("run").position == 2

    def test_an_append_with_another_fence_is_refused_first(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            store.append("run", store.fence, 0, [an_entry(1, a_key())]).result(WAIT)
            for fence in (store.fence - 1, store.fence + 1):
                with raised(Fenced):
                    store.append("run", fence, 0, [an_entry(1, a_key())]).result(WAIT)
                with raised(Fenced):
                    store.put_savepoint("run", fence, a_savepoint(1)).result(WAIT)
            assert store.run("run").position == 1

    def test_a_repeated_key_gets_the_recorded_step(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            store.append("run", store.fence, 0, [an_entry(1, a_key())]).result(WAIT)
            for position in (0, 1, 7):
                answer = store.append("run", store.fence, position, [an_entry(50, a_key())]).result(WAIT)
                assert (answer.steps, answer.replayed) == ((a_step(1),), True)
            assert store.step_by_key("run", a_key()) == a_step(1)
            assert store.run("run").position == 1

    def test_a_repeated_key_is_answered_by_a_finished_run_too(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            change = Change(state=RunState.COMPLETED)
            store.append("run", store.fence, 0, [an_entry(1, a_key())], change=change).result(WAIT)
            assert store.append("run", store.fence, 1, [an_entry(1, a_key())]).result(WAIT).replayed

    def test_a_key_with_another_body_is_refused_wherever_the_log_stands(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            store.append("run", store.fence, 0, [an_entry(1, a_key())]).result(WAIT)
            for position in (0, 1):
                with raised(KeyReused):
                    entry = an_entry(2, a_key(body=b"else"))
                    store.append("run", store.fence, position, [entry]).result(WAIT)
            with raised(KeyReused):
                store.step_by_key("run", a_key(body=b"else"))
            assert store.run("run").position == 1

    def test_a_key_of_a_step_belongs_to_its_run_and_ordinal(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "one")
            created(store, "two")
            store.append("one", store.fence, 0, [an_entry(1, a_key())]).result(WAIT)
            assert store.step_by_key("two", a_key()) is None
            assert not store.append("two", store.fence, 0, [an_entry(1, a_key())]).result(WAIT).replayed
            assert (
                not store.append("one", store.fence, 1, [an_entry(2, a_key(ordinal=1))]).result(WAIT).replayed
            )

    def test_a_repeated_request_of_many_steps_gets_those_that_were_recorded(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            entries = [an_entry(number, a_key(ordinal=number)) for number in (1, 2, 3)]
            store.append("run", store.fence, 0, entries[:2]).result(WAIT)
            answer = store.append("run", store.fence, 0, entries).result(WAIT)
            assert (answer.steps, answer.replayed) == ((a_step(1), a_step(2)), True)

    def test_a_recorded_key_behind_a_new_one_is_refused(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            store.append("run", store.fence, 0, [an_entry(1, a_key())]).result(WAIT)
            for first, second in (("new", "key"), ("twice", "twice")):
                entries = [an_entry(2, a_key(first)), an_entry(3, a_key(second))]
                with raised(KeyReused):
                    store.append("run", store.fence, 1, entries).result(WAIT)
            assert list(store.steps("run")) == [a_step(1)]
            assert store.step_by_key("run", a_key("new")) is None

    def test_a_finished_run_takes_no_steps(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            store.update_run("run", 0, Change(state=RunState.STOPPED)).result(WAIT)
            with raised(RunFinished):
                store.append("run", store.fence, 0, [an_entry(1)]).result(WAIT)
            with raised(PositionConflict):
                store.append("run", store.fence, 1, [an_entry(1)]).result(WAIT)

    def test_an_append_is_kept_whole_or_not_at_all(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            change = Change(state=RunState.COMPLETED, outcome=Outcome.SUCCEEDED, reason="done")
            entries = [an_entry(1), an_entry(2)]
            with raised(PositionConflict):
                store.append("run", store.fence, 1, entries, a_savepoint(2), change).result(WAIT)
            assert (store.run("run").state, len(store.savepoints("run"))) == (RunState.CREATED, 1)
            store.append("run", store.fence, 0, entries, a_savepoint(2), change).result(WAIT)
            run = store.run("run")
            assert (run.state, run.outcome, run.reason) == (RunState.COMPLETED, Outcome.SUCCEEDED, "done")
            assert (run.position, run.version) == (2, 1)
            assert store.savepoint("run", 2) == a_savepoint(2)

    def test_one_of_many_writers_to_a_position_wins(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store, ThreadPoolExecutor(8) as pool:
            created(store)
            for position in range(5):
                start = threading.Barrier(8)

                def attempt(number: int, at: int = position, start: threading.Barrier = start) -> bool:
                    start.wait(WAIT)
                    return store.append("run", store.fence, at, [an_entry(number)]).exception(WAIT) is None

                assert sum(pool.map(attempt, range(8))) == 1
            assert [step.position for step in store.steps("run")] == [1, 2, 3, 4, 5]

    def test_a_damaged_step_is_repaired_in_place(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, steps=3)
            repaired = Step(position=2, inputs=b"i", outputs=b"o")
            store.repair_step("run", repaired).result(WAIT)
            assert list(store.steps("run")) == [a_step(1), repaired, a_step(3)]
            for position in (0, 4):
                with raised(StepNotFound):
                    store.repair_step("run", Step(position=position, inputs=None, outputs=b"")).result(WAIT)

    # Savepoints

    def test_a_savepoint_is_read_back_as_it_was(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            savepoint = Savepoint(
                timestamp=7, position=3, entities={"a": b"", "b": bytes(5000)}, milestone=True
            )
            info = store.put_savepoint("run", store.fence, savepoint, name="x", pinned=True).result(WAIT)
            assert store.savepoint("run", 7) == savepoint
            assert store.savepoints("run")[-1] == info
            assert (info.timestamp, info.position, info.name) == (7, 3, "x")
            assert info.pinned
            assert info.milestone
            assert info.size == len(savepoint.to_blob())

    def test_a_kept_savepoint_never_aliases_what_was_given(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            entities = {"model": b"one"}
            store.put_savepoint("run", store.fence, Savepoint(timestamp=1, entities=entities)).result(WAIT)
            entities["model"] = b"two"
            assert store.savepoint("run", 1).entities == {"model": b"one"}

    def test_a_savepoint_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            with raised(SavepointNotFound):
                store.savepoint("run", 5)
            store.put_savepoint("run", store.fence, a_savepoint(1), name="x").result(WAIT)
            with raised(SavepointNotFound):
                store.mark_savepoint("run", 5, name="x", pinned=False).result(WAIT)

    def test_a_savepoint_replaces_one_at_the_same_timestamp_and_keeps_its_marks(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            first = a_savepoint(1, milestone=True)
            store.put_savepoint("run", store.fence, first, name="x", pinned=True).result(WAIT)
            upgraded = Savepoint(timestamp=1, position=1, entities={"model": b"upgraded"})
            info = store.put_savepoint("run", store.fence, upgraded).result(WAIT)
            assert (info.name, info.pinned, info.milestone) == ("x", True, True)
            assert store.savepoint("run", 1).entities == {"model": b"upgraded"}

    def test_a_name_belongs_to_one_savepoint_of_a_run(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            created(store, "other")
            for run, at in (("run", 1), ("other", 1)):
                store.put_savepoint(run, store.fence, a_savepoint(at), name="calm").result(WAIT)
            store.put_savepoint("run", store.fence, a_savepoint(1), name="calm").result(WAIT)
            with raised(SavepointNameTaken):
                store.put_savepoint("run", store.fence, a_savepoint(2), name="calm").result(WAIT)
            store.put_savepoint("run", store.fence, a_savepoint(2)).result(WAIT)
            with raised(SavepointNameTaken):
                store.mark_savepoint("run", 2, name="calm", pinned=True).result(WAIT)
            assert [info.pinned for info in store.savepoints("run")] == [False, False, False]
            store.mark_savepoint("run", 1, name=None, pinned=False).result(WAIT)
            assert store.mark_savepoint("run", 2, name="calm", pinned=False).result(WAIT).name == "calm"

    def test_retention_keeps_the_newest_and_what_is_marked(self, tmp_path: Path) -> None:
        with self.opened(tmp_path, keep=2) as store:
            created(store)
            put = store.put_savepoint
            put("run", store.fence, a_savepoint(1), name="named").result(WAIT)
            put("run", store.fence, a_savepoint(2), pinned=True).result(WAIT)
            put("run", store.fence, a_savepoint(3, milestone=True)).result(WAIT)
            for at in range(4, 9):
                store.append("run", store.fence, at - 4, [an_entry(at)], a_savepoint(at)).result(WAIT)
            assert [info.timestamp for info in store.savepoints("run")] == [0, 1, 2, 3, 7, 8]

    def test_retention_is_by_timestamp_and_spares_the_one_just_written(self, tmp_path: Path) -> None:
        with self.opened(tmp_path, keep=2) as store:
            created(store)
            for at in (10, 20, 5):
                store.put_savepoint("run", store.fence, a_savepoint(at)).result(WAIT)
            assert [info.timestamp for info in store.savepoints("run")] == [0, 5, 10, 20]
            store.put_savepoint("run", store.fence, a_savepoint(15)).result(WAIT)
            assert [info.timestamp for info in store.savepoints("run")] == [0, 15, 20]

    def test_a_mark_that_was_undone_no_longer_keeps_a_savepoint(self, tmp_path: Path) -> None:
        with self.opened(tmp_path, keep=1) as store:
            created(store)
            store.put_savepoint("run", store.fence, a_savepoint(1)).result(WAIT)
            info = store.mark_savepoint("run", 1, name="x", pinned=True).result(WAIT)
            assert (info.name, info.pinned) == ("x", True)
            store.put_savepoint("run", store.fence, a_savepoint(2)).result(WAIT)
            assert [info.timestamp for info in store.savepoints("run")] == [0, 1, 2]
            store.mark_savepoint("run", 1, name=None, pinned=False).result(WAIT)
            store.put_savepoint("run", store.fence, a_savepoint(3)).result(WAIT)
            assert [info.timestamp for info in store.savepoints("run")] == [0, 3]

    def test_at_least_one_savepoint_is_kept(self, tmp_path: Path) -> None:
        with raised(Invalid):
            self.open_store(tmp_path, keep=0)

    # What dialects keep

    def test_a_record_is_replaced_in_place_of_its_version(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            first = store.put_record("bptk", "id", b"one", None).result(WAIT)
            assert store.record("bptk", "id") == first
            second = store.put_record("bptk", "id", b"two", first.version).result(WAIT)
            assert second.blob == b"two"
            for version in (None, first.version, second.version + 1):
                with raised(VersionConflict):
                    store.put_record("bptk", "id", b"three", version).result(WAIT)
            with raised(VersionConflict):
                store.put_record("bptk", "new", b"three", 1).result(WAIT)
            assert store.record("bptk", "id") == second
            assert store.record("bptk", "new") is None

    def test_a_record_that_was_made_anew_is_not_taken_for_the_former(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            former = store.put_record("bptk", "id", b"one", None).result(WAIT)
            former = store.put_record("bptk", "id", b"two", former.version).result(WAIT)
            seen = {former.version}
            for _ in range(3):
                store.delete_record("bptk", "id").result(WAIT)
                anew = store.put_record("bptk", "id", b"three", None).result(WAIT)
                assert anew.version not in seen
                seen.add(anew.version)
                with raised(VersionConflict):
                    store.put_record("bptk", "id", b"stale", former.version).result(WAIT)
                anew = store.put_record("bptk", "id", b"four", anew.version).result(WAIT)
                assert anew.version not in seen
                seen.add(anew.version)

    def test_records_are_listed_by_id_and_dialect(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for dialect, id in (("bptk", "b"), ("nrp", "a"), ("bptk", "a")):
                store.put_record(dialect, id, id.encode(), None).result(WAIT)
            assert [record.id for record in store.records("bptk")] == ["a", "b"]
            store.delete_record("bptk", "a").result(WAIT)
            store.delete_record("bptk", "a").result(WAIT)
            assert [record.id for record in store.records("bptk")] == ["b"]
            assert [record.id for record in store.records("nrp")] == ["a"]

    # Looking after it

    def test_a_sound_store_has_no_problems(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            assert list(store.check()) == []
            store.create_run(a_run(), a_savepoint(), a_key()).result(WAIT)
            store.append("run", store.fence, 0, [an_entry(1, a_key())], a_savepoint(1)).result(WAIT)
            store.fork_run(a_fork("fork", "run", 1), a_savepoint(1), a_key("fork")).result(WAIT)
            store.put_record("bptk", "id", b"blob", None).result(WAIT)
            assert list(store.check()) == []

    # Watching

    def test_watchers_are_told_each_change_before_its_future_resolves(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            seen: list[Committed] = []
            stop = store.watch(seen.append)
            created(store, steps=2)
            store.update_run("run", 0, Change(state=RunState.STARTED)).result(WAIT)
            store.fork_run(a_fork("fork", "run", 1), a_savepoint(1)).result(WAIT)
            store.delete_run("fork").result(WAIT)
            assert seen == [
                Committed("run", RunState.CREATED, 0),
                Committed("run", RunState.CREATED, 2),
                Committed("run", RunState.STARTED, 2),
                Committed("fork", RunState.CREATED, 1),
                Committed("fork", RunState.CREATED, 1, deleted=True),
            ]
            stop()
            stop()
            store.delete_run("run").result(WAIT)
            assert len(seen) == 5

    def test_watchers_are_not_told_of_what_was_refused_or_replayed(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            store.append("run", store.fence, 0, [an_entry(1, a_key())]).result(WAIT)
            seen: list[Committed] = []
            store.watch(seen.append)
            store.append("run", store.fence, 0, [an_entry(1, a_key())]).result(WAIT)
            store.append("run", store.fence, 0, [an_entry(1)]).exception(WAIT)
            assert seen == []

    def test_a_watcher_that_raises_harms_nobody(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            seen: list[Committed] = []

            def broken(committed: Committed) -> None:
                raise RuntimeError("a bug of the watcher")

            store.watch(broken)
            store.watch(seen.append)
            created(store)
            assert len(seen) == 1

    # Closing

    def test_a_closed_store_refuses_everything_and_says_why(self, tmp_path: Path) -> None:
        store = self.open_store(tmp_path)
        created(store)
        assert store.unavailable is None
        store.close()
        store.close()
        assert store.unavailable
        with raised(StoreUnavailable):
            store.create_run(a_run("new"), None).result(WAIT)
        for read in (
            lambda: store.run("run"),
            lambda: store.run_by_key("ann", a_key()),
            store.runs,
            store.check,
            lambda: store.record("bptk", "a"),
        ):
            with raised(StoreUnavailable):
                read()

    def test_what_waits_is_committed_at_closing(self, tmp_path: Path) -> None:
        store = self.open_store(tmp_path)
        futures: list[Future[Any]] = [store.create_run(a_run(f"r{number}"), None) for number in range(50)]
        store.close()
        assert all(future.done() and future.exception() is None for future in futures)

    def test_reading_in_many_threads_sees_what_was_acknowledged(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store, ThreadPoolExecutor(16) as pool:
            for number in range(16):
                created(store, f"r{number}")

            def step_and_read(number: int) -> bool:
                for position in range(10):
                    store.append(f"r{number}", store.fence, position, [an_entry(position + 1)]).result(WAIT)
                    if store.run(f"r{number}").position != position + 1:
                        return False
                    if store.steps(f"r{number}", after=position) != [a_step(position + 1)]:
                        return False
                return True

            assert all(pool.map(step_and_read, range(16)))


class DurableStoreConformance(StoreConformance):
    """What a store does besides if it outlives its closing."""

    def test_everything_is_there_after_reopening(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            store.create_run(a_run(), a_savepoint(), a_key()).result(WAIT)
            store.append("run", store.fence, 0, [an_entry(1, a_key())], a_savepoint(1)).result(WAIT)
            store.mark_savepoint("run", 1, name="x", pinned=True).result(WAIT)
            store.put_record("bptk", "id", b"blob", None).result(WAIT)
            before = (store.run("run"), store.steps("run"), store.savepoints("run"), store.records("bptk"))
        with self.opened(tmp_path) as store:
            after = (store.run("run"), store.steps("run"), store.savepoints("run"), store.records("bptk"))
            assert after == before
            assert store.step_by_key("run", a_key()) == a_step(1)
            assert store.create_run(a_run("new"), None, a_key()).result(WAIT).replayed

    def test_a_new_opening_voids_the_fence_of_those_before(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            former = store.fence
        with self.opened(tmp_path) as store:
            assert store.fence > former
            with raised(Fenced):
                store.append("run", former, 0, [an_entry(1)]).result(WAIT)
