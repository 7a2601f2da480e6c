"""The conformance suite of stores: runs and forks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from perdure.errors import (
    EndedRunsExceeded,
    Invalid,
    KeyReused,
    QuotaExceeded,
    RunExists,
    RunNotFound,
    StepNotFound,
    VersionConflict,
)
from perdure.lifecycle import Outcome, RunStatus
from perdure.run import Change
from perdure.stores.commands import (
    Append,
    ChangeRun,
    Committed,
    Created,
    CreateRun,
    DeleteRun,
    Fork,
    ForkRuns,
    Leased,
    MarkSavepoint,
    Notice,
    PutSavepoint,
    ReadTime,
    RepairStep,
    Unleased,
    encoded,
)
from perdure.stores.quota import Quota
from perdure.testing.store_opening import StoreOpening
from perdure.testing.store_samples import (
    WAIT,
    a_fork,
    a_key,
    a_run,
    a_savepoint,
    a_step,
    an_entry,
    created,
    raised,
)

__all__ = ["RunConformance"]

TWO = Quota(unfinished=2)


class RunConformance(StoreOpening):
    """The tests of runs: creation, changes, deletion and forks."""

    # Runs

    def test_a_created_run_is_read_back_as_it_was(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            run = a_run(spec=bytes(range(256)), reason="because", created=1.25, updated=2.5)
            answer = store.submit(CreateRun(run, encoded(a_savepoint()))).result(WAIT)
            assert answer == Created(store.run("run"))
            assert answer.run == a_run(
                spec=bytes(range(256)), reason="because", created=1.25, updated=2.5, number=answer.run.number
            )
            assert [info.timestamp for info in store.savepoints("run")] == [0]

    def test_a_run_without_a_savepoint_has_none(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            store.submit(CreateRun(a_run())).result(WAIT)
            assert list(store.savepoints("run")) == []
            assert list(store.steps("run")) == []

    def test_an_id_is_taken_once(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            with raised(RunExists):
                store.submit(CreateRun(a_run(owner="bob"), encoded(a_savepoint()))).result(WAIT)
            assert store.run("run").owner == "ann"

    def test_every_method_names_a_run_that_is_not_there(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "other")
            fence = 1
            calls: list[Callable[[], Any]] = [
                lambda: store.run("no"),
                lambda: store.steps("no"),
                lambda: store.savepoints("no"),
                lambda: store.savepoint("no", 0),
                lambda: store.step_by_key("no", a_key()),
                lambda: store.submit(ChangeRun("no", 0, Change())).result(WAIT),
                lambda: store.submit(DeleteRun("no")).result(WAIT),
                lambda: store.submit(Append("no", Leased(fence), 0, [an_entry(1)])).result(WAIT),
                lambda: store.submit(RepairStep("no", a_step(1))).result(WAIT),
                lambda: store.submit(PutSavepoint("no", Leased(fence), encoded(a_savepoint()))).result(WAIT),
                lambda: store.submit(MarkSavepoint("no", 0, name=None, pinned=True)).result(WAIT),
                lambda: store.submit(
                    ForkRuns([Fork(run=a_fork("f", "no", 0), savepoint=encoded(a_savepoint()))])
                ).result(WAIT)[0],
            ]
            for call in calls:
                with raised(RunNotFound) as errors:
                    call()
                assert errors[0].values["run"] == "no"

    def test_a_repeated_creation_answers_with_the_run_made_then(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            first = store.submit(CreateRun(a_run("one"), encoded(a_savepoint()), a_key())).result(WAIT)
            again = store.submit(CreateRun(a_run("two"), encoded(a_savepoint()), a_key())).result(WAIT)
            assert again == Created(first.run, replayed=True)
            assert [run.id for run in store.runs()] == ["one"]

    def test_a_creation_key_belongs_to_its_owner_and_ordinal(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            store.submit(CreateRun(a_run("one"), key=a_key())).result(WAIT)
            assert not store.submit(CreateRun(a_run("two", owner="bob"), key=a_key())).result(WAIT).replayed
            assert not store.submit(CreateRun(a_run("three"), key=a_key(ordinal=1))).result(WAIT).replayed

    def test_a_run_is_found_by_the_key_it_was_made_under(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            assert store.run_by_key("ann", a_key()) is None
            store.submit(CreateRun(a_run("one"), encoded(a_savepoint()), a_key())).result(WAIT)
            store.submit(
                ForkRuns(
                    [Fork(run=a_fork("two", "one", 0), savepoint=encoded(a_savepoint()), key=a_key("fork"))]
                )
            ).result(WAIT)[0]
            store.submit(ChangeRun("one", 0, Change(reason="it has changed since"))).result(WAIT)
            assert store.run_by_key("ann", a_key()) == store.run("one")
            assert store.run_by_key("ann", a_key("fork")) == store.run("two")
            assert store.run_by_key("ann", a_key(ordinal=1)) is None
            assert store.run_by_key("bob", a_key(body=b"else")) is None
            with raised(KeyReused):
                store.run_by_key("ann", a_key(body=b"else"))
            store.submit(DeleteRun("one")).result(WAIT)
            assert store.run_by_key("ann", a_key(body=b"else")) is None

    def test_an_owner_beyond_the_quota_is_refused_but_still_answered(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            first = store.submit(CreateRun(a_run("one"), key=a_key(), quota=TWO)).result(WAIT)
            store.submit(CreateRun(a_run("two"), quota=TWO)).result(WAIT)
            with raised(QuotaExceeded):
                store.submit(CreateRun(a_run("three"), quota=TWO)).result(WAIT)
            with raised(QuotaExceeded):
                store.submit(
                    ForkRuns(
                        [Fork(run=a_fork("four", "one", 0), savepoint=encoded(a_savepoint()))], quota=TWO
                    )
                ).result(WAIT)[0]
            again = store.submit(CreateRun(a_run("five"), key=a_key(), quota=TWO)).result(WAIT)
            assert again == Created(first.run, replayed=True)
            store.submit(CreateRun(a_run("another's", owner="bob"), quota=TWO)).result(WAIT)
            store.submit(ChangeRun("two", 0, Change(state=RunStatus.STOPPED))).result(WAIT)
            store.submit(CreateRun(a_run("three"), quota=TWO)).result(WAIT)

    def test_ended_runs_are_counted_in_the_transaction_that_makes_one_more(self, tmp_path: Path) -> None:
        quota, ended = Quota(ended=2), Change(state=RunStatus.STOPPED)
        with self.opened(tmp_path) as store:
            for id in ("one", "two", "three"):
                store.submit(CreateRun(a_run(id), encoded(a_savepoint()), a_key(id), quota=quota)).result(
                    WAIT
                )
            store.submit(ChangeRun("one", 0, ended)).result(WAIT)
            store.check_quota("ann", quota)
            # All of these are on their way at once; the third one ends a run before the fourth is made. A
            # store that executes commands of different runs side by side has to be waited for.
            first = store.submit(CreateRun(a_run("four"), quota=quota))
            if store.shared:
                first.result(WAIT)
            changed = store.submit(ChangeRun("two", 0, ended))
            if store.shared:
                changed.result(WAIT)
            fork = Fork(run=a_fork("six", "three", 0), savepoint=encoded(a_savepoint()))
            refused = (
                store.submit(CreateRun(a_run("five"), quota=quota)),
                store.submit(ForkRuns([Fork(run=fork.run, savepoint=fork.savepoint)], quota=quota)),
                store.submit(ForkRuns([fork], quota=quota)),
            )
            assert first.exception(WAIT) is None
            for future in refused:
                error = future.exception(WAIT)
                assert isinstance(error, EndedRunsExceeded)
                assert error.values == {"owner": "ann", "count": 2, "limit": 2}
            with raised(EndedRunsExceeded):
                store.check_quota("ann", quota)
            assert sorted(run.id for run in store.runs()) == ["four", "one", "three", "two"]
            assert store.submit(CreateRun(a_run("five"), key=a_key("one"), quota=quota)).result(WAIT).replayed
            store.submit(CreateRun(a_run("another's", owner="bob"), quota=quota)).result(WAIT)
            store.submit(DeleteRun("one")).result(WAIT)
            store.submit(CreateRun(a_run("five"), quota=quota)).result(WAIT)

    def test_a_creation_key_with_another_body_is_refused(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            store.submit(CreateRun(a_run("one"), key=a_key())).result(WAIT)
            with raised(KeyReused):
                store.submit(CreateRun(a_run("two"), key=a_key(body=b"else"))).result(WAIT)
            with raised(KeyReused):
                store.submit(
                    ForkRuns(
                        [
                            Fork(
                                run=a_fork("two", "one", 0),
                                savepoint=encoded(a_savepoint()),
                                key=a_key(body=b"else"),
                            )
                        ]
                    )
                ).result(WAIT)[0]
            assert [run.id for run in store.runs()] == ["one"]

    def test_numbers_are_never_used_again(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            former = created(store).number
            store.submit(DeleteRun("run")).result(WAIT)
            assert created(store).number > former

    def test_an_update_changes_what_is_given(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            before = created(store, steps=2)
            change = Change(state=RunStatus.COMPLETED, outcome=Outcome.SUCCEEDED)
            after = store.submit(ChangeRun("run", 0, change)).result(WAIT)
            assert after == store.run("run")
            assert (after.state, after.outcome) == (RunStatus.COMPLETED, Outcome.SUCCEEDED)
            assert (after.version, after.position, after.spec, after.reason) == (
                1,
                2,
                before.spec,
                before.reason,
            )
            again = store.submit(ChangeRun("run", 1, Change(spec=b"new", reason="why"))).result(WAIT)
            assert (again.spec, again.reason, again.state) == (b"new", "why", RunStatus.COMPLETED)

    def test_the_time_of_a_change_is_that_of_the_clock_that_is_read(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            before = store.submit(ReadTime()).result(WAIT)
            changed = store.submit(ChangeRun("run", 0, Change(reason="why"))).result(WAIT)
            assert before <= changed.updated <= store.submit(ReadTime()).result(WAIT)

    def test_an_update_of_another_version_is_refused(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            store.submit(ChangeRun("run", 0, Change(reason="first"))).result(WAIT)
            with raised(VersionConflict):
                store.submit(ChangeRun("run", 0, Change(reason="second"))).result(WAIT)
            assert store.run("run").reason == "first"

    def test_steps_leave_the_version_alone(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, steps=1)
            assert store.run("run").version == 0

    def test_a_deleted_run_is_gone_with_all_that_was_its(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "other", steps=1)
            store.submit(CreateRun(a_run(), encoded(a_savepoint()), a_key())).result(WAIT)
            store.submit(Append("run", Unleased(0), 0, [an_entry(1, a_key())])).result(WAIT)
            store.submit(DeleteRun("run")).result(WAIT)
            with raised(RunNotFound):
                store.run("run")
            assert not store.submit(CreateRun(a_run(), key=a_key(body=b"else"))).result(WAIT).replayed
            assert list(store.steps("run")) == []
            assert list(store.savepoints("run")) == []
            assert store.step_by_key("run", a_key(body=b"else")) is None
            assert list(store.steps("other")) == [a_step(1)]

    # Forks

    def test_a_fork_begins_with_the_steps_of_its_parent(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "parent", steps=5)
            fork = (
                store.submit(
                    ForkRuns([Fork(run=a_fork("fork", "parent", 3), savepoint=encoded(a_savepoint(3)))])
                )
                .result(WAIT)[0]
                .run
            )
            assert (fork.position, fork.parent, fork.parent_position) == (3, "parent", 3)
            assert store.run("fork") == fork
            assert list(store.steps("fork")) == [a_step(number) for number in (1, 2, 3)]
            store.submit(Append("fork", Unleased(0), 3, [an_entry(40)])).result(WAIT)
            assert store.steps("parent")[3] == a_step(4)
            assert store.steps("fork")[3].outputs == b"out 40"

    def test_a_fork_outlives_its_parent(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "parent", steps=2)
            store.submit(
                ForkRuns([Fork(run=a_fork("fork", "parent", 2), savepoint=encoded(a_savepoint(2)))])
            ).result(WAIT)[0]
            store.submit(DeleteRun("parent")).result(WAIT)
            assert list(store.steps("fork")) == [a_step(1), a_step(2)]
            assert store.run("fork").parent == "parent"
            assert store.savepoint("fork", 0).entities == a_savepoint(0).entities

    def test_a_fork_takes_milestones_and_savepoint_0_along_without_marks(self, tmp_path: Path) -> None:
        with self.opened(tmp_path, keep=9) as store:
            created(store, "parent", steps=6)
            for at in (1, 2, 4, 5):
                savepoint = a_savepoint(at, milestone=at in (2, 5))
                store.submit(
                    PutSavepoint("parent", Unleased(0), encoded(savepoint), name=f"at {at}", pinned=True)
                ).result(WAIT)
            store.submit(
                ForkRuns([Fork(run=a_fork("fork", "parent", 4), savepoint=encoded(a_savepoint(4)))])
            ).result(WAIT)[0]
            infos = store.savepoints("fork")
            assert [(info.timestamp, info.milestone) for info in infos] == [(0, False), (2, True), (4, False)]
            assert all(info.name is None and not info.pinned for info in infos)
            assert store.savepoint("fork", 2) == a_savepoint(2, milestone=True)

    def test_a_fork_leaves_the_keys_of_steps_behind(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "parent")
            store.submit(Append("parent", Unleased(0), 0, [an_entry(1, a_key())])).result(WAIT)
            store.submit(
                ForkRuns([Fork(run=a_fork("fork", "parent", 1), savepoint=encoded(a_savepoint(1)))])
            ).result(WAIT)[0]
            assert store.step_by_key("fork", a_key()) is None
            assert (
                not store.submit(Append("fork", Unleased(0), 1, [an_entry(2, a_key())])).result(WAIT).replayed
            )

    def test_a_fork_beyond_the_end_is_refused(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "parent", steps=2)
            for position in (3, -1):
                with raised(StepNotFound):
                    store.submit(
                        ForkRuns(
                            [Fork(run=a_fork("fork", "parent", position), savepoint=encoded(a_savepoint()))]
                        )
                    ).result(WAIT)[0]
            with raised(Invalid):
                store.submit(ForkRuns([Fork(run=a_run("fork"), savepoint=encoded(a_savepoint()))])).result(
                    WAIT
                )[0]
            with raised(RunExists):
                store.submit(
                    ForkRuns([Fork(run=a_fork("parent", "parent", 1), savepoint=encoded(a_savepoint()))])
                ).result(WAIT)[0]
            with raised(RunNotFound):
                store.run("fork")

    def test_a_repeated_fork_answers_with_the_run_made_then(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "parent", steps=2)
            first = store.submit(
                ForkRuns(
                    [Fork(run=a_fork("one", "parent", 2), savepoint=encoded(a_savepoint(2)), key=a_key())]
                )
            ).result(WAIT)[0]
            store.submit(DeleteRun("parent")).result(WAIT)
            again = store.submit(
                ForkRuns(
                    [Fork(run=a_fork("two", "parent", 2), savepoint=encoded(a_savepoint(2)), key=a_key())]
                )
            ).result(WAIT)[0]
            assert again == Created(first.run, replayed=True)

    def test_several_forks_are_made_together_and_each_is_reported(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "parent")
            store.submit(Append("parent", Unleased(0), 0, [an_entry(1)])).result(WAIT)
            reported: list[Committed | Notice] = []
            store.watch(reported.append)
            forks = [
                Fork(
                    run=a_fork(name, "parent", 1),
                    savepoint=encoded(a_savepoint(1)),
                    key=a_key(ordinal=ordinal),
                )
                for ordinal, name in enumerate(["one", "two"])
            ]
            made = store.submit(ForkRuns(forks)).result(WAIT)
            assert made == [Created(store.run("one")), Created(store.run("two"))]
            assert [
                (commit.run_id, commit.position) for commit in reported if isinstance(commit, Committed)
            ] == [("one", 1), ("two", 1)]
            assert store.run_by_key("ann", a_key(ordinal=1)) == store.run("two")
            again = [
                Fork(run=a_fork("else", "parent", 1), savepoint=encoded(a_savepoint(1)), key=a_key(ordinal=1))
            ]
            assert store.submit(ForkRuns(again)).result(WAIT) == [Created(store.run("two"), replayed=True)]

    def test_of_several_forks_all_are_made_or_none(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "parent")
            fits = Fork(run=a_fork("one", "parent", 0), savepoint=encoded(a_savepoint()), key=a_key())
            beyond = Fork(run=a_fork("two", "parent", 1), savepoint=encoded(a_savepoint()))
            with raised(StepNotFound):
                store.submit(ForkRuns([fits, beyond])).result(WAIT)
            more = Fork(run=a_fork("two", "parent", 0), savepoint=encoded(a_savepoint()))
            with raised(QuotaExceeded):
                store.submit(ForkRuns([fits, more], quota=TWO)).result(WAIT)
            assert [run.id for run in store.runs()] == ["parent"]
            assert store.run_by_key("ann", a_key()) is None
            assert (
                not store.submit(ForkRuns([fits, more], quota=Quota(unfinished=3))).result(WAIT)[0].replayed
            )
