"""The briefing: what an attempt is told of the ones before, the newest intact savepoint and the log."""

from collections.abc import Iterator, Sequence

import structlog

from perdure.errors import CorruptBlob
from perdure.run import Step
from perdure.state.savepoint import Savepoint
from perdure.stores.base import Store

__all__ = ["newest_savepoint", "parts"]

LOG_BYTES = 8 << 20  # of the log in one message

log = structlog.get_logger(__name__)


def newest_savepoint(store: Store, run_id: str) -> Savepoint | None:
    """Return the newest savepoint that is intact, or None."""
    for info in reversed(store.savepoints(run_id)):
        try:
            return store.savepoint(run_id, info.timestamp)
        except CorruptBlob:
            log.warning("savepoint_damaged", run=run_id, timestamp=info.timestamp)
    return None


def parts(steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
    """Cut a log into parts that fit into messages."""
    part: list[Step] = []
    size = 0
    for step in steps:
        part.append(step)
        size += len(step.inputs or b"") + len(step.outputs)
        if size > LOG_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part
