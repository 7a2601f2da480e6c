"""The trace of a run that an executor works on: from the request that created it to each of its attempts.

An attempt may be made much later, and on another host. So the request's span is a document of the store,
until the run has ended.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from perdure import tracing
from perdure.errors import CorruptBlob, VersionConflict
from perdure.run import Execution
from perdure.stores.base import Store
from perdure.stores.commands import DeleteDocument, PutDocument

__all__ = ["attempt_span", "forget_trace", "keep_trace"]

DIALECT = "traces"


async def keep_trace(store: Store, run_id: str) -> None:
    """Keep the current span as that of the request that has created a run, if this process traces."""
    if parent := tracing.current():
        with suppress(VersionConflict):
            await asyncio.wrap_future(store.submit(PutDocument(DIALECT, run_id, parent.encode(), None)))


async def forget_trace(store: Store, run_id: str) -> None:
    """Forget the trace of a run that has ended or was deleted, if this process traces."""
    if tracing.enabled():
        await asyncio.wrap_future(store.submit(DeleteDocument(DIALECT, run_id)))


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


def _parent(store: Store, run_id: str) -> str:
    try:
        kept = store.document(DIALECT, run_id)
    except CorruptBlob:
        return ""
    return "" if kept is None else kept.blob.decode(errors="replace")
