"""The mirror: instances of a store written through an adapter before any answer goes out, and brought back.

The adapter holds a copy of each instance as last acknowledged. Memory is never put back to it: what couldn't
be saved is dropped, and loaded from the adapter again.
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
    ExternalStateLocked,
    ExternalStateRefused,
    ExternalStateUnavailable,
    RunNotFound,
)
from perdure.run import NO_LABEL, Label, Run
from perdure.stores.base import Store
from perdure.web.auth import LOCAL

__all__ = ["Mirror"]

log = structlog.get_logger(__name__)


class Mirror:
    """Writes instances of a store through to an adapter, and brings their runs back.

    The caller serialises what is done with an instance, and does it to its end, also when its client goes
    away. It keeps the instances' documents, too.

    Parameters
    ----------
    adapter
        Where instances are held.
    store
        Where their runs live.
    sessions
        The driver of their runs.
    shared
        Whether other servers use the same storage (``externalize_state_completely``).
    owner
        Whose an instance is that has no session, or one of BPTK-Py, as neither says.
    """

    def __init__(
        self,
        adapter: ExternalStateAdapter,
        store: Store,
        sessions: Sessions,
        *,
        shared: bool = False,
        owner: str = LOCAL,
    ) -> None:
        self._adapter = adapter
        self._store = store
        self._sessions = sessions
        self._owner = owner
        self._logs: dict[str, StepLog] = {}  # of each instance's session, so that a save decodes what is new
        self._labels: dict[str, dict[str, Label]] = {}  # by instance and run, until that is brought in again
        self._thread = AdapterThread(adapter, shared=shared)

    async def open(self) -> None:
        """Get the adapter ready; raise `ExternalStateLocked` if another server uses the storage."""
        await self._thread.call(lambda: None)

    async def aclose(self) -> None:
        """Let go of the adapter."""
        await self._thread.aclose()

    def lock(self, instance_id: str) -> AbstractAsyncContextManager[None]:
        """Keep other servers off an instance, from load to save; `ExternalStateLocked` if one stays there."""
        return self._thread.lock(instance_id)

    # Writing ------------------------------------------------------------------------------------------------

    async def save(self, instance: Instance) -> None:
        """Hand an instance, as it stands, to the adapter; raise `ExternalStateUnavailable` if it failed."""
        run = self._run_of(instance)
        try:
            await self._thread.call(lambda: self._adapter._save_instance(self._state(instance, run)))
        except (ExternalStateLocked, ExternalStateUnavailable) as error:
            log.warning("external_state_not_saved", instance=instance.id, reason=str(error))
            raise

    async def save_all(self, instances: Sequence[Instance]) -> None:
        """Hand several instances to the adapter at once; raise `ExternalStateUnavailable` if it failed."""
        standing = [(instance, self._run_of(instance)) for instance in instances]
        await self._thread.call(lambda: self._adapter._save_state([self._state(*it) for it in standing]))

    async def delete(self, instance_id: str) -> None:
        """Let the adapter forget an instance; raise `ExternalStateUnavailable` if it failed."""
        await self._thread.call(lambda: self._adapter.delete_instance(instance_id))
        self._labels.pop(instance_id, None)

    async def forget(self, instance: Instance) -> None:
        """Drop the runs that memory has of an instance: its session's, and the one that was saved last.

        Their labels, which the adapter doesn't hold, are kept for when they are brought in again.
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
        """Bring an instance's run into memory; return the instance, and its last use as the adapter notes it.

        The adapter's time may be coarser than that in the session. None if it holds no such instance.

        Parameters
        ----------
        held
            What the adapter has just listed, if it is known.

        Raises
        ------
        ExternalStateUnavailable
            If the adapter failed.
        ExternalStateRefused
            If what it holds can't be taken over; it is left as it is.
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
        """Return what the adapter lists, by instance; what is none is logged and left out.

        Raises
        ------
        ExternalStateUnavailable
            If the adapter can't list what it holds.
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
        """Return the instances that the adapter lists, without their sessions; nothing stays in memory.

        Parameters
        ----------
        check
            Whether the sessions are looked at too: what couldn't be taken over is logged and left out.

        Raises
        ------
        ExternalStateUnavailable
            If the adapter can't list what it holds.
        """
        return await asyncio.to_thread(survey, await self._list(), self._owner, check=check)

    # The work -----------------------------------------------------------------------------------------------

    async def _list(self) -> list[object]:
        listed = await self._thread.call(lambda: list(self._adapter._load_state()))
        return [held for held in listed if held is not None]

    def _run_of(self, instance: Instance) -> Run | None:
        return None if instance.run is None else self._store.run(instance.run)

    def _state(self, instance: Instance, run: Run | None) -> InstanceState:
        """Return what the adapter is handed; called on its thread."""
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
        instance = instance_of(held, self._owner)
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
            # BPTK-Py counts a loaded instance as asked for now.
            instance = replace(instance, accessed=time.time(), run=run.id)
        return instance, noted
