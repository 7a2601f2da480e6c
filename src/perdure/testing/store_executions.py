"""The conformance suite of stores: executions, the reports on them, and their end."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from perdure.errors import Fenced, Invalid, NotExecuted, ResultBytesExceeded, RunFinished, RunNotFound
from perdure.lifecycle import DesiredState, Outcome, RunStatus
from perdure.run import Change, Execution
from perdure.stores.base import Store
from perdure.stores.commands import (
    Append,
    ChangeRun,
    Claim,
    Command,
    Committed,
    CreateRun,
    CutLines,
    DeleteRun,
    Finish,
    Fork,
    ForkRuns,
    Lease,
    Leased,
    Notice,
    PutSavepoint,
    Release,
    Renew,
    Report,
    SetDesiredState,
    Settle,
    encoded,
)
from perdure.stores.quota import Quota
from perdure.testing.store_opening import StoreOpening
from perdure.testing.store_samples import (
    LONG,
    WAIT,
    a_change,
    a_key,
    a_line,
    a_run,
    a_savepoint,
    an_entry,
    an_execution,
    commit,
    created,
    leased,
    queued,
    raised,
)

__all__ = ["ExecutionConformance"]


class ExecutionConformance(StoreOpening):
    """The tests of executions: one worker at a time leases a run, and only it reports on the run."""

    def test_an_execution_is_kept_with_its_run(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            given = an_execution(
                "elsewhere", timeout=2.5, needs="numpy", desired=DesiredState.PAUSED, attempt=7, fence=9
            )
            commit(store, CreateRun(a_run("t", kind="task"), encoded(a_savepoint()), execution=given))
            assert store.execution("t") == Execution(
                run_id="t", kind="task", owner="ann", timeout=2.5, needs="numpy", desired=DesiredState.PAUSED
            )
            assert store.run("t").state is RunStatus.CREATED

    def test_a_repeated_creation_makes_no_second_execution(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store, "one", key=a_key())
            run = a_run("two", kind="task")
            again = commit(store, CreateRun(run, key=a_key(), execution=an_execution("two")))
            assert again.replayed
            assert [execution.run_id for execution in store.executions()] == ["one"]

    def test_a_run_without_an_execution_says_so(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            for call in _uses_of_an_execution(store, "run"):
                with raised(NotExecuted) as errors:
                    call()
                assert errors[0].values == {"run": "run", "kind": "session"}
            assert list(store.executions()) == []
            assert list(store.log_lines("run")) == []

    def test_every_method_names_an_execution_that_is_not_there(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store, "other")
            more = partial(store.log_lines, "no")
            calls: list[Callable[[], Any]] = [*_uses_of_an_execution(store, "no"), more]
            for call in calls:
                with raised(RunNotFound) as errors:
                    call()
                assert errors[0].values["run"] == "no"

    def test_unfinished_executions_are_listed_in_the_order_of_creation(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "session")
            for id in ("c", "a", "d", "b"):
                queued(store, id)
            fence = leased(store, "a")
            commit(store, Finish("a", fence, a_change()))
            commit(store, Lease("d", "w", LONG))
            commit(store, ChangeRun("c", 0, a_change(RunStatus.STOPPED)))
            queued(store, "e")
            listed = store.executions()
            assert [execution.run_id for execution in listed] == ["d", "b", "e"]
            assert list(listed) == [store.execution(id) for id in ("d", "b", "e")]

    # Reports

    def test_a_savepoint_forgets_crashes(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            fence = leased(store)
            saves: list[Callable[[], Future[Any]]] = [
                lambda: store.submit(
                    Append("task", Leased(fence), 0, [an_entry(1)], encoded(a_savepoint(1)))
                ),
                lambda: store.submit(Append("task", Leased(fence), 1, [], encoded(a_savepoint(2)))),
                lambda: store.submit(PutSavepoint("task", Leased(fence), encoded(a_savepoint(3)))),
            ]
            for number, save in enumerate(saves):
                commit(store, Report("task", fence, crashes=number + 1))
                assert store.execution("task").crashes == number + 1
                save().result(WAIT)
                assert store.execution("task").crashes == 0
            commit(store, Report("task", fence, crashes=2))
            commit(store, Append("task", Leased(fence), 1, [an_entry(2)]))
            assert store.execution("task").crashes == 2

    def test_a_savepoint_makes_what_computes_a_run_what_it_needs(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for id in ("task", "experiment"):
                queued(store, id, needs="primes", tags=("gpu",))
            saves: dict[str, Callable[[int, int], Command[Any]]] = {
                "task": lambda fence, at: PutSavepoint("task", Leased(fence), encoded(a_savepoint(at))),
                "experiment": lambda fence, at: Append(
                    "experiment", Leased(fence), at - 1, [an_entry(at)], encoded(a_savepoint(at))
                ),
            }
            for id, save in saves.items():
                fence = leased(store, id)
                commit(store, save(fence, 1))  # nobody has said what computes it
                assert store.execution(id).needs == "primes"
                commit(store, Report(id, fence, computed_by="primes 1"))
                assert (store.execution(id).needs, store.execution(id).computed_by) == ("primes", "primes 1")
                for at in (2, 3):
                    commit(store, save(fence, at))
                    assert store.execution(id).needs == store.execution(id).computed_by == "primes 1"
                commit(store, Report(id, fence, seconds=1.0))
                commit(store, Release(id, fence))
            assert {group.needs for group in store.waiting_groups(["", "gpu"])} == {"primes 1"}
            again = commit(store, Claim("two", LONG, store.waiting_groups()))
            assert again == store.execution("task")

    def test_a_report_changes_what_is_given(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            held = commit(store, Lease("task", "one", LONG))
            commit(store, Report("task", held.fence, progress=b"\x81\xa1k\x07"))
            commit(store, Report("task", held.fence, seconds=1.5, crashes=2))
            commit(store, Report("task", held.fence))
            assert store.execution("task") == replace(held, progress=b"\x81\xa1k\x07", seconds=1.5, crashes=2)
            assert store.run("task").version == 1

    # The end

    def test_bytes_of_results_are_counted_in_the_transaction_that_makes_one_more(
        self, tmp_path: Path
    ) -> None:
        def limited(limit: int) -> Quota:
            return Quota(result_bytes=limit)

        with self.opened(tmp_path) as store:
            created(store)  # a session of ann's, which has no execution
            for run_id, owner in (("small", "ann"), ("large", "ann"), ("none", "ann"), ("other", "bob")):
                queued(store, run_id, owner=owner)
            change = Change(state=RunStatus.COMPLETED, outcome=Outcome.SUCCEEDED)
            fences = {id: leased(store, id) for id in ("small", "large", "none", "other")}
            for run_id, result in (("small", b"1"), ("none", None), ("other", b"333")):
                commit(store, Finish(run_id, fences[run_id], change, result=result))
            store.check_quota("ann", limited(2))
            # These are on their way at once: the result comes before the run that is refused for it. A store
            # that executes commands of different runs side by side has to be waited for.
            first = store.submit(CreateRun(a_run("first"), quota=limited(70_001)))
            if store.shared:
                first.result(WAIT)
            finished = store.submit(Finish("large", fences["large"], change, result=b"2" * 70_000))
            if store.shared:
                finished.result(WAIT)
            refused = store.submit(CreateRun(a_run("second"), quota=limited(70_001))).exception(WAIT)
            assert first.exception(WAIT) is None
            assert isinstance(refused, ResultBytesExceeded)
            assert refused.values["runs"] == ["large", "small"]
            assert refused.values["size"] == refused.values["limit"] == 70_001
            with raised(ResultBytesExceeded):
                store.check_quota("ann", limited(70_001))
            for owner, size in (("ann", 70_001), ("bob", 3), ("eve", 0)):
                store.check_quota(owner, limited(size + 1))
            commit(store, DeleteRun("large"))
            commit(store, CreateRun(a_run("second"), quota=limited(2)))
            with raised(ResultBytesExceeded):
                commit(store, CreateRun(a_run("third"), quota=limited(1)))

    def test_a_finished_run_has_its_result_and_no_lease(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            held = commit(store, Lease("task", "one", LONG))
            commit(store, Report("task", held.fence, progress=b"p"))
            change = Change(state=RunStatus.FAILED, outcome=Outcome.TIMED_OUT, reason="too long")
            run = commit(store, Finish("task", held.fence, change, result=bytes(3000), seconds=9.5))
            assert run == store.run("task")
            assert (run.state, run.outcome, run.reason) == (
                RunStatus.FAILED,
                Outcome.TIMED_OUT,
                "too long",
            )
            ended = store.execution("task")
            assert (ended.holder, ended.fence, ended.lease_until) == ("", 0, 0.0)
            assert (ended.progress, ended.result, ended.seconds) == (b"p", bytes(3000), 9.5)

    def test_a_final_state_wins(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            fence = leased(store)
            commit(store, Finish("task", fence, a_change(), result=b"first"))
            for refused in (
                store.submit(Finish("task", fence, a_change(RunStatus.FAILED), result=b"second")),
                store.submit(Lease("task", "two", LONG)),
                store.submit(SetDesiredState("task", DesiredState.STOPPED)),
            ):
                with raised(RunFinished):
                    refused.result(WAIT)
            for fenced in (
                store.submit(Report("task", fence, progress=b"late")),
                store.submit(Renew("task", fence, LONG)),
                store.submit(Release("task", fence)),
            ):
                with raised(Fenced):
                    fenced.result(WAIT)
            assert store.execution("task").result == b"first"
            assert store.run("task").state is RunStatus.COMPLETED

    def test_a_run_is_finished_with_a_final_state_only(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            fence = leased(store)
            for change in (Change(), a_change(RunStatus.PAUSED)):
                with raised(Invalid):
                    commit(store, Finish("task", fence, change, result=b"r"))
            assert store.execution("task").result is None
            assert store.run("task").state is RunStatus.STARTED

    def test_what_the_owner_wants_is_put_down(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            for desired in (DesiredState.PAUSED, DesiredState.STARTED, DesiredState.STOPPED):
                assert commit(store, SetDesiredState("task", desired)).desired is desired
                assert store.execution("task").desired is desired

    def test_an_end_that_is_wanted_stays_wanted(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            commit(store, SetDesiredState("task", DesiredState.STOPPED))
            for desired in (DesiredState.STARTED, DesiredState.PAUSED, DesiredState.COMPLETED):
                assert commit(store, SetDesiredState("task", desired)).desired is DesiredState.STOPPED
            assert store.execution("task").desired is DesiredState.STOPPED

    def test_a_deleted_run_takes_its_execution_along(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            fence = leased(store)
            commit(store, Report("task", fence, lines=[a_line(1)]))
            commit(store, DeleteRun("task"))
            with raised(RunNotFound):
                commit(store, Finish("task", fence, a_change(), result=b"r"))
            queued(store)
            assert store.execution("task") == an_execution("task")
            assert list(store.log_lines("task")) == []
            assert list(store.check()) == []

    # Watching

    def test_watchers_are_notified_of_all_but_renewals(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            seen: list[Committed | Notice] = []
            store.watch(seen.append)
            commit(store, SetDesiredState("task", DesiredState.STARTED))
            fence = leased(store)
            commit(store, Renew("task", fence, LONG))
            commit(store, Report("task", fence, progress=b"p"))
            commit(store, Release("task", fence))
            fence = leased(store)
            commit(store, Finish("task", fence, a_change()))
            assert [commit.state.value for commit in seen if isinstance(commit, Committed)] == [
                "created",
                "started",
                "started",
                "started",
                "started",
                "completed",
            ]

    def test_a_fork_may_be_worked_on_as_a_new_run_is(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            fence = leased(store)
            commit(store, Append("task", Leased(fence), 0, [an_entry(1)]))
            fork = replace(a_run("fork", kind="task"), parent="task", parent_position=1)
            given = an_execution("fork", desired=DesiredState.PAUSED)
            commit(store, ForkRuns([Fork(run=fork, savepoint=encoded(a_savepoint(1)), execution=given)]))
            made = store.execution("fork")
            assert (made.desired, made.attempt, made.fence) == (DesiredState.PAUSED, 0, 0)
            assert commit(store, Lease("fork", "w", LONG)).attempt == 1


def _uses_of_an_execution(store: Store, run_id: str) -> Sequence[Callable[[], Any]]:
    """Return calls of all that reads or writes the execution of a run."""
    commands: list[Command[Any]] = [
        Lease(run_id, "w", LONG),
        Renew(run_id, 1, LONG),
        Report(run_id, 1),
        CutLines(run_id, 1, None),
        Finish(run_id, 1, a_change()),
        Release(run_id, 1),
        SetDesiredState(run_id, DesiredState.STOPPED),
        Settle(run_id),
    ]
    return partial(store.execution, run_id), *(partial(commit, store, command) for command in commands)
