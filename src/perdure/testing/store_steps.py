"""The conformance suite of stores: steps and savepoints."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec

from perdure.errors import (
    Fenced,
    Invalid,
    KeyReused,
    PositionConflict,
    RunFinished,
    RunNotFound,
    SavepointNameTaken,
    SavepointNotFound,
    StepNotFound,
)
from perdure.lifecycle import Outcome, RunStatus
from perdure.run import Change, Step
from perdure.state.savepoint import Savepoint
from perdure.stores.chain import Chain
from perdure.stores.commands import (
    Append,
    Appended,
    ChangeRun,
    CreateRun,
    DeleteRun,
    Leased,
    MarkSavepoint,
    PutSavepoint,
    RepairStep,
    Unleased,
    encoded,
)
from perdure.testing.store_opening import StoreOpening
from perdure.testing.store_samples import (
    WAIT,
    a_change,
    a_key,
    a_run,
    a_savepoint,
    a_step,
    an_entry,
    created,
    raised,
)

__all__ = ["StepConformance"]


class StepConformance(StoreOpening):
    """The tests of steps, which are appended once, and of savepoints and their retention."""

    # Steps

    def test_keys_are_read_by_position_and_that_of_the_creation(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            run = store.submit(CreateRun(a_run("run"), key=a_key("made"))).result(WAIT).run
            one, two = a_key("one"), a_key("two", ordinal=5)
            entries = [an_entry(1, one), an_entry(2), an_entry(3, two)]
            store.submit(Append("run", Unleased.of(run), 0, entries)).result(WAIT)
            assert list(store.step_keys("run")) == [(1, one), (3, two)]
            assert list(store.step_keys("run", 1)) == [(3, two)]
            assert list(store.step_keys("run", 3)) == []
            assert store.creation_key("run") == a_key("made")
            store.submit(DeleteRun("run")).result(WAIT)
            assert store.creation_key("run") is None
            with raised(RunNotFound):
                store.step_keys("run")

    def test_steps_are_read_back_in_order(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            for position in range(4):
                answer = store.submit(Append("run", Unleased(0), position, [an_entry(position + 1)])).result(
                    WAIT
                )
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
                    store.submit(Append("run", Unleased(0), position, [an_entry(9)])).result(WAIT)
                assert errors[0].values["position"] == 2
            assert store.run("run").position == 2

    def test_a_write_of_another_generation_is_refused(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            store.submit(Append("run", Unleased(0), 0, [an_entry(1, a_key())])).result(WAIT)
            other = store.run("run").number + 1
            for guard in (Unleased(-1), Unleased(1), Unleased(0, other), Leased(0), Leased(1)):
                with raised(Fenced):  # also where the position doesn't fit
                    store.submit(Append("run", guard, 0, [an_entry(2)])).result(WAIT)
                with raised(Fenced):
                    store.submit(PutSavepoint("run", guard, encoded(a_savepoint(1)))).result(WAIT)
            assert store.run("run").position == 1

    def test_a_writer_to_a_run_that_was_deleted_and_made_again_is_refused(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            guard = Unleased.of(created(store))
            store.submit(Append("run", guard, 0, [an_entry(1)])).result(WAIT)
            store.submit(DeleteRun("run")).result(WAIT)
            again = Unleased.of(created(store))
            with raised(Fenced):
                store.submit(Append("run", guard, 0, [an_entry(1)])).result(WAIT)
            store.submit(Append("run", again, 0, [an_entry(1)])).result(WAIT)

    def test_a_change_of_what_a_run_computes_or_of_its_state_fences_who_steps_it(
        self, tmp_path: Path
    ) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            started = Change(state=RunStatus.STARTED)
            store.submit(Append("run", Unleased(0), 0, [an_entry(1)], change=started)).result(WAIT)
            store.submit(Append("run", Unleased(0), 1, [an_entry(2)])).result(WAIT)
            assert store.run("run").generation == 0  # who steps it doesn't fence itself
            upgrade = Append("run", Unleased(0), 2, [], encoded(a_savepoint(2)), Change(spec=b"new"))
            store.submit(upgrade).result(WAIT)
            assert store.run("run").generation == 1
            with raised(Fenced):
                store.submit(Append("run", Unleased(0), 2, [an_entry(3)])).result(WAIT)
            store.submit(Append("run", Unleased(1), 2, [an_entry(3)])).result(WAIT)
            version = store.run("run").version
            store.submit(ChangeRun("run", version, Change(reason="a note"))).result(WAIT)
            store.submit(Append("run", Unleased(1), 3, [an_entry(4)])).result(WAIT)
            stopped = store.submit(ChangeRun("run", version + 1, a_change(RunStatus.STOPPED))).result(WAIT)
            assert stopped == store.run("run")
            assert stopped.generation == 2
            with raised(Fenced):
                store.submit(Append("run", Unleased(1), 4, [an_entry(5)])).result(WAIT)

    def test_a_repeated_key_is_answered_before_the_guard_is_compared(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            store.submit(Append("run", Unleased(0), 0, [an_entry(1, a_key())])).result(WAIT)
            store.submit(ChangeRun("run", 0, a_change(RunStatus.STOPPED))).result(WAIT)
            again = store.submit(Append("run", Unleased(0), 0, [an_entry(1, a_key())])).result(WAIT)
            assert (again.steps, again.replayed) == ((a_step(1),), True)

    def test_a_repeated_key_gets_the_recorded_step(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            store.submit(Append("run", Unleased(0), 0, [an_entry(1, a_key())])).result(WAIT)
            for position in (0, 1, 7):
                answer = store.submit(Append("run", Unleased(0), position, [an_entry(50, a_key())])).result(
                    WAIT
                )
                assert (answer.steps, answer.replayed) == ((a_step(1),), True)
            assert store.step_by_key("run", a_key()) == a_step(1)
            assert store.run("run").position == 1

    def test_a_repeated_key_is_answered_by_a_finished_run_too(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            change = Change(state=RunStatus.COMPLETED)
            store.submit(Append("run", Unleased(0), 0, [an_entry(1, a_key())], change=change)).result(WAIT)
            assert store.submit(Append("run", Unleased(0), 1, [an_entry(1, a_key())])).result(WAIT).replayed

    def test_a_key_with_another_body_is_refused_wherever_the_log_stands(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            store.submit(Append("run", Unleased(0), 0, [an_entry(1, a_key())])).result(WAIT)
            for position in (0, 1):
                with raised(KeyReused):
                    entry = an_entry(2, a_key(body=b"else"))
                    store.submit(Append("run", Unleased(0), position, [entry])).result(WAIT)
            with raised(KeyReused):
                store.step_by_key("run", a_key(body=b"else"))
            assert store.run("run").position == 1

    def test_a_key_of_a_step_belongs_to_its_run_and_ordinal(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "one")
            created(store, "two")
            store.submit(Append("one", Unleased(0), 0, [an_entry(1, a_key())])).result(WAIT)
            assert store.step_by_key("two", a_key()) is None
            assert (
                not store.submit(Append("two", Unleased(0), 0, [an_entry(1, a_key())])).result(WAIT).replayed
            )
            assert (
                not store.submit(Append("one", Unleased(0), 1, [an_entry(2, a_key(ordinal=1))]))
                .result(WAIT)
                .replayed
            )

    def test_a_repeated_request_of_many_steps_gets_those_that_were_recorded(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            entries = [an_entry(number, a_key(ordinal=number)) for number in (1, 2, 3)]
            store.submit(Append("run", Unleased(0), 0, entries[:2])).result(WAIT)
            answer = store.submit(Append("run", Unleased(0), 0, entries)).result(WAIT)
            assert (answer.steps, answer.replayed) == ((a_step(1), a_step(2)), True)

    def test_a_recorded_key_behind_a_new_one_is_refused(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            store.submit(Append("run", Unleased(0), 0, [an_entry(1, a_key())])).result(WAIT)
            for first, second in (("new", "key"), ("twice", "twice")):
                entries = [an_entry(2, a_key(first)), an_entry(3, a_key(second))]
                with raised(KeyReused):
                    store.submit(Append("run", Unleased(0), 1, entries)).result(WAIT)
            assert list(store.steps("run")) == [a_step(1)]
            assert store.step_by_key("run", a_key("new")) is None

    def test_a_finished_run_takes_no_steps(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            store.submit(ChangeRun("run", 0, Change(state=RunStatus.STOPPED))).result(WAIT)
            with raised(RunFinished):
                store.submit(Append("run", Unleased(1), 0, [an_entry(1)])).result(WAIT)
            with raised(PositionConflict):
                store.submit(Append("run", Unleased(1), 1, [an_entry(1)])).result(WAIT)

    def test_an_append_is_kept_whole_or_not_at_all(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            change = Change(state=RunStatus.COMPLETED, outcome=Outcome.SUCCEEDED, reason="done")
            entries = [an_entry(1), an_entry(2)]
            with raised(PositionConflict):
                store.submit(Append("run", Unleased(0), 1, entries, encoded(a_savepoint(2)), change)).result(
                    WAIT
                )
            assert (store.run("run").state, len(store.savepoints("run"))) == (RunStatus.CREATED, 1)
            store.submit(Append("run", Unleased(0), 0, entries, encoded(a_savepoint(2)), change)).result(WAIT)
            run = store.run("run")
            assert (run.state, run.outcome, run.reason) == (RunStatus.COMPLETED, Outcome.SUCCEEDED, "done")
            assert (run.position, run.version) == (2, 1)
            assert store.savepoint("run", 2) == a_savepoint(2)

    def test_one_of_many_writers_to_a_position_wins(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store, ThreadPoolExecutor(8) as pool:
            created(store)
            for position in range(5):
                start = threading.Barrier(8)

                def attempt(number: int, at: int = position, start: threading.Barrier = start) -> bool:
                    start.wait(WAIT)
                    return (
                        store.submit(Append("run", Unleased(0), at, [an_entry(number)])).exception(WAIT)
                        is None
                    )

                assert sum(pool.map(attempt, range(8))) == 1
            assert [step.position for step in store.steps("run")] == [1, 2, 3, 4, 5]

    def test_after_an_append_of_a_chain_that_was_refused_all_later_ones_are(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            chain = Chain()

            def append(position: int) -> Future[Appended]:
                return store.submit(Append("run", Unleased(0), position, [an_entry(position + 1)]), chain)

            assert append(0).exception(WAIT) is None
            store.submit(Append("run", Unleased(0), 1, [an_entry(2)])).result(WAIT)  # another's
            refused = append(1)
            later = append(2)  # which would fit by its position
            assert isinstance(refused.exception(WAIT), PositionConflict)
            assert isinstance(later.exception(WAIT), PositionConflict)
            assert isinstance(append(2).exception(WAIT), PositionConflict)
            assert store.run("run").position == 2
            assert store.submit(Append("run", Unleased(0), 2, [an_entry(3)]), Chain()).exception(WAIT) is None

    def test_the_later_ones_of_a_chain_are_refused_with_an_error_each(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            chain = Chain()
            appends = [
                store.submit(Append("run", Unleased(0), position, [an_entry(position + 1)]), chain)
                for position in (1, 2, 3)
            ]
            errors = [future.exception(WAIT) for future in appends]
            assert len({id(error) for error in errors}) == 3
            for error in errors:
                assert isinstance(error, PositionConflict)
                assert str(error) == str(errors[0])
                assert error.values == {"run": "run", "expected": 2, "position": 0}
                error.values["steps_taken"] = 0  # as the driver does

    def test_after_an_append_of_a_chain_whose_key_is_known_all_later_ones_are_refused(
        self, tmp_path: Path
    ) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            store.submit(Append("run", Unleased(0), 0, [an_entry(1, a_key())])).result(WAIT)
            chain = Chain()
            replayed = store.submit(Append("run", Unleased(0), 0, [an_entry(1, a_key())]), chain)
            later = store.submit(Append("run", Unleased(0), 1, [an_entry(2)]), chain)
            assert replayed.result(WAIT).replayed
            assert isinstance(later.exception(WAIT), PositionConflict)
            assert store.run("run").position == 1

    def test_a_damaged_step_is_repaired_in_place(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, steps=3)
            repaired = Step(position=2, inputs=b"i", outputs=b"o")
            store.submit(RepairStep("run", repaired)).result(WAIT)
            assert list(store.steps("run")) == [a_step(1), repaired, a_step(3)]
            for position in (0, 4):
                with raised(StepNotFound):
                    store.submit(RepairStep("run", Step(position=position, inputs=None, outputs=b""))).result(
                        WAIT
                    )

    # Savepoints

    def test_a_savepoint_is_read_back_as_it_was(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            savepoint = Savepoint(
                timestamp=7, position=3, entities={"a": b"", "b": bytes(5000)}, milestone=True
            )
            info = store.submit(
                PutSavepoint("run", Unleased(0), encoded(savepoint), name="x", pinned=True)
            ).result(WAIT)
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
            store.submit(
                PutSavepoint("run", Unleased(0), encoded(Savepoint(timestamp=1, entities=entities)))
            ).result(WAIT)
            entities["model"] = b"two"
            assert store.savepoint("run", 1).entities == {"model": b"one"}

    def test_a_savepoint_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            with raised(SavepointNotFound):
                store.savepoint("run", 5)
            store.submit(PutSavepoint("run", Unleased(0), encoded(a_savepoint(1)), name="x")).result(WAIT)
            with raised(SavepointNotFound):
                store.submit(MarkSavepoint("run", 5, name="x", pinned=False)).result(WAIT)

    def test_a_savepoint_replaces_one_at_the_same_timestamp_and_keeps_its_marks(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            first = a_savepoint(1, milestone=True)
            store.submit(PutSavepoint("run", Unleased(0), encoded(first), name="x", pinned=True)).result(WAIT)
            upgraded = Savepoint(timestamp=1, position=1, entities={"model": b"upgraded"})
            info = store.submit(PutSavepoint("run", Unleased(0), encoded(upgraded))).result(WAIT)
            assert (info.name, info.pinned, info.milestone) == ("x", True, True)
            assert store.savepoint("run", 1).entities == {"model": b"upgraded"}

    def test_a_name_belongs_to_one_savepoint_of_a_run(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            created(store, "other")
            for run, at in (("run", 1), ("other", 1)):
                store.submit(PutSavepoint(run, Unleased(0), encoded(a_savepoint(at)), name="calm")).result(
                    WAIT
                )
            store.submit(PutSavepoint("run", Unleased(0), encoded(a_savepoint(1)), name="calm")).result(WAIT)
            with raised(SavepointNameTaken):
                store.submit(PutSavepoint("run", Unleased(0), encoded(a_savepoint(2)), name="calm")).result(
                    WAIT
                )
            store.submit(PutSavepoint("run", Unleased(0), encoded(a_savepoint(2)))).result(WAIT)
            with raised(SavepointNameTaken):
                store.submit(MarkSavepoint("run", 2, name="calm", pinned=True)).result(WAIT)
            assert [info.pinned for info in store.savepoints("run")] == [False, False, False]
            store.submit(MarkSavepoint("run", 1, name=None, pinned=False)).result(WAIT)
            assert (
                store.submit(MarkSavepoint("run", 2, name="calm", pinned=False)).result(WAIT).name == "calm"
            )

    def test_retention_keeps_the_newest_and_what_is_marked(self, tmp_path: Path) -> None:
        with self.opened(tmp_path, keep=2) as store:
            created(store)
            guard = Unleased(0)
            store.submit(PutSavepoint("run", guard, encoded(a_savepoint(1)), name="named")).result(WAIT)
            store.submit(PutSavepoint("run", guard, encoded(a_savepoint(2)), pinned=True)).result(WAIT)
            store.submit(PutSavepoint("run", guard, encoded(a_savepoint(3, milestone=True)))).result(WAIT)
            for at in range(4, 9):
                store.submit(
                    Append("run", Unleased(0), at - 4, [an_entry(at)], encoded(a_savepoint(at)))
                ).result(WAIT)
            assert [info.timestamp for info in store.savepoints("run")] == [0, 1, 2, 3, 7, 8]

    def test_a_savepoint_may_say_how_many_are_kept(self, tmp_path: Path) -> None:
        with self.opened(tmp_path, keep=2) as store:
            created(store)
            for at in range(1, 6):
                kept = msgspec.structs.replace(a_savepoint(at), keep=4)
                store.submit(PutSavepoint("run", Unleased(0), encoded(kept))).result(WAIT)
            assert [info.timestamp for info in store.savepoints("run")] == [0, 2, 3, 4, 5]
            store.submit(PutSavepoint("run", Unleased(0), encoded(a_savepoint(6)))).result(WAIT)
            assert [info.timestamp for info in store.savepoints("run")] == [0, 5, 6]

    def test_retention_is_by_timestamp_and_spares_the_one_just_written(self, tmp_path: Path) -> None:
        with self.opened(tmp_path, keep=2) as store:
            created(store)
            for at in (10, 20, 5):
                store.submit(PutSavepoint("run", Unleased(0), encoded(a_savepoint(at)))).result(WAIT)
            assert [info.timestamp for info in store.savepoints("run")] == [0, 5, 10, 20]
            store.submit(PutSavepoint("run", Unleased(0), encoded(a_savepoint(15)))).result(WAIT)
            assert [info.timestamp for info in store.savepoints("run")] == [0, 15, 20]

    def test_a_mark_that_was_undone_no_longer_keeps_a_savepoint(self, tmp_path: Path) -> None:
        with self.opened(tmp_path, keep=1) as store:
            created(store)
            store.submit(PutSavepoint("run", Unleased(0), encoded(a_savepoint(1)))).result(WAIT)
            info = store.submit(MarkSavepoint("run", 1, name="x", pinned=True)).result(WAIT)
            assert (info.name, info.pinned) == ("x", True)
            store.submit(PutSavepoint("run", Unleased(0), encoded(a_savepoint(2)))).result(WAIT)
            assert [info.timestamp for info in store.savepoints("run")] == [0, 1, 2]
            store.submit(MarkSavepoint("run", 1, name=None, pinned=False)).result(WAIT)
            store.submit(PutSavepoint("run", Unleased(0), encoded(a_savepoint(3)))).result(WAIT)
            assert [info.timestamp for info in store.savepoints("run")] == [0, 3]

    def test_at_least_one_savepoint_is_kept(self, tmp_path: Path) -> None:
        with raised(Invalid):
            self.open_store(tmp_path, keep=0)
