"""Thinned results: short, without the loss of a peak, and the same as all results where these are short."""

import asyncio
import math

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from perdure.api.thinning import thinned
from perdure.drivers.live_session import Row
from perdure.drivers.session_requests import Given, StepLogPage, StepRows
from perdure.drivers.session_spec import SessionSpec
from perdure.testing.store_samples import a_run

VALUES = st.one_of(st.floats(), st.integers(), st.none(), st.just({"x": 1}))


def thin(
    columns: list[list[Row | None]], points: int, limit: int | None = None, page: int = 7
) -> list[Given]:
    """Return the thinned log of the scenarios' rows, read in pages."""
    steps = [Given(StepRows(at, list(rows)), []) for at, rows in enumerate(zip(*columns, strict=True), 1)]
    spec = SessionSpec(scenarios=[], seed=1, every=1, milestone=1)
    log = StepLogPage(a_run(position=len(steps)), spec, [])

    async def read(after: int, most: int | None) -> StepLogPage:
        ends = after + (page if most is None else min(most, page))
        return msgspec.structs.replace(log, steps=steps[after:ends])

    async def work() -> list[Given]:
        return (await thinned(await read(0, limit), read, 0, limit, points)).steps

    return asyncio.run(work())


def rows_of(scenario: int, steps: list[Given]) -> dict[int, Row]:
    found = ((given.step.position, given.step.rows[scenario]) for given in steps)
    return {position: row for position, row in found if row is not None}


@given(st.lists(VALUES, min_size=1, max_size=90), st.integers(0, 90), st.integers(4, 40))
def test_every_part_keeps_its_first_and_last_row_and_its_extremes(
    values: list[object], finished: int, points: int
) -> None:
    rows: list[Row | None] = [[float(at), value] for at, value in enumerate(values)]
    columns = [rows, [row if at < finished else None for at, row in enumerate(rows)]]
    kept = thin(columns, points)
    assert [given.step.position for given in kept] == sorted({given.step.position for given in kept})
    width = 1 if len(values) <= points else math.ceil(len(values) / (points // 4))
    for scenario, column in enumerate(columns):
        found = rows_of(scenario, kept)
        assert all(
            row == column[position - 1] or row is column[position - 1] for position, row in found.items()
        )
        assert len(found) <= max(points, 4)
        for begin in range(0, len(column), width):
            part = {
                at + 1: row
                for at, row in enumerate(column)
                if row is not None and begin <= at < begin + width
            }
            if part:
                assert {min(part), max(part)} <= found.keys()
                numbers = [
                    row[1] for row in part.values() if isinstance(row[1], int | float) and row[1] == row[1]
                ]
                shown = [found[at][1] for at in part.keys() & found.keys()]
                assert not numbers or (min(numbers) in shown and max(numbers) in shown)


def test_as_many_steps_as_points_are_all_there_and_a_limit_is_kept() -> None:
    rows: list[Row | None] = [[float(at), 0.0] for at in range(50)]
    assert [*rows_of(0, thin([rows], 50))] == [*range(1, 51)]
    assert [*rows_of(0, thin([rows], 50, limit=20))] == [*range(1, 21)]
    assert [*rows_of(0, thin([rows], 8, limit=20))] == [1, 10, 11, 20]
    assert thin([[]], 4) == []
