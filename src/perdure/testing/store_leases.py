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
    created,
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
                    execution = store.submit(Lease(id, f"worker {attempt}", -1.0)).result(WAIT)
                    assert execution == store.execution(id)
                    assert (execution.attempt, execution.holder) == (attempt, f"worker {attempt}")
                    assert execution.fence > former
                    former = execution.fence
                    run = store.run(id)
                    assert (run.state, run.version) == (RunStatus.STARTED, attempt)

    def test_a_lease_that_is_held_is_given_to_nobody_else(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            held = store.submit(Lease("task", "one", LONG)).result(WAIT)
            for holder in ("two", "one"):
                with raised(LeaseHeld) as errors:
                    store.submit(Lease("task", holder, LONG)).result(WAIT)
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
            former = store.submit(Lease("task", "one", -1.0)).result(WAIT)
            store.submit(Report("task", former.fence, seconds=1.0)).result(WAIT)  # nobody has taken it yet
            taken = store.submit(Lease("task", "two", LONG)).result(WAIT)
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
            former = store.submit(Lease("task", "one", -1.0)).result(WAIT)
            renewed = store.submit(Renew("task", former.fence, LONG)).result(WAIT)
            assert renewed == replace(former, lease_until=renewed.lease_until)
            assert renewed.lease_until > former.lease_until + LONG
            assert store.execution("task") == renewed
            with raised(LeaseHeld):
                store.submit(Lease("task", "two", LONG)).result(WAIT)

    def test_a_released_run_can_be_taken_at_once(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            former = store.submit(Lease("task", "one", LONG)).result(WAIT)
            store.submit(Release("task", former.fence, seconds=2.0, crashes=1)).result(WAIT)
            waiting = store.execution("task")
            assert (waiting.holder, waiting.fence, waiting.lease_until) == ("", 0, 0.0)
            assert (waiting.seconds, waiting.crashes) == (2.0, 1)
            for fence in (former.fence, 0):
                with raised(Fenced):
                    store.submit(Append("task", Leased(fence), 0, [an_entry(1)])).result(WAIT)
                with raised(Fenced):
                    store.submit(Renew("task", fence, LONG)).result(WAIT)
            assert store.submit(Lease("task", "two", LONG)).result(WAIT).attempt == 2

    def test_a_lease_of_a_run_that_is_wanted_paused_does_not_start_it(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            store.submit(SetDesiredState("task", DesiredState.PAUSED)).result(WAIT)
            assert store.submit(Lease("task", "w", LONG)).result(WAIT).attempt == 1
            assert store.run("task").state is RunStatus.CREATED

    def test_a_lease_that_is_released_or_left_unbegun_counts_as_no_attempt(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            for attempt in (1, 2):
                for _ in range(2):
                    unbegun = store.submit(Lease("task", "one", LONG)).result(WAIT)
                    assert unbegun.attempt == attempt
                    store.submit(Release("task", unbegun.fence, unbegun=True)).result(WAIT)
                    assert store.execution("task").attempt == attempt - 1
                    with raised(Fenced):
                        store.submit(Renew("task", unbegun.fence, LONG)).result(WAIT)
                left = store.submit(Lease("task", "one", LONG)).result(WAIT)
                store.submit(Renew("task", left.fence, -1.0, unbegun=True)).result(WAIT)
                begun = store.submit(Lease("task", "one", LONG)).result(WAIT)
                store.submit(Release("task", begun.fence)).result(WAIT)
                assert (left.attempt, begun.attempt, store.execution("task").attempt) == (attempt,) * 3

    def test_a_run_that_could_not_be_begun_is_new_again_and_nobody_works_on_it(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for id in ("released", "left", "ended"):
                queued(store, id)
                token = store.submit(Lease(id, "w", LONG)).result(WAIT).fence
                if id == "released":
                    store.submit(Release(id, token, unbegun=True)).result(WAIT)
                elif id == "left":
                    store.submit(Renew(id, token, LONG, unbegun=True)).result(WAIT)
                else:
                    failed = a_change(RunStatus.FAILED)
                    store.submit(Finish(id, token, failed, unbegun=True)).result(WAIT)
                assert store.execution(id).attempt == 0
            assert [store.run(id).state for id in ("released", "left")] == [RunStatus.CREATED] * 2
            assert store.run("ended").state is RunStatus.FAILED
            left = store.execution("left")
            assert (left.leased(store.clock()), left.worked_on(store.clock())) == (True, False)
            store.submit(SetDesiredState("left", DesiredState.STOPPED)).result(WAIT)
            store.submit(Settle("left")).result(WAIT)
            assert store.run("left").state is RunStatus.STOPPED

    def test_no_lease_has_a_token_that_an_earlier_one_had(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            tokens = []
            for _ in range(3):
                queued(store)
                for unbegun in (True, False):
                    tokens.append(store.submit(Lease("task", "one", LONG)).result(WAIT).fence)
                    for stale in tokens[:-1]:
                        with raised(Fenced):
                            store.submit(Report("task", stale, progress=b"stale")).result(WAIT)
                        with raised(Fenced):
                            store.submit(Append("task", Leased(stale), 0, [an_entry(1)])).result(WAIT)
                    store.submit(Release("task", tokens[-1], unbegun=unbegun)).result(WAIT)
                store.submit(DeleteRun("task")).result(WAIT)
            assert tokens == sorted(set(tokens))

    def test_steps_and_savepoints_need_the_fence_of_the_lease(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store)
            fence = store.submit(Lease("task", "one", LONG)).result(WAIT).fence
            for wrong in (fence + 1, fence - 1, 0, -1):
                with raised(Fenced):
                    store.submit(Append("task", Leased(wrong), 0, [an_entry(1)])).result(WAIT)
                with raised(Fenced):
                    store.submit(PutSavepoint("task", Leased(wrong), encoded(a_savepoint(1)))).result(WAIT)
            store.submit(Append("task", Leased(fence), 0, [an_entry(1)], encoded(a_savepoint(1)))).result(
                WAIT
            )
            store.submit(PutSavepoint("task", Leased(fence), encoded(a_savepoint(2)))).result(WAIT)
            assert list(store.steps("task")) == [a_step(1)]
            assert [info.timestamp for info in store.savepoints("task")] == [0, 1, 2]

    def test_the_fence_of_a_lease_is_good_for_its_run_alone(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "session")
            queued(store, "one")
            queued(store, "two")
            fence = store.submit(Lease("one", "w", LONG)).result(WAIT).fence
            for id in ("session", "two"):
                with raised(Fenced):
                    store.submit(Append(id, Leased(fence), 0, [an_entry(1)])).result(WAIT)

    def test_a_change_to_a_final_state_ends_the_lease(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for id in ("a", "b"):
                queued(store, id)
            first = store.submit(Lease("a", "w", LONG)).result(WAIT)
            store.submit(ChangeRun("a", 1, a_change(RunStatus.STOPPED))).result(WAIT)
            second = store.submit(Lease("b", "w", LONG)).result(WAIT)
            store.submit(Append("b", Leased(second.fence), 0, [an_entry(1)], change=a_change())).result(WAIT)
            for id, held in (("a", first), ("b", second)):
                assert store.execution(id) == replace(held, holder="", fence=0, lease_until=0.0)
                with raised(Fenced):
                    store.submit(Report(id, held.fence, progress=b"late")).result(WAIT)
