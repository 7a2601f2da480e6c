"""The conformance suite of stores: steps."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from perdure.errors import Fenced, KeyReused, PositionConflict, RunFinished, RunNotFound, StepNotFound
from perdure.lifecycle import Outcome, RunStatus
from perdure.run import Change, Step
from perdure.stores.chain import Chain
from perdure.stores.commands import (
    Append,
    Appended,
    ChangeRun,
    CreateRun,
    DeleteRun,
    Leased,
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
    commit,
    created,
    raised,
)

__all__ = ["StepConformance"]


class StepConformance(StoreOpening):
    """The tests of steps, each of which is appended once."""

    def test_keys_are_read_by_position_and_that_of_the_creation(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            run = commit(store, CreateRun(a_run("run"), key=a_key("made"))).run
            one, two = a_key("one"), a_key("two", ordinal=5)
            entries = [an_entry(1, one), an_entry(2), an_entry(3, two)]
            commit(store, Append("run", Unleased.of(run), 0, entries))
            assert list(store.step_keys("run")) == [(1, one), (3, two)]
            assert list(store.step_keys("run", 1)) == [(3, two)]
            assert list(store.step_keys("run", 3)) == []
            assert store.creation_key("run") == a_key("made")
            commit(store, DeleteRun("run"))
            assert store.creation_key("run") is None
            with raised(RunNotFound):
                store.step_keys("run")

    def test_steps_are_read_back_in_order(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            for position in range(4):
                answer = commit(store, Append("run", Unleased(0), position, [an_entry(position + 1)]))
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
                    commit(store, Append("run", Unleased(0), position, [an_entry(9)]))
                assert errors[0].values["position"] == 2
            assert store.run("run").position == 2

    def test_a_write_of_another_generation_is_refused(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            commit(store, Append("run", Unleased(0), 0, [an_entry(1, a_key())]))
            other = store.run("run").number + 1
            for guard in (Unleased(-1), Unleased(1), Unleased(0, other), Leased(0), Leased(1)):
                with raised(Fenced):  # also where the position doesn't fit
                    commit(store, Append("run", guard, 0, [an_entry(2)]))
                with raised(Fenced):
                    commit(store, PutSavepoint("run", guard, encoded(a_savepoint(1))))
            assert store.run("run").position == 1

    def test_a_writer_to_a_run_that_was_deleted_and_made_again_is_refused(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            guard = Unleased.of(created(store))
            commit(store, Append("run", guard, 0, [an_entry(1)]))
            commit(store, DeleteRun("run"))
            again = Unleased.of(created(store))
            with raised(Fenced):
                commit(store, Append("run", guard, 0, [an_entry(1)]))
            commit(store, Append("run", again, 0, [an_entry(1)]))

    def test_a_change_of_what_a_run_computes_or_of_its_state_fences_who_steps_it(
        self, tmp_path: Path
    ) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            started = Change(state=RunStatus.STARTED)
            commit(store, Append("run", Unleased(0), 0, [an_entry(1)], change=started))
            commit(store, Append("run", Unleased(0), 1, [an_entry(2)]))
            assert store.run("run").generation == 0  # who steps it doesn't fence itself
            upgrade = Append("run", Unleased(0), 2, [], encoded(a_savepoint(2)), Change(spec=b"new"))
            commit(store, upgrade)
            assert store.run("run").generation == 1
            with raised(Fenced):
                commit(store, Append("run", Unleased(0), 2, [an_entry(3)]))
            commit(store, Append("run", Unleased(1), 2, [an_entry(3)]))
            version = store.run("run").version
            commit(store, ChangeRun("run", version, Change(reason="a note")))
            commit(store, Append("run", Unleased(1), 3, [an_entry(4)]))
            stopped = commit(store, ChangeRun("run", version + 1, a_change(RunStatus.STOPPED)))
            assert stopped == store.run("run")
            assert stopped.generation == 2
            with raised(Fenced):
                commit(store, Append("run", Unleased(1), 4, [an_entry(5)]))

    def test_a_repeated_key_is_answered_before_the_guard_is_compared(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            commit(store, Append("run", Unleased(0), 0, [an_entry(1, a_key())]))
            commit(store, ChangeRun("run", 0, a_change(RunStatus.STOPPED)))
            again = commit(store, Append("run", Unleased(0), 0, [an_entry(1, a_key())]))
            assert (again.steps, again.replayed) == ((a_step(1),), True)

    def test_a_repeated_key_gets_the_recorded_step(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            commit(store, Append("run", Unleased(0), 0, [an_entry(1, a_key())]))
            for position in (0, 1, 7):
                answer = commit(store, Append("run", Unleased(0), position, [an_entry(50, a_key())]))
                assert (answer.steps, answer.replayed) == ((a_step(1),), True)
            assert store.step_by_key("run", a_key()) == a_step(1)
            assert store.run("run").position == 1

    def test_a_repeated_key_is_answered_by_a_finished_run_too(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            change = Change(state=RunStatus.COMPLETED)
            commit(store, Append("run", Unleased(0), 0, [an_entry(1, a_key())], change=change))
            assert commit(store, Append("run", Unleased(0), 1, [an_entry(1, a_key())])).replayed

    def test_a_key_with_another_body_is_refused_wherever_the_log_stands(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            commit(store, Append("run", Unleased(0), 0, [an_entry(1, a_key())]))
            for position in (0, 1):
                with raised(KeyReused):
                    entry = an_entry(2, a_key(body=b"else"))
                    commit(store, Append("run", Unleased(0), position, [entry]))
            with raised(KeyReused):
                store.step_by_key("run", a_key(body=b"else"))
            assert store.run("run").position == 1

    def test_a_key_of_a_step_belongs_to_its_run_and_ordinal(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "one")
            created(store, "two")
            commit(store, Append("one", Unleased(0), 0, [an_entry(1, a_key())]))
            assert store.step_by_key("two", a_key()) is None
            assert not commit(store, Append("two", Unleased(0), 0, [an_entry(1, a_key())])).replayed
            assert not commit(store, Append("one", Unleased(0), 1, [an_entry(2, a_key(ordinal=1))])).replayed

    def test_a_repeated_request_of_many_steps_gets_those_that_were_recorded(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            entries = [an_entry(number, a_key(ordinal=number)) for number in (1, 2, 3)]
            commit(store, Append("run", Unleased(0), 0, entries[:2]))
            answer = commit(store, Append("run", Unleased(0), 0, entries))
            assert (answer.steps, answer.replayed) == ((a_step(1), a_step(2)), True)

    def test_a_recorded_key_behind_a_new_one_is_refused(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            commit(store, Append("run", Unleased(0), 0, [an_entry(1, a_key())]))
            for first, second in (("new", "key"), ("twice", "twice")):
                entries = [an_entry(2, a_key(first)), an_entry(3, a_key(second))]
                with raised(KeyReused):
                    commit(store, Append("run", Unleased(0), 1, entries))
            assert list(store.steps("run")) == [a_step(1)]
            assert store.step_by_key("run", a_key("new")) is None

    def test_a_finished_run_takes_no_steps(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            commit(store, ChangeRun("run", 0, Change(state=RunStatus.STOPPED)))
            with raised(RunFinished):
                commit(store, Append("run", Unleased(1), 0, [an_entry(1)]))
            with raised(PositionConflict):
                commit(store, Append("run", Unleased(1), 1, [an_entry(1)]))

    def test_an_append_is_kept_whole_or_not_at_all(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            change = Change(state=RunStatus.COMPLETED, outcome=Outcome.SUCCEEDED, reason="done")
            entries = [an_entry(1), an_entry(2)]
            with raised(PositionConflict):
                commit(store, Append("run", Unleased(0), 1, entries, encoded(a_savepoint(2)), change))
            assert (store.run("run").state, len(store.savepoints("run"))) == (RunStatus.CREATED, 1)
            commit(store, Append("run", Unleased(0), 0, entries, encoded(a_savepoint(2)), change))
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
            commit(store, Append("run", Unleased(0), 1, [an_entry(2)]))  # another's
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
            commit(store, Append("run", Unleased(0), 0, [an_entry(1, a_key())]))
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
            commit(store, RepairStep("run", repaired))
            assert list(store.steps("run")) == [a_step(1), repaired, a_step(3)]
            for position in (0, 4):
                with raised(StepNotFound):
                    commit(store, RepairStep("run", Step(position=position, inputs=None, outputs=b"")))
