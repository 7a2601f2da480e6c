"""Views: what a run's body shows to those who watch it, while they do, and at most four times a second.

Who watches renews a document of the store, and reads another one, in which the worker puts what the body
shows. So they may be on different hosts. A view is a copy: nothing of the run depends on it, and it is lost
if it can't be written.
"""

import asyncio
import time
from contextlib import suppress
from typing import Final

import msgspec
import structlog

from perdure.errors import CorruptBlob, PerdureError, RunNotFound
from perdure.execution.conversation import Conversation
from perdure.execution.messages import Show
from perdure.lifecycle import FINAL
from perdure.run import Execution
from perdure.stores.base import Store
from perdure.stores.commands import DeleteDocument, PutDocument

__all__ = ["EVERY", "StoredView", "Viewing", "forget_views", "newest_view", "watch"]

WATCHED: Final = "watched"  # the documents of those who watch
VIEWS: Final = "views"  # the documents with what they see
LASTS = 3.0  # seconds for which a run is watched after it was asked for
LOOK = 0.5  # seconds between two looks whether it is watched
EVERY = 0.25  # seconds between two views
LARGEST = 8 << 20  # bytes of a view; bodies make smaller ones

log = structlog.get_logger(__name__)


class StoredView(msgspec.Struct, frozen=True):
    """What a body shows of its run, in its own format, and the fencing token of its attempt."""

    token: int
    view: bytes


async def watch(store: Store, run_id: str) -> None:
    """Have views of a run made for the next seconds, if a worker works on it and it hasn't ended."""
    with suppress(PerdureError):  # another one renews it, or the store can't be written
        renewal = await asyncio.to_thread(_renewal, store, run_id)
        if renewal is not None:
            await asyncio.wrap_future(store.submit(renewal))
            # It may have ended or been deleted meanwhile, and its views been forgotten before this.
            if await asyncio.to_thread(_has_ended, store, run_id):
                await forget_views(store, run_id)


def newest_view(store: Store, run_id: str) -> StoredView | None:
    """Return the newest view of a run, also if nobody has watched it for long; blocking."""
    with suppress(CorruptBlob, msgspec.DecodeError):
        kept = store.document(VIEWS, run_id)
        return None if kept is None else msgspec.msgpack.decode(kept.blob, type=StoredView)
    return None


async def forget_views(store: Store, run_id: str) -> None:
    """Forget the views of a run that has ended or was deleted, and who watches it."""
    try:
        for dialect in (VIEWS, WATCHED):
            if await asyncio.to_thread(_is_kept, store, dialect, run_id):
                await asyncio.wrap_future(store.submit(DeleteDocument(dialect, run_id)))
    except PerdureError as error:  # the run has ended all the same
        log.warning("views_not_forgotten", run=run_id, reason=str(error))


class Viewing:
    """Has the child of one attempt show the run to those who watch it.

    Parameters
    ----------
    store
        Where views are put.
    execution
        The run's execution.
    conversation
        The conversation with the child.
    """

    def __init__(self, store: Store, execution: Execution, conversation: Conversation) -> None:
        self._store, self._conversation = store, conversation
        self._run_id, self._token = execution.run_id, execution.fence
        self._asked = False  # whether the child has been asked for a view that it hasn't sent

    async def run(self) -> None:
        """Put the child's views into the store while somebody watches; ends when it is cancelled."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                while await asyncio.to_thread(self._is_watched):
                    await self._view()
            except PerdureError as error:
                log.warning("run_not_shown", run=self._run_id, reason=str(error))

    def _is_watched(self) -> bool:
        now = self._store.clock()
        return now < _watched(self._store, self._run_id)[1] <= now + LASTS

    async def _view(self) -> None:
        """Put the child's next view into the store, or return if it takes long."""
        began = time.monotonic()
        if not self._asked:
            self._conversation.send(Show())
            self._asked = True
        try:
            async with asyncio.timeout(LOOK):
                shown = await self._conversation.views.get()
        except TimeoutError:  # it stands still, or its steps are long
            return
        self._asked = False
        if len(shown) > LARGEST:
            return
        version = await asyncio.to_thread(_version, self._store, self._run_id)
        blob = msgspec.msgpack.encode(StoredView(self._token, shown))
        await asyncio.wrap_future(self._store.submit(PutDocument(VIEWS, self._run_id, blob, version)))
        await asyncio.sleep(began + EVERY - time.monotonic())


def _renewal(store: Store, run_id: str) -> PutDocument | None:
    """Return the command that lets a run be watched for longer; None if it is watched long enough."""
    now = store.clock()
    version, until = _watched(store, run_id)
    if now + LASTS / 2 < until <= now + LASTS:
        return None
    return PutDocument(WATCHED, run_id, msgspec.msgpack.encode(now + LASTS), version)


def _has_ended(store: Store, run_id: str) -> bool:
    try:
        return store.run(run_id).state in FINAL
    except RunNotFound:
        return True


def _watched(store: Store, run_id: str) -> tuple[int | None, float]:
    """Return the version of the document of those who watch a run, and until when they do."""
    kept = store.document(WATCHED, run_id)
    if kept is None:
        return None, 0.0
    with suppress(msgspec.DecodeError):
        return kept.version, msgspec.msgpack.decode(kept.blob, type=float)
    return kept.version, 0.0


def _version(store: Store, run_id: str) -> int | None:
    kept = store.document(VIEWS, run_id)
    return None if kept is None else kept.version


def _is_kept(store: Store, dialect: str, run_id: str) -> bool:
    try:
        return store.document(dialect, run_id) is not None
    except CorruptBlob:
        return True
