"""Thinned results: of many steps, the rows with which a chart of a number of points looks the same.

The steps are divided into buckets. Of each bucket and scenario those rows are kept that are the first or the
last one, or in which an output is smallest or largest: U. Jugel, Z. Jerzak, G. Hackenbroich, V. Markl, *M4: A
Visualization-Oriented Time Series Data Aggregation*, VLDB 2014.
"""

from collections.abc import Sequence

import anyio.to_thread
import msgspec

from perdure.api.step_schemas import ReadPage, next_after
from perdure.drivers.live_session import Row
from perdure.drivers.session_requests import Given, StepLogPage, StepRows

__all__ = ["thinned"]

ROWS = 4  # of a bucket, for a single output


async def thinned(
    first: StepLogPage,
    read: ReadPage,
    after: int,
    limit: int | None,
    points: int,
) -> StepLogPage:
    """Return the log after a step, thinned out to about `points` steps; all steps if there are no more.

    Parameters
    ----------
    first
        The first page.
    read
        Reads further pages of the log.
    after, limit
        The step before the first one, and the limit of steps to read; None reads all.
    points
        About how many steps to keep.
    """
    total = max(0, first.run.position - after)
    total = total if limit is None else min(limit, total)
    width = 1 if total <= points else -(-total // (points // ROWS))
    kept: list[Given] = []
    bucket: list[Given] = []
    page, looked_at = first, 0
    while page.steps:
        looked_at += len(page.steps)
        bucket += page.steps
        ended = looked_at >= total or next_after(page) is None
        full = len(bucket) if ended else len(bucket) // width * width
        kept += await anyio.to_thread.run_sync(_thin, bucket[:full], width)
        del bucket[:full]
        if ended:
            break
        page = await read(page.steps[-1].step.position, total - looked_at)
    return msgspec.structs.replace(page, steps=kept)


def _thin(steps: Sequence[Given], width: int) -> list[Given]:
    """Return of each `width` steps those that have rows to keep, with these rows only."""
    if width <= ROWS:
        return list(steps)
    found = []
    for begin in range(0, len(steps), width):
        bucket = steps[begin : begin + width]
        columns = [_keep(column) for column in zip(*(given.step.rows for given in bucket), strict=True)]
        for given, rows in zip(bucket, zip(*columns, strict=True), strict=True):
            if any(row is not None for row in rows):
                found.append(Given(StepRows(given.step.position, list(rows)), given.inputs))
    return found


def _keep(column: Sequence[Row | None]) -> list[Row | None]:
    """Return the rows of a scenario in a bucket, with None for those that aren't kept."""
    there = [(at, row) for at, row in enumerate(column) if row is not None]
    if not there:
        return list(column)
    kept = {there[0][0], there[-1][0]}
    for output in range(1, len(there[0][1])):
        values = [(row[output], at) for at, row in there if _is_number(row[output])]
        if values:
            kept |= {min(values)[1], max(values)[1]}
    return [row if at in kept else None for at, row in enumerate(column)]


def _is_number(value: object) -> bool:
    """Return whether a value can be the smallest or largest: NaN can't, nor can data that isn't a number."""
    return isinstance(value, int | float) and value == value
