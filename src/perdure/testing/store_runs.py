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
    commit,
    created,
    forked,
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
            answer = commit(store, CreateRun(run, encoded(a_savepoint())))
            assert answer == Created(store.run("run"))
            assert answer.run == a_run(
                spec=bytes(range(256)), reason="because", created=1.25, updated=2.5, number=answer.run.number
            )
            assert [info.timestamp for info in store.savepoints("run")] == [0]

    def test_a_run_without_a_savepoint_has_none(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            commit(store, CreateRun(a_run()))
            assert list(store.savepoints("run")) == []
            assert list(store.steps("run")) == []

    def test_an_id_is_taken_once(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            with raised(RunExists):
                commit(store, CreateRun(a_run(owner="bob"), encoded(a_savepoint())))
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
                lambda: commit(store, ChangeRun("no", 0, Change())),
                lambda: commit(store, DeleteRun("no")),
                lambda: commit(store, Append("no", Leased(fence), 0, [an_entry(1)])),
                lambda: commit(store, RepairStep("no", a_step(1))),
                lambda: commit(store, PutSavepoint("no", Leased(fence), encoded(a_savepoint()))),
                lambda: commit(store, MarkSavepoint("no", 0, name=None, pinned=True)),
                lambda: forked(store, "f", "no", 0),
            ]
            for call in calls:
                with raised(RunNotFound) as errors:
                    call()
                assert errors[0].values["run"] == "no"

    def test_a_repeated_creation_answers_with_the_run_made_then(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            first = commit(store, CreateRun(a_run("one"), encoded(a_savepoint()), a_key()))
            again = commit(store, CreateRun(a_run("two"), encoded(a_savepoint()), a_key()))
            assert again == Created(first.run, replayed=True)
            assert [run.id for run in store.runs()] == ["one"]

    def test_a_creation_key_belongs_to_its_owner_and_ordinal(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            commit(store, CreateRun(a_run("one"), key=a_key()))
            assert not commit(store, CreateRun(a_run("two", owner="bob"), key=a_key())).replayed
            assert not commit(store, CreateRun(a_run("three"), key=a_key(ordinal=1))).replayed

    def test_a_run_is_found_by_the_key_it_was_made_under(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            assert store.run_by_key("ann", a_key()) is None
            commit(store, CreateRun(a_run("one"), encoded(a_savepoint()), a_key()))
            commit(
                store,
                ForkRuns(
                    [Fork(run=a_fork("two", "one", 0), savepoint=encoded(a_savepoint()), key=a_key("fork"))]
                ),
            )
            commit(store, ChangeRun("one", 0, Change(reason="it has changed since")))
            assert store.run_by_key("ann", a_key()) == store.run("one")
            assert store.run_by_key("ann", a_key("fork")) == store.run("two")
            assert store.run_by_key("ann", a_key(ordinal=1)) is None
            assert store.run_by_key("bob", a_key(body=b"else")) is None
            with raised(KeyReused):
                store.run_by_key("ann", a_key(body=b"else"))
            commit(store, DeleteRun("one"))
            assert store.run_by_key("ann", a_key(body=b"else")) is None

    def test_an_owner_beyond_the_quota_is_refused_but_still_answered(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            first = commit(store, CreateRun(a_run("one"), key=a_key(), quota=TWO))
            commit(store, CreateRun(a_run("two"), quota=TWO))
            with raised(QuotaExceeded):
                commit(store, CreateRun(a_run("three"), quota=TWO))
            with raised(QuotaExceeded):
                commit(
                    store,
                    ForkRuns(
                        [Fork(run=a_fork("four", "one", 0), savepoint=encoded(a_savepoint()))], quota=TWO
                    ),
                )
            again = commit(store, CreateRun(a_run("five"), key=a_key(), quota=TWO))
            assert again == Created(first.run, replayed=True)
            commit(store, CreateRun(a_run("another's", owner="bob"), quota=TWO))
            commit(store, ChangeRun("two", 0, Change(state=RunStatus.STOPPED)))
            commit(store, CreateRun(a_run("three"), quota=TWO))

    def test_ended_runs_are_counted_in_the_transaction_that_makes_one_more(self, tmp_path: Path) -> None:
        quota, ended = Quota(ended=2), Change(state=RunStatus.STOPPED)
        with self.opened(tmp_path) as store:
            for id in ("one", "two", "three"):
                commit(store, CreateRun(a_run(id), encoded(a_savepoint()), a_key(id), quota=quota))
            commit(store, ChangeRun("one", 0, ended))
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
            assert commit(store, CreateRun(a_run("five"), key=a_key("one"), quota=quota)).replayed
            commit(store, CreateRun(a_run("another's", owner="bob"), quota=quota))
            commit(store, DeleteRun("one"))
            commit(store, CreateRun(a_run("five"), quota=quota))

    def test_a_creation_key_with_another_body_is_refused(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            commit(store, CreateRun(a_run("one"), key=a_key()))
            with raised(KeyReused):
                commit(store, CreateRun(a_run("two"), key=a_key(body=b"else")))
            with raised(KeyReused):
                commit(
                    store,
                    ForkRuns(
                        [
                            Fork(
                                run=a_fork("two", "one", 0),
                                savepoint=encoded(a_savepoint()),
                                key=a_key(body=b"else"),
                            )
                        ]
                    ),
                )
            assert [run.id for run in store.runs()] == ["one"]

    def test_numbers_are_never_used_again(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            former = created(store).number
            commit(store, DeleteRun("run"))
            assert created(store).number > former

    def test_an_update_changes_what_is_given(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            before = created(store, steps=2)
            change = Change(state=RunStatus.COMPLETED, outcome=Outcome.SUCCEEDED)
            after = commit(store, ChangeRun("run", 0, change))
            assert after == store.run("run")
            assert (after.state, after.outcome) == (RunStatus.COMPLETED, Outcome.SUCCEEDED)
            assert (after.version, after.position, after.spec, after.reason) == (
                1,
                2,
                before.spec,
                before.reason,
            )
            again = commit(store, ChangeRun("run", 1, Change(spec=b"new", reason="why")))
            assert (again.spec, again.reason, again.state) == (b"new", "why", RunStatus.COMPLETED)

    def test_the_time_of_a_change_is_that_of_the_clock_that_is_read(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            before = commit(store, ReadTime())
            changed = commit(store, ChangeRun("run", 0, Change(reason="why")))
            assert before <= changed.updated <= commit(store, ReadTime())

    def test_an_update_of_another_version_is_refused(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            commit(store, ChangeRun("run", 0, Change(reason="first")))
            with raised(VersionConflict):
                commit(store, ChangeRun("run", 0, Change(reason="second")))
            assert store.run("run").reason == "first"

    def test_steps_leave_the_version_alone(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, steps=1)
            assert store.run("run").version == 0

    def test_a_deleted_run_is_gone_with_all_that_was_its(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "other", steps=1)
            commit(store, CreateRun(a_run(), encoded(a_savepoint()), a_key()))
            commit(store, Append("run", Unleased(0), 0, [an_entry(1, a_key())]))
            commit(store, DeleteRun("run"))
            with raised(RunNotFound):
                store.run("run")
            assert not commit(store, CreateRun(a_run(), key=a_key(body=b"else"))).replayed
            assert list(store.steps("run")) == []
            assert list(store.savepoints("run")) == []
            assert store.step_by_key("run", a_key(body=b"else")) is None
            assert list(store.steps("other")) == [a_step(1)]

    # Forks

    def test_a_fork_begins_with_the_steps_of_its_parent(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "parent", steps=5)
            fork = forked(store, "fork", "parent", 3).run
            assert (fork.position, fork.parent, fork.parent_position) == (3, "parent", 3)
            assert store.run("fork") == fork
            assert list(store.steps("fork")) == [a_step(number) for number in (1, 2, 3)]
            commit(store, Append("fork", Unleased(0), 3, [an_entry(40)]))
            assert store.steps("parent")[3] == a_step(4)
            assert store.steps("fork")[3].outputs == b"out 40"

    def test_a_fork_outlives_its_parent(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "parent", steps=2)
            forked(store, "fork", "parent", 2)
            commit(store, DeleteRun("parent"))
            assert list(store.steps("fork")) == [a_step(1), a_step(2)]
            assert store.run("fork").parent == "parent"
            assert store.savepoint("fork", 0).entities == a_savepoint(0).entities

    def test_a_fork_takes_milestones_and_savepoint_0_along_without_marks(self, tmp_path: Path) -> None:
        with self.opened(tmp_path, keep=9) as store:
            created(store, "parent", steps=6)
            for at in (1, 2, 4, 5):
                savepoint = a_savepoint(at, milestone=at in (2, 5))
                commit(
                    store,
                    PutSavepoint("parent", Unleased(0), encoded(savepoint), name=f"at {at}", pinned=True),
                )
            forked(store, "fork", "parent", 4)
            infos = store.savepoints("fork")
            assert [(info.timestamp, info.milestone) for info in infos] == [(0, False), (2, True), (4, False)]
            assert all(info.name is None and not info.pinned for info in infos)
            assert store.savepoint("fork", 2) == a_savepoint(2, milestone=True)

    def test_a_fork_leaves_the_keys_of_steps_behind(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "parent")
            commit(store, Append("parent", Unleased(0), 0, [an_entry(1, a_key())]))
            forked(store, "fork", "parent", 1)
            assert store.step_by_key("fork", a_key()) is None
            assert not commit(store, Append("fork", Unleased(0), 1, [an_entry(2, a_key())])).replayed

    def test_a_fork_beyond_the_end_is_refused(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "parent", steps=2)
            for position in (3, -1):
                with raised(StepNotFound):
                    commit(
                        store,
                        ForkRuns(
                            [Fork(run=a_fork("fork", "parent", position), savepoint=encoded(a_savepoint()))]
                        ),
                    )
            with raised(Invalid):
                commit(store, ForkRuns([Fork(run=a_run("fork"), savepoint=encoded(a_savepoint()))]))
            with raised(RunExists):
                commit(
                    store,
                    ForkRuns([Fork(run=a_fork("parent", "parent", 1), savepoint=encoded(a_savepoint()))]),
                )
            with raised(RunNotFound):
                store.run("fork")

    def test_a_repeated_fork_answers_with_the_run_made_then(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "parent", steps=2)
            first = commit(
                store,
                ForkRuns(
                    [Fork(run=a_fork("one", "parent", 2), savepoint=encoded(a_savepoint(2)), key=a_key())]
                ),
            )[0]
            commit(store, DeleteRun("parent"))
            again = commit(
                store,
                ForkRuns(
                    [Fork(run=a_fork("two", "parent", 2), savepoint=encoded(a_savepoint(2)), key=a_key())]
                ),
            )[0]
            assert again == Created(first.run, replayed=True)

    def test_several_forks_are_made_together_and_each_is_reported(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "parent")
            commit(store, Append("parent", Unleased(0), 0, [an_entry(1)]))
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
            made = commit(store, ForkRuns(forks))
            assert made == [Created(store.run("one")), Created(store.run("two"))]
            assert [
                (commit.run_id, commit.position) for commit in reported if isinstance(commit, Committed)
            ] == [("one", 1), ("two", 1)]
            assert store.run_by_key("ann", a_key(ordinal=1)) == store.run("two")
            again = [
                Fork(run=a_fork("else", "parent", 1), savepoint=encoded(a_savepoint(1)), key=a_key(ordinal=1))
            ]
            assert commit(store, ForkRuns(again)) == [Created(store.run("two"), replayed=True)]

    def test_of_several_forks_all_are_made_or_none(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "parent")
            fits = Fork(run=a_fork("one", "parent", 0), savepoint=encoded(a_savepoint()), key=a_key())
            beyond = Fork(run=a_fork("two", "parent", 1), savepoint=encoded(a_savepoint()))
            with raised(StepNotFound):
                commit(store, ForkRuns([fits, beyond]))
            more = Fork(run=a_fork("two", "parent", 0), savepoint=encoded(a_savepoint()))
            with raised(QuotaExceeded):
                commit(store, ForkRuns([fits, more], quota=TWO))
            assert [run.id for run in store.runs()] == ["parent"]
            assert store.run_by_key("ann", a_key()) is None
            assert not commit(store, ForkRuns([fits, more], quota=Quota(unfinished=3)))[0].replayed
