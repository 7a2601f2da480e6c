"""Steering: writes the desired state of a run, notifies the executor, and waits until the run has that state.

The wait holds no lock. It ends early when the server closes; the desired state stays.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial

from msgspec.structs import replace

from perdure.drivers.experiments.experiment_requests import ExperimentView
from perdure.drivers.threads import Threads
from perdure.errors import RunFinished, ServerClosing, TriggerOverruled, TriggerRefused, VersionConflict
from perdure.execution.executor import Executor
from perdure.execution.traces import keep_trace
from perdure.lifecycle import FINAL, DesiredState, Outcome, RunStatus, after
from perdure.run import Change, Execution, Run
from perdure.stores.base import Store
from perdure.stores.commands import ChangeRun, SetDesiredState
from perdure.stores.feed import Feed, Subscription

__all__ = ["Steering"]

PATIENCE = 60.0  # seconds that a caller waits for a state; after them, the desired state stays
INITIALIZED = frozenset(RunStatus) - {RunStatus.CREATED}

View = Callable[[Run], ExperimentView]


class Steering:
    """Brings runs of experiments to states.

    Parameters
    ----------
    store, executor, feed
        Where desired states are written, what is notified of them, and what notifies of states.
    threads
        Where it reads the store.
    view
        Returns where a run stands; blocking.
    closing
        Set when the server closes; all waits then end.
    """

    def __init__(
        self,
        store: Store,
        executor: Executor,
        feed: Feed,
        threads: Threads,
        view: View,
        closing: asyncio.Event,
    ) -> None:
        self._store = store
        self._executor = executor
        self._feed = feed
        self._threads = threads
        self._view = view
        self._closing = closing

    async def begin(self, run_id: str) -> Run:
        """Notify the executor of a new run; return it when its simulation server is ready or has failed."""
        with self._feed.subscribe(run_id) as changes:
            await keep_trace(self._store, run_id)
            await self._executor.submit(run_id)
            return await self._until(changes, run_id, INITIALIZED)

    async def begun(self, run_id: str) -> Run:
        """Return a run for which `begin` was called, when its simulation server is ready or has failed."""
        with self._feed.subscribe(run_id) as changes:
            return await self._until(changes, run_id, INITIALIZED)

    async def trigger(self, run: Run, trigger: str) -> Run:
        """Bring a run to another state; return the run as it was in that state, even if it has left it since.

        Raises
        ------
        TriggerRefused
            If its state doesn't allow it, as `perdure.lifecycle.after` says.
        TriggerOverruled
            If another request changed the desired state before the run had this one.
        """
        loop, run_id = asyncio.get_running_loop(), run.id
        until = loop.time() + PATIENCE
        while True:
            target = after(run.state, trigger)
            if run.state is RunStatus.COMPLETED:
                if target is run.state:
                    return run
                with suppress(VersionConflict):  # it was changed meanwhile: check again what is allowed
                    return await self._end_completed(run, target)
                run, _ = await self._read(run_id)
                continue
            desired = DesiredState(target.value)
            with self._feed.subscribe(run_id) as changes:
                try:
                    execution = await asyncio.wrap_future(
                        self._store.submit(SetDesiredState(run_id, desired))
                    )
                except RunFinished:  # meanwhile: check again what is allowed
                    run, _ = await self._read(run_id)
                    continue
                changes.take()  # states before the desired one was written don't count
                await (self._executor.cancel if target in FINAL else self._executor.submit)(run_id)
                waits = target is RunStatus.STARTED and not execution.worked_on(self._store.clock())
                if waits and (await self._threads.read(partial(self._view, run))).missing:
                    return run  # it waits for a server that has what it needs
                run = await self._until(changes, run_id, FINAL | {target}, desired)
            if run.state is target:
                return run
            if run.state in FINAL:
                continue
            run, execution = await self._read(run_id)
            if execution.desired is not desired:
                after(run.state, trigger)
                raise TriggerOverruled(
                    kind=run.kind, state=run.state.value, trigger=trigger, desired=execution.desired.value
                )
            if self._closing.is_set() or loop.time() > until:
                return run

    async def stop(self, run: Run) -> None:
        """Stop a run, and wait until it has ended.

        Raises
        ------
        ServerClosing
            If the server closes first.
        """
        while run.state not in FINAL:
            if self._closing.is_set():
                raise ServerClosing
            with suppress(TriggerRefused):  # it ended by itself meanwhile
                await self.trigger(run, RunStatus.STOPPED.value)
            run, _ = await self._read(run.id)

    async def _end_completed(self, run: Run, target: RunStatus) -> Run:
        """Bring a run that has completed to its final state; no process works on it any more."""
        outcome = Outcome.FAILED if target is RunStatus.FAILED else run.outcome
        changed = self._store.submit(ChangeRun(run.id, run.version, Change(state=target, outcome=outcome)))
        return await asyncio.wrap_future(changed)

    async def _until(
        self,
        changes: Subscription,
        run_id: str,
        states: Collection[RunStatus],
        desired: DesiredState | None = None,
    ) -> Run:
        """Return a run as it was in the first of these states that it reached, even if it has left it since.

        After `PATIENCE` seconds, when the server closes, or when the desired state is no longer `desired`,
        return it as it is.
        """
        closing = asyncio.create_task(self._closing.wait())
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    hints = changes.take()
                    run, execution = await self._read(run_id)
                    over = run.state in states or desired not in (None, execution.desired) or closing.done()
                    if over:
                        hints += changes.take()  # those that came during the read
                    for state in (hint.state for hint in hints):
                        if state in states and state is not run.state:
                            return replace(run, state=state, outcome=None, reason="")
                    if over:
                        return run
                    waiting = asyncio.create_task(changes.wait())
                    await asyncio.wait({waiting, closing}, return_when=asyncio.FIRST_COMPLETED)
                    waiting.cancel()
        except TimeoutError:
            run, _ = await self._read(run_id)
            return run
        finally:
            closing.cancel()

    async def _read(self, run_id: str) -> tuple[Run, Execution]:
        return await self._threads.read(lambda: (self._store.run(run_id), self._store.execution(run_id)))
