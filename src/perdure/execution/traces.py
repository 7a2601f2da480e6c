"""The trace of a run that an executor works on: from the request that created it to each of its attempts.

An attempt may be made much later, and on another host. So the request's span is a document of the store,
until the run has ended. A run doesn't depend on it: if it can't be kept or forgotten, that is logged.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from perdure import tracing
from perdure.errors import CorruptBlob, PerdureError
from perdure.run import Execution
from perdure.stores.base import Store
from perdure.stores.commands import DeleteDocument, PutDocument

__all__ = ["attempt_span", "forget_trace", "keep_trace"]

DIALECT = "traces"

log = structlog.get_logger(__name__)


async def keep_trace(store: Store, run_id: str) -> None:
    """Keep the current span as that of the request that has created a run, if this process traces."""
    if parent := tracing.current():
        try:
            await asyncio.wrap_future(store.submit(PutDocument(DIALECT, run_id, parent.encode(), None)))
        except PerdureError as error:  # the run is durable already
            log.warning("trace_not_kept", run=run_id, reason=str(error))


async def forget_trace(store: Store, run_id: str) -> None:
    """Forget the trace of a run that has ended or was deleted; another process may have kept it."""
    try:
        if await asyncio.to_thread(_is_kept, store, run_id):  # a read costs less than a commit
            await asyncio.wrap_future(store.submit(DeleteDocument(DIALECT, run_id)))
    except PerdureError as error:  # the run has ended all the same
        log.warning("trace_not_forgotten", run=run_id, reason=str(error))


@asynccontextmanager
async def attempt_span(store: Store, execution: Execution) -> AsyncIterator[None]:
    """Make the span of an attempt the current one within the block, if this process traces."""
    if not tracing.enabled():
        yield
        return
    run_id, kind, number = execution.run_id, execution.kind, execution.attempt
    parent = await asyncio.to_thread(_parent, store, run_id)
    with tracing.server_span(f"attempt {kind}", parent, run=run_id, kind=kind, attempt=number):
        yield


def _is_kept(store: Store, run_id: str) -> bool:
    try:
        return store.document(DIALECT, run_id) is not None
    except CorruptBlob:
        return True


def _parent(store: Store, run_id: str) -> str:
    try:
        kept = store.document(DIALECT, run_id)
    except CorruptBlob:
        return ""
    return "" if kept is None else kept.blob.decode(errors="replace")
