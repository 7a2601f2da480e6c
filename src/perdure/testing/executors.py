"""The conformance suite of executors: the port's contract as tests that every executor runs.

Subclass `ExecutorConformance` in a test module of pytest and override `opened`:

    class TestMyExecutor(ExecutorConformance):
        def opened(self, store: Store) -> AbstractAsyncContextManager[Executor]:
            return MyExecutor(store, BODIES)

No test depends on durations: each waits for the expected event, for some minutes at most.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec

from perdure.errors import NotExecuted, RunNotFound
from perdure.execution.body import Body
from perdure.execution.executor import Executor
from perdure.lifecycle import FINAL, DesiredState, Outcome, RunStatus
from perdure.run import Execution, Run
from perdure.stores.base import Store
from perdure.stores.commands import CreateRun, Lease, Release, SetDesiredState
from perdure.stores.feed import Feed
from perdure.stores.memory import MemoryStore
from perdure.testing.bodies import spec

__all__ = ["BODIES", "ExecutorConformance", "Trial"]

BODIES = {"task": Body(path="perdure.testing.bodies:run", slots=2)}
WAIT = 240.0  # seconds until what never happens fails its test


class Trial:
    """A store and an executor, with helpers for tests.

    Attributes
    ----------
    store, executor
        The store and the executor.
    """

    def __init__(self, store: Store, executor: Executor) -> None:
        self.store = store
        self.executor = executor
        self._feed = Feed(store)

    def create(
        self,
        id: str = "run",
        *,
        timeout: float | None = None,
        owner: str = "ann",
        desired: DesiredState = DesiredState.STARTED,
        needs: str = "",
        tags: tuple[str, ...] = (),
        **given: Any,
    ) -> None:
        """Create a task that does what `perdure.testing.bodies.spec` describes, without submitting it."""
        now = time.time()
        run = Run(id=id, kind="task", owner=owner, spec=spec(**given), created=now, updated=now, tags=tags)
        execution = Execution(
            run_id=id, kind="task", owner=owner, timeout=timeout, desired=desired, needs=needs
        )
        self.store.submit(CreateRun(run, execution=execution)).result(WAIT)

    async def submit(self, id: str = "run", **given: Any) -> None:
        """Create a task and submit it."""
        self.create(id, **given)
        await self.executor.submit(id)

    async def want(self, desired: DesiredState, id: str = "run") -> None:
        """Set the desired state of a run, and notify the executor."""
        self.store.submit(SetDesiredState(id, desired)).result(WAIT)
        await (self.executor.cancel if desired is DesiredState.STOPPED else self.executor.submit)(id)

    async def until(self, condition: Callable[[], bool], id: str = "run") -> None:
        """Wait until a condition holds; it is checked after each change of a run."""
        with self._feed.subscribe(id) as changes:
            async with asyncio.timeout(WAIT):
                while not condition():
                    await changes.wait()
                    changes.take()

    async def until_final(self, id: str = "run") -> tuple[Run, Execution]:
        """Wait until a run is final; return it and its execution."""
        await self.until(lambda: self.store.run(id).state in FINAL, id)
        return self.store.run(id), self.store.execution(id)

    async def until_reported(self, id: str = "run") -> None:
        """Wait until a run reports progress, so that its body is running."""
        await self.until(lambda: self.store.execution(id).progress is not None, id)

    def value(self, id: str = "run") -> Any:
        """Return a run's decoded result."""
        return msgspec.msgpack.decode(self.store.execution(id).result or b"")


class ExecutorConformance:
    """The tests of every executor. A subclass overrides `opened`."""

    def opened(self, store: Store) -> AbstractAsyncContextManager[Executor]:
        """Open an executor on a store, with `BODIES`, that works on at least one run at a time."""
        raise AssertionError("Override opened to say how the executor is opened.")

    @contextlib.asynccontextmanager
    async def trial(self) -> AsyncIterator[Trial]:
        """Open an executor on a new store."""
        with contextlib.closing(MemoryStore()) as store:
            async with self.opened(store) as executor:
                yield Trial(store, executor)

    def tried(self, work: Callable[[Trial], Awaitable[None]]) -> None:
        """Run a test's coroutine with a trial."""

        async def work_in_trial() -> None:
            async with self.trial() as trial:
                await work(trial)

        asyncio.run(work_in_trial())

    # Ends

    def test_a_submitted_run_is_worked_on_and_its_result_kept(self) -> None:
        async def work(trial: Trial) -> None:
            await trial.submit(do="echo", value=[1, "two", None])
            run, execution = await trial.until_final()
            assert (run.state, run.outcome) == (RunStatus.COMPLETED, Outcome.SUCCEEDED)
            assert trial.value() == [1, "two", None]
            assert (execution.attempt, execution.crashes, execution.holder) == (1, 0, "")
            assert execution.seconds > 0

        self.tried(work)

    def test_entries_savepoints_and_progress_are_in_the_store(self) -> None:
        async def work(trial: Trial) -> None:
            await trial.submit(do="count", to=5)
            run, execution = await trial.until_final()
            assert run.position == 5
            outputs = [msgspec.msgpack.decode(step.outputs) for step in trial.store.steps("run")]
            assert outputs == [1, 2, 3, 4, 5]
            assert trial.store.savepoints("run")[-1].timestamp == 5
            assert msgspec.msgpack.decode(execution.progress or b"") == {"number": 5}

        self.tried(work)

    def test_an_error_fails_the_run_at_once_and_says_which_and_where(self) -> None:
        async def work(trial: Trial) -> None:
            await trial.submit(do="fail")
            run, execution = await trial.until_final()
            assert (run.state, run.outcome) == (RunStatus.FAILED, Outcome.FAILED)
            assert "ValueError: as requested" in run.reason
            assert "bodies.py, line" in run.reason
            assert execution.attempt == 1
            lines = [line.text for line in trial.store.log_lines("run") if line.level == "error"]
            assert lines[0].startswith("Traceback")
            assert lines[-1] == "ValueError: as requested"

        self.tried(work)

    def test_a_body_that_says_why_it_failed_may_leave_a_part_of_the_result(self) -> None:
        async def work(trial: Trial) -> None:
            await trial.submit(do="fail", code="NoLuck")
            run, _ = await trial.until_final()
            assert (run.outcome, run.reason) == (Outcome.FAILED, "NoLuck: as requested")
            assert trial.value() == "a part"

        self.tried(work)

    def test_an_exit_without_a_result_is_a_failure_whatever_the_code(self) -> None:
        async def work(trial: Trial) -> None:
            for code in (0, 3):
                await trial.submit(f"run-{code}", do="leave", code=code)
                run, execution = await trial.until_final(f"run-{code}")
                assert (run.state, run.outcome) == (RunStatus.FAILED, Outcome.FAILED)
                assert f"exit code {code}" in run.reason
                assert execution.attempt == 1

        self.tried(work)

    # Crashes

    def test_a_killed_run_goes_on_from_its_savepoint_with_the_same_result(self) -> None:
        async def work(trial: Trial) -> None:
            await trial.submit(do="count", to=9, dies_at={4: 1, 7: 2})
            run, execution = await trial.until_final()
            assert run.outcome is Outcome.SUCCEEDED
            assert trial.value() == [9, [0, 4, 7]]
            assert (execution.attempt, run.position) == (3, 9)

        self.tried(work)

    def test_the_third_death_in_a_row_without_a_savepoint_fails_the_run(self) -> None:
        async def work(trial: Trial) -> None:
            for number in (signal.SIGSEGV, signal.SIGINT):
                await trial.submit(number.name, do="die", number=number)
                run, execution = await trial.until_final(number.name)
                assert (run.state, run.outcome) == (RunStatus.FAILED, Outcome.FAILED)
                assert number.name in run.reason
                assert execution.attempt == 3

        self.tried(work)

    def test_an_interrupt_that_a_body_raises_is_an_error_of_its_own(self) -> None:
        async def work(trial: Trial) -> None:
            await trial.submit(do="interrupt_itself")
            run, execution = await trial.until_final()
            assert (run.state, run.outcome) == (RunStatus.FAILED, Outcome.FAILED)
            assert run.reason.startswith("KeyboardInterrupt (")
            assert execution.attempt == 1

        self.tried(work)

    def test_a_savepoint_between_deaths_lets_them_count_anew(self) -> None:
        async def work(trial: Trial) -> None:
            await trial.submit(do="count", to=4, dies_at={1: 1, 2: 3, 3: 5})
            run, execution = await trial.until_final()
            assert run.outcome is Outcome.SUCCEEDED
            assert execution.attempt == 6
            assert trial.value() == [4, [0, 1, 2, 3]]  # an attempt that saved nothing left no trace

        self.tried(work)

    # Time-outs

    def test_a_time_out_ends_a_body_that_computes_in_c_and_its_progress_stays(self) -> None:
        async def work(trial: Trial) -> None:
            await trial.submit(do="spin", timeout=4.0)  # enough to begin and report, also on a busy machine
            run, execution = await trial.until_final()
            assert (run.state, run.outcome) == (RunStatus.FAILED, Outcome.TIMED_OUT)
            assert msgspec.msgpack.decode(execution.progress or b"") == {"spinning": True}
            assert execution.seconds >= 4.0

        self.tried(work)

    def test_running_time_is_summed_over_attempts(self) -> None:
        async def work(trial: Trial) -> None:
            trial.create(do="spin", timeout=50.0)
            lease = trial.store.submit(Lease("run", "a worker before", 60.0)).result(WAIT)
            trial.store.submit(Release("run", lease.fence, seconds=49.0)).result(WAIT)
            await trial.executor.submit("run")
            run, execution = await trial.until_final()
            assert run.outcome is Outcome.TIMED_OUT
            assert (execution.attempt, int(execution.seconds)) == (2, 50)

        self.tried(work)

    # The desired state

    def test_terminating_ends_a_body_that_computes_in_c(self) -> None:
        async def work(trial: Trial) -> None:
            await trial.submit(do="spin")
            await trial.until_reported()
            await trial.want(DesiredState.STOPPED)
            run, execution = await trial.until_final()
            assert (run.state, run.outcome) == (RunStatus.STOPPED, Outcome.TERMINATED)
            assert execution.attempt == 1

        self.tried(work)

    def test_a_body_that_stops_when_asked_leaves_what_it_has(self) -> None:
        async def work(trial: Trial) -> None:
            await trial.submit(do="stop_when_asked")
            await trial.until_reported()
            await trial.want(DesiredState.STOPPED)
            run, _ = await trial.until_final()
            assert (run.state, run.outcome) == (RunStatus.STOPPED, Outcome.TERMINATED)
            assert trial.value() == "a part"

        self.tried(work)

    def test_a_run_that_is_wanted_stopped_before_it_began_never_starts(self) -> None:
        async def work(trial: Trial) -> None:
            trial.create(do="echo", value=1)
            await trial.want(DesiredState.STOPPED)
            run, execution = await trial.until_final()
            assert (run.state, run.outcome) == (RunStatus.STOPPED, Outcome.TERMINATED)
            assert (execution.attempt, execution.result) == (0, None)

        self.tried(work)

    def test_a_body_pauses_between_its_steps_and_goes_on(self, tmp_path: Path) -> None:
        async def work(trial: Trial) -> None:
            await trial.submit(do="march", until=str(tmp_path / "end"))
            await trial.until_reported()
            await trial.want(DesiredState.PAUSED)
            await trial.until(lambda: trial.store.run("run").state is RunStatus.PAUSED)
            (tmp_path / "end").touch()
            await trial.want(DesiredState.STARTED)
            run, execution = await trial.until_final()
            assert run.outcome is Outcome.SUCCEEDED
            assert execution.attempt == 1

        self.tried(work)

    def test_a_body_that_never_pauses_is_frozen_and_can_be_stopped_so(self) -> None:
        async def work(trial: Trial) -> None:
            await trial.submit(do="spin")
            await trial.until_reported()
            await trial.want(DesiredState.PAUSED)
            await trial.until(lambda: trial.store.run("run").state is RunStatus.PAUSED)
            await trial.want(DesiredState.STOPPED)
            run, _ = await trial.until_final()
            assert run.outcome is Outcome.TERMINATED

        self.tried(work)

    def test_a_run_that_is_wanted_paused_waits_until_it_is_wanted_started(self) -> None:
        async def work(trial: Trial) -> None:
            await trial.submit(do="echo", value=1, desired=DesiredState.PAUSED)
            await trial.submit("other", do="echo", value=2)
            await trial.until_final("other")
            assert trial.store.execution("run").attempt == 0
            await trial.want(DesiredState.STARTED)
            run, _ = await trial.until_final()
            assert run.outcome is Outcome.SUCCEEDED

        self.tried(work)

    # Who works on it

    def test_submitting_again_and_after_the_end_changes_nothing(self) -> None:
        async def work(trial: Trial) -> None:
            await trial.submit(do="count", to=3)
            await trial.executor.submit("run")
            run, _ = await trial.until_final()
            await trial.executor.submit("run")
            await trial.executor.cancel("run")
            await trial.submit("next", do="echo", value=1)
            await trial.until_final("next")
            assert (trial.store.run("run"), trial.store.execution("run").attempt) == (run, 1)

        self.tried(work)

    def test_what_isnt_there_or_isnt_to_be_executed_is_refused(self) -> None:
        async def work(trial: Trial) -> None:
            session = Run(id="session", kind="session", owner="ann", spec=b"", created=1.0, updated=1.0)
            trial.store.submit(CreateRun(session)).result(WAIT)
            for method in (trial.executor.submit, trial.executor.cancel):
                for id, error in (("none", RunNotFound), ("session", NotExecuted)):
                    try:
                        await method(id)
                    except error:
                        continue
                    raise AssertionError(f"{error.__name__} was expected")

        self.tried(work)

    def test_a_run_that_another_works_on_is_left_alone_until_its_lease_is_void(self) -> None:
        async def work(trial: Trial) -> None:
            trial.create(do="echo", value=1)
            lease = trial.store.submit(Lease("run", "another", 600.0)).result(WAIT)
            await trial.executor.submit("run")
            await trial.submit("other", do="echo", value=2)
            await trial.until_final("other")
            assert trial.store.execution("run").holder == "another"
            trial.store.submit(Release("run", lease.fence)).result(WAIT)
            run, execution = await trial.until_final()
            assert (run.outcome, execution.attempt) == (Outcome.SUCCEEDED, 2)

        self.tried(work)

    def test_what_an_executor_leaves_undone_the_next_one_does(self) -> None:
        async def work() -> None:
            store = MemoryStore()
            async with self.opened(store) as executor:
                trial = Trial(store, executor)
                await trial.submit(do="count", to=10**9)
                await trial.until(lambda: store.run("run").position >= 3)
            left = store.run("run")
            assert left.state not in FINAL
            assert store.execution("run").holder == ""
            async with self.opened(store) as executor:
                trial = Trial(store, executor)
                await trial.until(lambda: store.run("run").position > left.position)
                await trial.want(DesiredState.STOPPED)
                await trial.until_final()
                number, begins = trial.value()
                assert number >= begins[1] == left.position

        asyncio.run(work())
