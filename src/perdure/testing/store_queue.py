"""The conformance suite of stores: the queue of waiting runs, and claims."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from perdure.errors import LeaseHeld, RunNotFound
from perdure.lifecycle import DesiredState, Outcome, RunStatus
from perdure.run import Change, Execution
from perdure.stores.commands import (
    ChangeRun,
    Claim,
    CreateRun,
    DeleteRun,
    Finish,
    Fork,
    ForkRuns,
    Lease,
    Release,
    Renew,
    SetDesiredState,
    Settle,
    encoded,
)
from perdure.stores.queue import QueueGroup, QueueState
from perdure.testing.store_opening import StoreOpening
from perdure.testing.store_samples import (
    LONG,
    a_change,
    a_fork,
    a_run,
    a_savepoint,
    an_execution,
    claimed,
    commit,
    created,
    leased,
    queued,
    raised,
    unleased,
)

__all__ = ["QueueConformance"]


class QueueConformance(StoreOpening):
    """The tests of the queue: each run is claimed by one worker, and owners take turns."""

    # The queue

    def test_a_run_waits_behind_the_earlier_ones_of_its_kind_that_wait_too(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "session")
            experiment = a_run("experiment", kind="experiment")
            commit(store, CreateRun(experiment, execution=an_execution("experiment")))
            ids = ("leased", "ran-out", "given-back", "paused", "stopped", "done", "waits")
            for id in ids:
                queued(store, id)
            assert [store.waiting_before(id) for id in ids] == [0, 1, 2, 3, 4, 5, 6]
            commit(store, Lease("leased", "w", LONG))
            commit(store, Lease("ran-out", "w", -1.0))
            fence = leased(store, "given-back")
            commit(store, Release("given-back", fence))
            commit(store, SetDesiredState("paused", DesiredState.PAUSED))
            commit(store, SetDesiredState("stopped", DesiredState.STOPPED))
            fence = leased(store, "done")
            commit(store, Finish("done", fence, a_change()))
            assert [store.waiting_before(id) for id in ids] == [None, 0, 1, None, None, None, 2]
            assert store.waiting_before("experiment") == 0
            assert store.waiting_before("session") is None
            with raised(RunNotFound):
                store.waiting_before("no")
            commit(store, SetDesiredState("paused", DesiredState.STARTED))
            commit(store, DeleteRun("ran-out"))
            assert [store.waiting_before(id) for id in ("given-back", "paused", "waits")] == [0, 1, 2]

    def test_what_nobody_holds_a_lease_of_is_listed_with_its_states(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "session")
            for id in ("b", "a", "held", "renewed", "final", "paused", "deleted", "stopped"):
                queued(store, id, owner="bob" if id == "a" else "ann")
            commit(store, Lease("held", "w", LONG))
            fence = commit(store, Lease("renewed", "w", -1.0)).fence
            assert "renewed" in unleased(store)
            commit(store, Renew("renewed", fence, LONG))
            commit(store, ChangeRun("final", 0, a_change(RunStatus.STOPPED)))
            commit(store, SetDesiredState("paused", DesiredState.PAUSED))
            commit(store, ChangeRun("paused", 0, a_change(RunStatus.PAUSED)))
            commit(store, DeleteRun("deleted"))
            commit(store, Lease("stopped", "w", -1.0))
            commit(store, SetDesiredState("stopped", DesiredState.STOPPED))
            assert unleased(store) == {
                "b": (DesiredState.STARTED, RunStatus.CREATED),
                "a": (DesiredState.STARTED, RunStatus.CREATED),
                "paused": (DesiredState.PAUSED, RunStatus.PAUSED),
                "stopped": (DesiredState.STOPPED, RunStatus.STARTED),
            }

    def test_a_fork_with_an_execution_waits_like_any_other(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store, "parent")
            run = a_fork("fork", "parent", 0, kind="task")
            commit(
                store,
                ForkRuns([Fork(run=run, savepoint=encoded(a_savepoint()), execution=an_execution("fork"))]),
            )
            assert store.waiting_before("fork") == 1
            assert list(unleased(store)) == ["parent", "fork"]

    def test_the_queue_is_counted_by_kind_owner_and_place(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            assert list(store.queue_counts()) == []
            created(store, "session")
            for id in ("one", "two", "held", "ran-out", "paused", "final"):
                queued(store, id)
            queued(store, "bobs", owner="bob")
            experiment = a_run("experiment", kind="experiment")
            commit(store, CreateRun(experiment, execution=an_execution("experiment")))
            commit(store, Lease("held", "w", LONG))
            commit(store, Lease("ran-out", "w", -1.0))
            commit(store, Lease("paused", "w", LONG))
            commit(store, SetDesiredState("paused", DesiredState.PAUSED))
            commit(store, ChangeRun("final", 0, a_change(RunStatus.STOPPED)))
            found = {(it.kind, it.owner, it.state): it.count for it in store.queue_counts()}
            assert found == {
                ("experiment", "ann", QueueState.WAITING): 1,
                ("task", "ann", QueueState.WAITING): 3,
                ("task", "ann", QueueState.WORKING): 1,
                ("task", "ann", QueueState.PAUSED): 1,
                ("task", "bob", QueueState.WAITING): 1,
            }

    def test_waiting_runs_are_counted_by_tag_and_kind_with_the_longest_wait(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            assert list(store.queue_waits()) == []
            created(store, "session")
            for number, (id, tags) in enumerate(
                (("one", ("gpu",)), ("two", ()), ("three", ("big", "gpu")), ("held", ("gpu",)), ("final", ()))
            ):
                run = msgspec.structs.replace(a_run(id, kind="task"), updated=100.0 + number, tags=tags)
                commit(store, CreateRun(run, execution=an_execution(id)))
            experiment = msgspec.structs.replace(a_run("experiment", kind="experiment"), updated=99.0)
            paused = an_execution("experiment", desired=DesiredState.PAUSED)
            commit(store, CreateRun(experiment, execution=paused))
            commit(store, Lease("held", "w", LONG))
            commit(store, ChangeRun("final", 0, a_change(RunStatus.STOPPED)))
            assert [msgspec.structs.astuple(it) for it in store.queue_waits()] == [
                ("", "task", 3, 100.0),
                ("big", "task", 1, 102.0),
                ("gpu", "task", 2, 100.0),
            ]

    # Claims

    def test_groups_tell_apart_what_workers_tell_apart(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, "session")
            queued(store, "plain")
            queued(store, "like-plain", owner="bob", timeout=10.5)
            queued(store, "short", timeout=10.0)
            queued(store, "needy", needs="numpy")
            queued(store, "experiment", kind="experiment", desired=DesiredState.PAUSED)
            queued(store, "tagged", tags=("gpu", "big"))
            queued(store, "held")
            commit(store, Lease("held", "w", LONG))
            started, created_ = DesiredState.STARTED, RunStatus.CREATED
            groups = {
                QueueGroup("", "task", started, created_, False, ""): ["plain", "like-plain", "tagged"],
                QueueGroup("", "task", started, created_, True, ""): ["short"],
                QueueGroup("", "task", started, created_, False, "numpy"): ["needy"],
                QueueGroup("", "experiment", DesiredState.PAUSED, created_, False, ""): ["experiment"],
            }
            assert set(store.waiting_groups()) == set(groups)
            for group, ids in groups.items():
                assert sorted(store.unleased(group)) == sorted(ids)
                assert len(store.unleased(group, 1)) == 1
            assert list(store.waiting_groups(["gpu", "small"])) == [
                QueueGroup("gpu", "task", started, created_, False, "")
            ]
            assert store.waiting_groups([]) == []

    def test_a_claim_leases_the_next_run_and_starts_it(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store, "a", timeout=60.0, needs="numpy")
            queued(store, "b")
            execution = commit(store, Claim("w", LONG, store.waiting_groups()))
            assert execution == store.execution("a")
            assert isinstance(execution, Execution)
            assert (execution.holder, execution.attempt, execution.needs) == ("w", 1, "numpy")
            assert execution.leased(store.clock())
            assert store.run("a").state is RunStatus.STARTED
            with raised(LeaseHeld):
                commit(store, Lease("a", "another", LONG))
            assert [claimed(store) for _ in range(3)] == ["b", None, None]

    def test_who_works_on_a_run_and_is_late_with_its_lease_does_not_claim_it_again(
        self, tmp_path: Path
    ) -> None:
        with self.opened(tmp_path) as store:
            for id in ("late", "left"):
                queued(store, id)
                commit(store, Lease(id, "w", -1.0))
            groups = store.waiting_groups()
            assert commit(store, Claim("w", LONG, groups, ("late", "left"))) is None
            taken = commit(store, Claim("another", LONG, groups))
            assert isinstance(taken, Execution)
            assert taken.run_id == "late"

    def test_only_runs_of_the_groups_are_claimed(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for id, given in (("long", {}), ("needy", {"needs": "numpy"}), ("short", {"timeout": 1.0})):
                queued(store, id, **given)
            queued(store, "tagged", tags=("gpu",))
            short = [group for group in store.waiting_groups() if group.short]
            assert [claimed(store, short) for _ in range(2)] == ["short", None]
            gpu = store.waiting_groups(["gpu"])
            assert [claimed(store, gpu) for _ in range(2)] == ["tagged", None]
            assert claimed(store, []) is None
            able = [group for group in store.waiting_groups() if not group.needs]
            assert [claimed(store, able) for _ in range(2)] == ["long", None]
            assert list(unleased(store)) == ["needy"]

    def test_owners_take_turns(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for number in range(3):
                queued(store, f"ann-{number}")
            assert claimed(store) == "ann-0"
            for number in range(2):
                queued(store, f"bob-{number}", owner="bob")
            queued(store, "cid-0", owner="cid")
            queued(store, "other", kind="other", owner="ann")
            tasks = [group for group in store.waiting_groups() if group.kind == "task"]
            order = [claimed(store, tasks) for _ in range(5)]
            assert order == ["ann-1", "bob-0", "cid-0", "ann-2", "bob-1"]

    def test_an_owner_that_comes_again_and_again_keeps_nobody_waiting(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for number in range(8):
                queued(store, f"ann-{number}")
            order: list[str] = []
            for number in range(9):
                if not any(it.owner == "bob" for it in store.executions()):
                    queued(store, f"bob-{number}", owner="bob")
                order.append(claimed(store) or "nobody")
                if number > 0:  # one is worked on all the time
                    ended = store.execution(order[-2])
                    commit(store, Finish(ended.run_id, ended.fence, a_change()))
            owners = " ".join(id.partition("-")[0] for id in order)
            assert "bob bob" not in owners
            assert "ann ann ann" not in owners

    def test_what_was_given_back_or_has_run_out_comes_before_what_came_later(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for id in ("ran-out", "given-back", "waits"):
                queued(store, id)
            assert claimed(store, seconds=-1.0) == "ran-out"
            commit(store, Lease("given-back", "w", LONG))
            token = store.execution("given-back").fence
            commit(store, Release("given-back", token))
            assert [claimed(store) for _ in range(3)] == ["ran-out", "given-back", "waits"]
            assert store.execution("ran-out").attempt == 2

    def test_tags_that_a_run_gets_or_loses_count_from_then_on(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            queued(store, "a", tags=("gpu",))
            queued(store, "b")
            commit(store, ChangeRun("a", 0, Change(tags=("cpu",))))
            commit(store, ChangeRun("b", 0, Change(tags=("gpu",))))
            assert [list(unleased(store, tag)) for tag in ("gpu", "cpu")] == [["b"], ["a"]]
            assert claimed(store, store.waiting_groups(["gpu"])) == "b"
            assert unleased(store, "gpu") == {}
            commit(store, ChangeRun("a", 1, Change(tags=())))
            assert unleased(store, "cpu") == {}

    def test_each_run_is_claimed_by_one_of_many(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store, ThreadPoolExecutor(8) as pool:
            ids = [f"run-{number}" for number in range(12)]
            for id in ids:
                queued(store, id)
            groups = store.waiting_groups()
            found = list(pool.map(lambda _: claimed(store, groups), range(16)))
            assert sorted(id for id in found if id is not None) == sorted(ids)

    def test_what_nobody_works_on_is_settled_as_it_is_wanted(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            for id in ("stopped", "paused", "interrupted", "waits", "held"):
                queued(store, id)
            for id in ("paused", "interrupted"):
                token = leased(store, id)
                commit(store, Release(id, token))
            commit(store, Lease("held", "w", LONG))
            for id, desired in (
                ("stopped", DesiredState.STOPPED),
                ("paused", DesiredState.PAUSED),
                ("held", DesiredState.STOPPED),
            ):
                commit(store, SetDesiredState(id, desired))
            settled = {id: commit(store, Settle(id)) for id in ("stopped", "paused")}
            assert settled == {id: store.run(id) for id in settled}
            stopped = store.run("stopped")
            assert (stopped.state, stopped.outcome) == (RunStatus.STOPPED, Outcome.TERMINATED)
            assert store.run("paused").state is RunStatus.PAUSED
            for id in ("stopped", "paused", "interrupted", "waits", "held"):
                assert commit(store, Settle(id)) is None
            assert commit(store, Settle("waits", interrupted=True)) is None
            commit(store, Settle("interrupted", interrupted=True))
            assert store.run("interrupted").state is RunStatus.PAUSED
            assert store.execution("interrupted").desired is DesiredState.PAUSED
            assert store.execution("waits").desired is DesiredState.STARTED
