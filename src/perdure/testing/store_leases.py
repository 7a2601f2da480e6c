"""The conformance suite of stores: leases, of which one at a time lets a worker write to a run."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec.structs import replace

from perdure.errors import Fenced, LeaseHeld
from perdure.lifecycle import DesiredState, RunStatus
from perdure.stores.commands import (
    Append,
    ChangeRun,
    DeleteRun,
    Finish,
    Lease,
    Leased,
    PutSavepoint,
    Release,
    Renew,
    Report,
    SetDesiredState,
    Settle,
    encoded,
)
from perdure.testing.store_opening import StoreOpening
from perdure.testing.store_samples import (
    LONG,
    WAIT,
    a_change,
    a_savepoint,
    a_step,
    an_entry,
    commit,
    created,
    leased,
    queued,
    raised,
)

__all__ = ["LeaseConformance"]


class LeaseConformance(StoreOpening):
    """The tests of leases: who holds one, until when, and what its fencing token permits."""

    def test_a_lease_starts_a_run_with_a_new_token(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for id in ("a", "b"):
                queued(store, id)
                former = 0
                for attempt in (1, 2, 3):
                    execution = commit(store, Lease(id, f"worker {attempt}", -1.0))
                    assert execution == store.execution(id)
                    assert (execution.attempt, execution.holder) == (attempt, f"worker {attempt}")
                    assert execution.fence > former
                    former = execution.fence
                    run = store.run(id)
                    assert (run.state, run.version) == (RunStatus.STARTED, attempt)

    def test_a_lease_that_is_held_is_given_to_nobody_else(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            held = commit(store, Lease("task", "one", LONG))
            for holder in ("two", "one"):
                with raised(LeaseHeld) as errors:
                    commit(store, Lease("task", holder, LONG))
                assert errors[0].values["holder"] == "one"
            assert store.execution("task") == held

    def test_one_of_many_gets_the_lease(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store, ThreadPoolExecutor(8) as pool:
            queued(store)
            taken = pool.map(
                lambda number: store.submit(Lease("task", f"w{number}", LONG)).exception(WAIT) is None,
                range(8),
            )
            assert sum(taken) == 1

    def test_a_lease_that_has_run_out_can_be_taken_and_voids_the_former(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            former = commit(store, Lease("task", "one", -1.0))
            commit(store, Report("task", former.fence, seconds=1.0))  # nobody has taken it yet
            taken = commit(store, Lease("task", "two", LONG))
            assert taken.fence > former.fence
            assert (taken.attempt, taken.holder, taken.seconds) == (2, "two", 1.0)
            for refused in (
                store.submit(Renew("task", former.fence, LONG)),
                store.submit(Report("task", former.fence, progress=b"stale")),
                store.submit(Release("task", former.fence)),
                store.submit(Finish("task", former.fence, a_change())),
                store.submit(Append("task", Leased(former.fence), 0, [an_entry(1)])),
                store.submit(PutSavepoint("task", Leased(former.fence), encoded(a_savepoint(1)))),
            ):
                with raised(Fenced) as errors:
                    refused.result(WAIT)
                assert errors[0].values == {"run": "task", "fence": former.fence}
            assert store.execution("task") == taken

    def test_a_renewed_lease_runs_from_now_on(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            former = commit(store, Lease("task", "one", -1.0))
            renewed = commit(store, Renew("task", former.fence, LONG))
            assert renewed == replace(former, lease_until=renewed.lease_until)
            assert renewed.lease_until > former.lease_until + LONG
            assert store.execution("task") == renewed
            with raised(LeaseHeld):
                commit(store, Lease("task", "two", LONG))

    def test_a_released_run_can_be_taken_at_once(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            former = commit(store, Lease("task", "one", LONG))
            commit(store, Release("task", former.fence, seconds=2.0, crashes=1))
            waiting = store.execution("task")
            assert (waiting.holder, waiting.fence, waiting.lease_until) == ("", 0, 0.0)
            assert (waiting.seconds, waiting.crashes) == (2.0, 1)
            for fence in (former.fence, 0):
                with raised(Fenced):
                    commit(store, Append("task", Leased(fence), 0, [an_entry(1)]))
                with raised(Fenced):
                    commit(store, Renew("task", fence, LONG))
            assert commit(store, Lease("task", "two", LONG)).attempt == 2

    def test_a_lease_of_a_run_that_is_wanted_paused_does_not_start_it(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            commit(store, SetDesiredState("task", DesiredState.PAUSED))
            assert commit(store, Lease("task", "w", LONG)).attempt == 1
            assert store.run("task").state is RunStatus.CREATED

    def test_a_lease_that_is_released_or_left_unbegun_counts_as_no_attempt(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            for attempt in (1, 2):
                for _ in range(2):
                    unbegun = commit(store, Lease("task", "one", LONG))
                    assert unbegun.attempt == attempt
                    commit(store, Release("task", unbegun.fence, unbegun=True))
                    assert store.execution("task").attempt == attempt - 1
                    with raised(Fenced):
                        commit(store, Renew("task", unbegun.fence, LONG))
                left = commit(store, Lease("task", "one", LONG))
                commit(store, Renew("task", left.fence, -1.0, unbegun=True))
                begun = commit(store, Lease("task", "one", LONG))
                commit(store, Release("task", begun.fence))
                assert (left.attempt, begun.attempt, store.execution("task").attempt) == (attempt,) * 3

    def test_a_run_that_could_not_be_begun_is_new_again_and_nobody_works_on_it(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for id in ("released", "left", "ended"):
                queued(store, id)
                token = leased(store, id)
                if id == "released":
                    commit(store, Release(id, token, unbegun=True))
                elif id == "left":
                    commit(store, Renew(id, token, LONG, unbegun=True))
                else:
                    failed = a_change(RunStatus.FAILED)
                    commit(store, Finish(id, token, failed, unbegun=True))
                assert store.execution(id).attempt == 0
            assert [store.run(id).state for id in ("released", "left")] == [RunStatus.CREATED] * 2
            assert store.run("ended").state is RunStatus.FAILED
            left = store.execution("left")
            assert (left.leased(store.clock()), left.worked_on(store.clock())) == (True, False)
            commit(store, SetDesiredState("left", DesiredState.STOPPED))
            commit(store, Settle("left"))
            assert store.run("left").state is RunStatus.STOPPED

    def test_no_lease_has_a_token_that_an_earlier_one_had(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            tokens = []
            for _ in range(3):
                queued(store)
                for unbegun in (True, False):
                    tokens.append(leased(store))
                    for stale in tokens[:-1]:
                        with raised(Fenced):
                            commit(store, Report("task", stale, progress=b"stale"))
                        with raised(Fenced):
                            commit(store, Append("task", Leased(stale), 0, [an_entry(1)]))
                    commit(store, Release("task", tokens[-1], unbegun=unbegun))
                commit(store, DeleteRun("task"))
            assert tokens == sorted(set(tokens))

    def test_steps_and_savepoints_need_the_fence_of_the_lease(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            fence = leased(store)
            for wrong in (fence + 1, fence - 1, 0, -1):
                with raised(Fenced):
                    commit(store, Append("task", Leased(wrong), 0, [an_entry(1)]))
                with raised(Fenced):
                    commit(store, PutSavepoint("task", Leased(wrong), encoded(a_savepoint(1))))
            commit(store, Append("task", Leased(fence), 0, [an_entry(1)], encoded(a_savepoint(1))))
            commit(store, PutSavepoint("task", Leased(fence), encoded(a_savepoint(2))))
            assert list(store.steps("task")) == [a_step(1)]
            assert [info.timestamp for info in store.savepoints("task")] == [0, 1, 2]

    def test_the_fence_of_a_lease_is_good_for_its_run_alone(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "session")
            queued(store, "one")
            queued(store, "two")
            fence = leased(store, "one")
            for id in ("session", "two"):
                with raised(Fenced):
                    commit(store, Append(id, Leased(fence), 0, [an_entry(1)]))

    def test_a_change_to_a_final_state_ends_the_lease(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for id in ("a", "b"):
                queued(store, id)
            first = commit(store, Lease("a", "w", LONG))
            commit(store, ChangeRun("a", 1, a_change(RunStatus.STOPPED)))
            second = commit(store, Lease("b", "w", LONG))
            commit(store, Append("b", Leased(second.fence), 0, [an_entry(1)], change=a_change()))
            for id, held in (("a", first), ("b", second)):
                assert store.execution(id) == replace(held, holder="", fence=0, lease_until=0.0)
                with raised(Fenced):
                    commit(store, Report(id, held.fence, progress=b"late"))
