"""Evaluation: the values of elements at single times, over a window of times, or as a table.

Each evaluation is a run of its own from the start, so it takes time proportional to its stop time.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from perdure.engines.run_specs import RunSpecs
from perdure.engines.system_dynamics.running.simulation import ModelSimulation, Simulated
from perdure.errors import EvaluationFailed

__all__ = ["as_table", "table_of", "value_at", "windows_of"]


def value_at(model: Simulated, specs: RunSpecs, name: str, t: float) -> float:
    """Return the value of an element at the grid point nearest to `t`."""
    n = round((t - specs.starttime) / specs.dt)
    if n < 0:
        raise _before_the_start(name, t, specs)
    (value,) = ModelSimulation(model, specs, [name]).look(n)
    return value


def windows_of(
    model: Simulated, specs: RunSpecs, names: Sequence[str], shown: RunSpecs
) -> list[dict[float, float]]:
    """Return time → value of each element at the times of `shown`; each is that of the nearest grid point."""
    if shown.starttime < specs.starttime:
        raise _before_the_start(names[0], shown.starttime, specs)
    _, columns = ModelSimulation(model, specs, names).run()
    places, times = shown.decimals, [shown.time(n) for n in range(shown.answers)]
    points = [min(round((t - specs.starttime) / specs.dt), specs.last) for t in times]
    return [{round(t, places): values[n] for t, n in zip(times, points, strict=True)} for values in columns]


def table_of(model: Simulated, specs: RunSpecs, names: Sequence[str], shown: Sequence[str]) -> Any:
    """Return a DataFrame with a column for each element, or a dict of dicts where pandas isn't installed.

    `shown` are the names of the columns.
    """
    grid, columns = ModelSimulation(model, specs, names).run()
    places = specs.decimals
    times = [round(t, places) for t in grid]
    return as_table(times, dict(zip(shown, columns, strict=True)))


def as_table(times: Sequence[float], columns: Mapping[str, Sequence[float]]) -> Any:
    """Return columns as a DataFrame, or as a dict of dicts where pandas isn't installed."""
    try:
        import pandas as pd
    except ImportError:
        return {name: dict(zip(times, column, strict=True)) for name, column in columns.items()}
    return pd.DataFrame(columns, index=pd.Index(times, name="t"))


def _before_the_start(name: str, t: float, specs: RunSpecs) -> EvaluationFailed:
    return EvaluationFailed(element=name, time=t, reason=f"the run starts at {specs.starttime}")
