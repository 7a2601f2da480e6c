"""The mirror: writes instances of a store through to an adapter before a response is sent, and loads them.

The adapter holds a copy of each instance as last acknowledged. If an instance can't be saved, it is dropped
from memory, and loaded from the adapter again.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import structlog
from msgspec.structs import replace

from perdure.dialects.bptk.external_state.adapter import ExternalStateAdapter, InstanceState
from perdure.dialects.bptk.external_state.adapter_thread import AdapterThread
from perdure.dialects.bptk.external_state.rebuild import rebuild
from perdure.dialects.bptk.external_state.step_log import StepLog
from perdure.dialects.bptk.external_state.survey import survey
from perdure.dialects.bptk.external_state.transfer import (
    bring_in,
    document_of,
    handed_over,
    instance_of,
    read,
    state_of,
)
from perdure.dialects.bptk.instance import Instance
from perdure.drivers.session_requests import ADMINISTRATOR
from perdure.drivers.session_spec import SessionSpec
from perdure.drivers.sessions import Sessions
from perdure.errors import (
    CorruptBlob,
    ExternalStateChanged,
    ExternalStateLocked,
    ExternalStateRefused,
    ExternalStateUnavailable,
    RunNotFound,
)
from perdure.run import NO_LABEL, Label, Run

__all__ = ["Mirror"]

log = structlog.get_logger(__name__)


class Mirror:
    """Writes instances of a store through to an adapter, and loads their runs.

    The caller serialises the operations on an instance, completes them even if the client disconnects, and
    keeps the instances' documents.

    Parameters
    ----------
    adapter
        The adapter.
    sessions
        The driver of their runs; its store keeps them.
    shared
        Whether other servers use the same storage (``externalize_state_completely``).
    """

    def __init__(
        self,
        adapter: ExternalStateAdapter,
        sessions: Sessions,
        *,
        shared: bool,
    ) -> None:
        self.shared = shared
        self._adapter = adapter
        self._store = sessions.store
        self._sessions = sessions
        self._logs: dict[str, StepLog] = {}  # by instance, so that a save only decodes new steps
        self._labels: dict[str, dict[str, Label]] = {}  # by instance and run, until the run is loaded again
        self._thread = AdapterThread(adapter, shared=shared)

    async def open(self) -> None:
        """Open the adapter; raise `ExternalStateLocked` if another server uses the storage."""
        await self._thread.call(lambda: None)

    async def aclose(self) -> None:
        """Close the adapter."""
        await self._thread.aclose()

    def lock(self, instance_id: str) -> AbstractAsyncContextManager[None]:
        """Lock an instance against other servers, from load to save.

        Raise `ExternalStateLocked` after a time.
        """
        return self._thread.lock(instance_id)

    # Writing ------------------------------------------------------------------------------------------------

    async def save(self, instance: Instance) -> None:
        """Save an instance in its current state; raise `ExternalStateUnavailable` if that fails."""
        run = self._run_of(instance)
        try:
            await self._thread.call(lambda: self._adapter._save_instance(self._state(instance, run)))
        except ExternalStateChanged:
            raise
        except (ExternalStateLocked, ExternalStateUnavailable) as error:
            log.warning("external_state_not_saved", instance=instance.id, reason=str(error))
            raise

    async def save_all(self, instances: Sequence[Instance]) -> None:
        """Save several instances at once; raise `ExternalStateUnavailable` if that fails."""
        standing = [(instance, self._run_of(instance)) for instance in instances]
        await self._thread.call(lambda: self._adapter._save_state([self._state(*it) for it in standing]))

    async def delete(self, instance_id: str) -> None:
        """Delete an instance from the adapter; raise `ExternalStateUnavailable` if that fails."""
        await self._thread.call(lambda: self._adapter.delete_instance(instance_id))
        self._labels.pop(instance_id, None)

    async def expire(self, instance_id: str) -> None:
        """Delete an instance whose timeout is over from the adapter.

        Raise `ExternalStateChanged` if another server has used it, `ExternalStateUnavailable` if that fails.
        """
        await self._thread.call(lambda: self._adapter._expire_instance(instance_id))
        self._labels.pop(instance_id, None)

    async def forget(self, instance: Instance) -> None:
        """Drop the runs of an instance from memory: its session's, and the one that was saved last.

        Their labels, which the adapter doesn't hold, are kept until the runs are loaded again.
        """
        saved = self._logs.pop(instance.id, None)
        for run in {instance.run, None if saved is None else saved.run_id} - {None}:
            with suppress(RunNotFound):
                dropped = self._store.run(str(run))
                if (label := Label(name=dropped.name, tags=dropped.tags)) != NO_LABEL:
                    self._labels.setdefault(instance.id, {})[dropped.id] = label
                await self._sessions.delete(ADMINISTRATOR, str(run))

    # Reading ------------------------------------------------------------------------------------------------

    async def load(self, instance_id: str, held: Any = None) -> tuple[Instance, float] | None:
        """Load an instance's run into memory; return the instance, and its last use as the adapter stores it.

        The adapter's time may be coarser than that in the session. None if it holds no such instance.

        Parameters
        ----------
        held
            The instance from the adapter's list, if it was just listed.

        Raises
        ------
        ExternalStateUnavailable
            If the adapter failed.
        ExternalStateRefused
            If the data can't be loaded; it stays unchanged.
        """
        if held is None:
            held = await self._thread.call(lambda: self._adapter._load_instance(instance_id))
        if held is None:
            return None
        try:
            return await self._bring_in(instance_id, state_of(held))
        except CorruptBlob as error:
            reason = str(error.values["reason"]).rstrip(".")
            raise ExternalStateRefused(instance=instance_id, reason=reason) from error

    async def listed(self) -> Mapping[str, InstanceState]:
        """Return the adapter's list, by instance; invalid entries are logged and left out.

        Raises
        ------
        ExternalStateUnavailable
            If the adapter can't return a list.
        """
        found = {}
        for held in await self._list():
            try:
                state = state_of(held)
                found[state.instance_id] = state
            except CorruptBlob as error:
                log.warning("external_state_refused", instance=None, reason=str(error))
        return found

    async def survey(self, *, check: bool) -> list[Instance]:
        """Return the instances in the adapter's list, without their sessions; nothing stays in memory.

        Parameters
        ----------
        check
            Whether the sessions are checked too: those that can't be loaded are logged and left out.

        Raises
        ------
        ExternalStateUnavailable
            If the adapter can't return a list.
        """
        return await asyncio.to_thread(survey, await self._list(), check=check)

    # The work -----------------------------------------------------------------------------------------------

    async def _list(self) -> list[object]:
        listed = await self._thread.call(lambda: list(self._adapter._load_state()))
        return [held for held in listed if held is not None]

    def _run_of(self, instance: Instance) -> Run | None:
        return None if instance.run is None else self._store.run(instance.run)

    def _state(self, instance: Instance, run: Run | None) -> InstanceState:
        """Return the data that the adapter receives; called in its thread."""
        if run is None:
            return handed_over(instance, None, compressed=self._adapter.compress)
        known = self._logs.get(instance.id)
        if known is None or known.run_id != run.id:
            known = StepLog(run.id, SessionSpec.from_blob(run.spec))
            self._logs[instance.id] = known
        document = document_of(self._store, instance, run, known)
        return handed_over(instance, document, compressed=self._adapter.compress)

    async def _bring_in(self, instance_id: str, held: InstanceState) -> tuple[Instance, float]:
        if held.instance_id != instance_id:
            raise CorruptBlob(reason=f"it is the instance {held.instance_id!r}")
        content = await asyncio.to_thread(read, held.state)
        instance = instance_of(held)
        noted = instance.accessed
        if content.session is not None:
            document, entries = content.session
            instance = replace(
                instance,
                owner=document.owner,
                accessed=document.accessed,
                run=document.run.id,
                started=document.started,
            )
            await self.forget(instance)
            label = self._labels.pop(instance_id, {}).get(document.run.id, NO_LABEL)
            bring_in(self._store, document, entries, label)
        elif content.started is not None:
            begun = content.started
            instance = replace(instance, owner=begun.owner, accessed=begun.accessed, started=begun.started)
        elif content.legacy is not None:
            run = await rebuild(self._sessions, instance, content.legacy)
            # In BPTK-Py, loading an instance counts as a use.
            instance = replace(instance, accessed=time.time(), run=run.id)
        return instance, noted
