"""Results as CSV (RFC 4180): a line for each step of each scenario, streamed page by page.

Numbers are written with the fewest digits that read back as the same bits; `nan`, `inf` and `-inf` stand for
themselves. A column is empty where a scenario doesn't have that output. A name that a spreadsheet would take
for a formula has an apostrophe before it.
"""

import csv
import io
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import anyio.to_thread
import msgspec

from perdure.api.step_schemas import ReadPage, next_after
from perdure.drivers.session_requests import StepLogPage
from perdure.drivers.session_spec import SessionSpec

__all__ = ["CSV", "csv_pages"]

CSV: Final = "text/csv"

# With these a spreadsheet's formula begins, the wide forms and white space before them included.
_OF_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")

_LEADING = ("step", "manager", "scenario", "time")


async def csv_pages(first: StepLogPage, read: ReadPage, limit: int | None) -> AsyncIterator[str]:
    """Yield the results as CSV, a page of the log at a time.

    Parameters
    ----------
    first
        The first page.
    read
        Reads further pages of the log.
    limit
        The limit of steps in all; None writes all.
    """
    columns = list(dict.fromkeys(name for scenario in first.spec.scenarios for name in scenario.outputs))
    yield _lines([[*_LEADING, *map(_name, columns)]])
    page: StepLogPage | None = first
    while page is not None:
        yield await anyio.to_thread.run_sync(_page, page, columns)
        limit = None if limit is None else limit - len(page.steps)
        after = next_after(page)
        page = None if after is None or limit == 0 else await read(after, limit)


def _page(log: StepLogPage, columns: Sequence[str]) -> str:
    places = _places(log.spec, columns)
    scenarios = [(scenario, scenario.decimals) for scenario in log.spec.scenarios]
    lines = []
    for given in log.steps:
        for (scenario, decimals), place, row in zip(scenarios, places, given.step.rows, strict=True):
            if row is not None:
                time = repr(round(row[0], decimals))
                values = ["" if at is None else _value(row[at]) for at in place]
                names = (_name(scenario.manager), _name(scenario.scenario))
                lines.append([given.step.position, *names, time, *values])
    return _lines(lines)


def _places(spec: SessionSpec, columns: Sequence[str]) -> list[list[int | None]]:
    """Return for each scenario where in its rows the columns are."""
    found = [{name: at for at, name in enumerate(scenario.outputs, start=1)} for scenario in spec.scenarios]
    return [[at.get(name) for name in columns] for at in found]


def _value(value: Any) -> str:
    """Return a value as a cell: a number as Python writes it, other data as JSON."""
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else msgspec.json.encode(value).decode()


def _name(name: str) -> str:
    """Return a name as a cell that is text in every spreadsheet."""
    return f"'{name}" if name.startswith(_OF_FORMULAS) else name


def _lines(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
