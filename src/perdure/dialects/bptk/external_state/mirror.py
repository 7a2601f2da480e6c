"""The mirror: instances in a memory store, written through an adapter before any answer goes out.

The memory store is what sessions run on; the adapter holds a copy of each instance as last acknowledged.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress

import msgspec
import structlog

from perdure.dialects.bptk.external_state.adapter import ExternalStateAdapter, InstanceState
from perdure.dialects.bptk.external_state.adapter_thread import AdapterThread
from perdure.dialects.bptk.external_state.compression import decompress
from perdure.dialects.bptk.external_state.document import Document
from perdure.dialects.bptk.external_state.rebuild import rebuild
from perdure.dialects.bptk.external_state.step_log import StepLog
from perdure.dialects.bptk.external_state.survey import survey
from perdure.dialects.bptk.external_state.transfer import (
    bring_in,
    document_of,
    handed_over,
    instance_of,
    newest_savepoints,
    put_run,
    read,
    state_of,
)
from perdure.dialects.bptk.instances import DIALECT, Instance
from perdure.drivers.locks import Locks
from perdure.drivers.requests import ADMINISTRATOR
from perdure.drivers.session_spec import SessionSpec
from perdure.drivers.sessions import Sessions
from perdure.errors import (
    CorruptBlob,
    ExternalStateLocked,
    ExternalStateRefused,
    ExternalStateUnavailable,
    PerdureError,
    RunNotFound,
)
from perdure.lifecycle import FINAL
from perdure.run import Entry, Key, Run
from perdure.stores.commands import DeleteDocument, PutDocument
from perdure.stores.memory import MemoryStore
from perdure.web.auth import LOCAL

__all__ = ["Mirror"]

log = structlog.get_logger(__name__)


class _Kept(msgspec.Struct, frozen=True):
    """An instance as the adapter holds it: the run as it stood, the key it was created under, its log."""

    instance: Instance
    run: Run | None = None
    key: Key | None = None
    log: StepLog | None = None


class Mirror:
    """Writes instances of a memory store through to an adapter, and brings them back.

    The caller serialises the requests of an instance by a lock of its own, which it holds from the change of
    the instance until `save` returns, also when its client goes away.

    Parameters
    ----------
    adapter
        Where instances are held.
    store
        Where they live; their records are kept under `DIALECT`.
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
        store: MemoryStore,
        sessions: Sessions,
        *,
        shared: bool = False,
        owner: str = LOCAL,
    ) -> None:
        self._adapter = adapter
        self._store = store
        self._sessions = sessions
        self._owner = owner
        self._kept: dict[str, _Kept] = {}
        self._locks = Locks()
        self._thread = AdapterThread(adapter, shared=shared)

    # Starting and ending ------------------------------------------------------------------------------------

    async def start(self) -> list[Instance]:
        """Get the adapter ready, load what it holds, and return that; if it is shared, only look at it.

        If it can't list what it holds, that is logged, and each instance is loaded when it is asked for.

        Raises
        ------
        ExternalStateLocked
            If another server uses the storage.
        """
        try:
            await self._thread.call(lambda: None)
            return await (self._survey(check=True) if self._thread.shared else self._load_all(reread=False))
        except ExternalStateLocked:
            raise
        except ExternalStateUnavailable as error:
            log.warning("external_state_not_listed", reason=str(error))
            return []

    async def aclose(self) -> None:
        """Wait for what is under way, then let go of the adapter."""
        await self._thread.aclose()

    def lock(self, instance_id: str) -> AbstractAsyncContextManager[None]:
        """Keep other servers off an instance, from load to save; `ExternalStateLocked` if one stays there."""
        return self._thread.lock(instance_id)

    # Writing ------------------------------------------------------------------------------------------------

    async def save(self, instance: Instance) -> None:
        """Hand an instance, as it stands, to the adapter.

        Raises
        ------
        ExternalStateUnavailable
            If the adapter failed. Memory is then where the adapter is if that holds the new state, else where
            it was after the last save.
        """
        await self._thread.uninterrupted(self._save(instance))

    async def save_all(self, instances: Sequence[Instance]) -> None:
        """Hand several instances to the adapter at once; raise `ExternalStateUnavailable` if it failed."""
        await self._thread.uninterrupted(self._save_all(instances))

    async def delete(self, instance_id: str) -> None:
        """Let the adapter forget an instance; raise `ExternalStateUnavailable` if it failed."""
        await self._thread.uninterrupted(self._delete(instance_id))

    # Reading ------------------------------------------------------------------------------------------------

    async def load(self, instance_id: str) -> Instance | None:
        """Bring an instance into memory that isn't there; return None if the adapter doesn't hold it.

        Raises
        ------
        ExternalStateUnavailable
            If the adapter failed.
        ExternalStateRefused
            If what it holds can't be taken over; it is left as it is.
        """
        return await self._thread.uninterrupted(self._load(instance_id))

    async def load_all(self) -> list[Instance]:
        """Bring all instances into memory that the adapter lists and that aren't there; return those.

        What can't be taken over is logged and passed over.

        Raises
        ------
        ExternalStateUnavailable
            If the adapter can't list what it holds.
        """
        return await self._thread.uninterrupted(self._load_all(reread=True))

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
        return await self._thread.uninterrupted(self._survey(check=check))

    async def forget(self, instance: Instance) -> None:
        """Drop an instance and its run from memory; the adapter holds them."""
        await self._thread.uninterrupted(self._forget(instance.id, {instance.run}))

    # The work -----------------------------------------------------------------------------------------------

    async def _save(self, instance: Instance) -> None:
        async with self._locks.hold(instance.id):
            former = self._kept.get(instance.id)
            new = await self._standing(instance, former)
            sent: list[InstanceState] = []

            def save() -> None:
                sent.append(self._state(new))
                self._adapter._save_instance(sent[0])

            try:
                await self._thread.call(save)
            except (ExternalStateLocked, ExternalStateUnavailable) as error:
                if sent and await self._holds(sent[0]):
                    self._kept[instance.id] = new
                else:
                    await self._put_back(instance, former)
                log.warning("external_state_not_saved", instance=instance.id, reason=str(error))
                raise
            self._kept[instance.id] = new

    async def _save_all(self, instances: Sequence[Instance]) -> None:
        async with AsyncExitStack() as locks:
            standing = []
            for instance in sorted(instances, key=lambda instance: instance.id):
                await locks.enter_async_context(self._locks.hold(instance.id))
                standing.append(await self._standing(instance, self._kept.get(instance.id)))
            await self._thread.call(
                lambda: self._adapter._save_state([self._state(kept) for kept in standing])
            )
            self._kept.update({kept.instance.id: kept for kept in standing})

    async def _delete(self, instance_id: str) -> None:
        async with self._locks.hold(instance_id):
            await self._thread.call(lambda: self._adapter.delete_instance(instance_id))
            self._kept.pop(instance_id, None)

    async def _standing(self, instance: Instance, former: _Kept | None) -> _Kept:
        """Return an instance as it stands, its run with a savepoint where it can still be stepped."""
        if instance.run is None:
            return _Kept(instance)
        run = self._store.run(instance.run)
        newest = newest_savepoints(self._store, run.id, run.position)
        if run.state not in FINAL and (not newest or newest[-1].position < run.position):
            with suppress(PerdureError):  # what is there, and the log, lead to the same state
                await self._sessions.take_savepoint(ADMINISTRATOR, run.id, None, False)
        if former is not None and former.log is not None and former.log.run_id == run.id:
            return _Kept(instance, run, former.key, former.log)
        return _Kept(
            instance,
            run,
            self._store.creation_key(run.id),
            StepLog(run.id, SessionSpec.from_blob(run.spec)),
        )

    def _state(self, kept: _Kept) -> InstanceState:
        """Return what the adapter is handed; called on its thread."""
        document: Document | None = None
        if kept.run is not None and kept.log is not None:
            document = document_of(self._store, kept.instance, kept.run, kept.log, kept.key)
        return handed_over(kept.instance, document, compressed=self._adapter.compress)

    async def _holds(self, sent: InstanceState) -> bool:
        """Return whether the adapter holds, in spite of its error, what it was handed."""
        try:
            held = await self._thread.call(lambda: self._adapter._load_instance(sent.instance_id))
            return held is not None and decompress(state_of(held).state) == decompress(sent.state)
        except (ExternalStateLocked, ExternalStateUnavailable, CorruptBlob, RecursionError):
            return False

    async def _put_back(self, instance: Instance, former: _Kept | None) -> None:
        """Bring an instance in memory to where it was when it was last saved."""
        if former is None:
            await self._forget(instance.id, {instance.run})
            return
        await self._forget(instance.id, {instance.run} - {former.instance.run})
        kept = former
        if former.run is not None and former.log is not None:
            run = await self._cut(former.run, former.key)
            if run is None:
                return  # it is gone, so the instance is loaded when it is next asked for
            # The former columns may hold more steps than were saved.
            kept = _Kept(former.instance, run, former.key, StepLog(run.id, former.log.spec))
        self._put_record(kept.instance)
        self._kept[instance.id] = kept

    async def _cut(self, former: Run, key: Key | None) -> Run | None:
        """Bring a run back to how it was; return None if it is gone."""
        store = self._store
        try:
            run = store.run(former.id)
        except RunNotFound:
            return None
        if (run.position, run.version) == (former.position, former.version):
            return run
        keys = dict(store.keys(run.id))
        entries = [
            Entry(inputs=step.inputs, outputs=step.outputs, key=keys.get(step.position))
            for step in store.steps(run.id, 0, former.position)
        ]
        savepoints = newest_savepoints(store, run.id, former.position)
        await self._sessions.delete(ADMINISTRATOR, run.id)
        # The adapter doesn't keep labels: the name and tags are those that the run has here.
        named = msgspec.structs.replace(former, name=run.name, tags=run.tags)
        return put_run(store, named, key, entries, savepoints)

    async def _load(self, instance_id: str) -> Instance | None:
        async with self._locks.hold(instance_id):
            held = await self._thread.call(lambda: self._adapter._load_instance(instance_id))
            return None if held is None else await self._take_over(instance_id, held)

    async def _load_all(self, *, reread: bool) -> list[Instance]:
        listed = await self._thread.call(lambda: list(self._adapter._load_state()))
        loaded = []
        for held in listed:
            if held is None:
                continue
            try:
                instance_id = state_of(held).instance_id
            except CorruptBlob as error:
                log.warning("external_state_refused", instance=None, reason=str(error))
                continue
            if self._store.document(DIALECT, instance_id) is not None:
                continue
            try:
                if reread:  # since it was listed, a request may have brought it in, changed it and left
                    instance = await self._load(instance_id)
                else:
                    instance = await self._take_over(instance_id, held)
            except ExternalStateRefused as error:
                log.warning("external_state_refused", instance=instance_id, reason=str(error))
                continue
            except ExternalStateUnavailable as error:  # it is loaded when it is asked for
                log.warning("external_state_not_loaded", instance=instance_id, reason=str(error))
                continue
            if instance is not None:
                loaded.append(instance)
        return loaded

    async def _survey(self, *, check: bool) -> list[Instance]:
        listed = await self._thread.call(lambda: list(self._adapter._load_state()))
        return await asyncio.to_thread(survey, listed, self._owner, check=check)

    async def _take_over(self, instance_id: str, held: object) -> Instance:
        """Bring what an adapter returned into memory."""
        try:
            return await self._bring_in(instance_id, state_of(held))
        except CorruptBlob as error:
            reason = str(error.values["reason"]).rstrip(".")
            raise ExternalStateRefused(instance=instance_id, reason=reason) from error

    async def _bring_in(self, instance_id: str, held: InstanceState) -> Instance:
        if held.instance_id != instance_id:
            raise CorruptBlob(reason=f"it is the instance {held.instance_id!r}")
        known = self._store.document(DIALECT, instance_id)
        if known is not None:
            former = Instance.from_blob(known.blob)
            if not self._thread.shared:  # another request was faster
                return former
            await self._forget(instance_id, {former.run})  # another server may have gone on from there
        content = await asyncio.to_thread(read, held.state)
        instance = instance_of(held, self._owner)
        run: Run | None = None
        key: Key | None = None
        if content.session is not None:
            document, entries = content.session
            await self._forget(instance_id, {document.run.id})
            run, key = bring_in(self._store, document, entries), document.run.key
            instance = msgspec.structs.replace(
                instance,
                owner=document.owner,
                accessed=document.accessed,
                run=run.id,
                started=document.started,
            )
        elif content.started is not None:
            told = content.started
            instance = msgspec.structs.replace(
                instance, owner=told.owner, accessed=told.accessed, started=told.started
            )
        elif content.legacy is not None:
            run = await rebuild(self._sessions, instance, content.legacy)
            # BPTK-Py counts a loaded instance as asked for now.
            instance = msgspec.structs.replace(instance, accessed=time.time(), run=run.id)
        self._put_record(instance)
        steps = None if run is None else StepLog(run.id, SessionSpec.from_blob(run.spec))
        self._kept[instance_id] = _Kept(instance, run, key, steps)
        return instance

    async def _forget(self, instance_id: str, runs: set[str | None]) -> None:
        self._kept.pop(instance_id, None)
        self._store.submit(DeleteDocument(DIALECT, instance_id)).result()
        for run in runs:
            if run is not None:
                with suppress(RunNotFound):
                    self._store.run(run)
                    await self._sessions.delete(ADMINISTRATOR, run)

    def _put_record(self, instance: Instance) -> None:
        former = self._store.document(DIALECT, instance.id)
        version = None if former is None else former.version
        self._store.submit(PutDocument(DIALECT, instance.id, instance.to_blob(), version)).result()
