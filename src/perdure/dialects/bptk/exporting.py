"""Exports: results of scenarios as the tables of BPTK-Py's `export_scenarios`."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from perdure.errors import Invalid, MissingExtra
from perdure.scenarios import Scenario
from perdure.scenarios.bulk import run
from perdure.scenarios.catalogue import check_outputs
from perdure.scenarios.model import overridden

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Export"]


@dataclass(frozen=True)
class Export:
    """Scenarios of one manager, and the elements to export.

    Attributes
    ----------
    scenarios
        In the order of their rows or columns.
    equations
        Names of elements; none mean all.
    """

    scenarios: Sequence[Scenario]
    equations: Sequence[str]

    def by_scenario(self, scenario_column: str, time_column: str) -> "pd.DataFrame":
        """Return a row for each scenario and time, with a column for each element.

        Raises
        ------
        MissingExtra
            If pandas isn't installed.
        """
        tables = []
        for scenario in self.scenarios:
            frame = _run(scenario, self.equations)
            more: Any = {scenario_column: scenario.name, time_column: frame.index}
            tables.append(frame.assign(**more))
        return _joined(tables)

    def by_indicator(self) -> "pd.DataFrame":
        """Return a row for each element and time, with a column for each scenario."""
        frames = {scenario.name: _run(scenario, self.equations) for scenario in self.scenarios}
        tables = []
        for name in dict.fromkeys(name for frame in frames.values() for name in frame.columns):
            columns = {scenario: frame[name] for scenario, frame in frames.items() if name in frame}
            table = _pandas().DataFrame(columns)
            tables.append(table.assign(indicator=name, time=table.index))
        return _joined(tables)

    def interactive(
        self, scenario: Scenario | None, equations: Sequence[str], settings: Mapping[str, Sequence[float]]
    ) -> "pd.DataFrame":
        """Return a row for each combination of the settings and time; empty without a scenario.

        Parameters
        ----------
        settings
            Constant → start, stop and step of its values.

        Raises
        ------
        InvalidOverride
            If the model has no such constant.
        """
        if scenario is None:
            empty: pd.DataFrame = _pandas().DataFrame([])
            return empty
        if not settings:
            raise Invalid(
                "An interactive scenario needs interactive_settings: constant → (start, stop, step)."
            )
        tables = []
        for values in itertools.product(*(np.arange(*span) for span in settings.values())):
            given = dict(zip(settings, map(float, values), strict=True))
            constants = overridden(scenario.model, "constants", scenario.constants, given)
            frame = _run(replace(scenario, constants=constants), equations)
            tables.append(frame.assign(**given, time=frame.index))
        return _joined(tables)

    def write(self, tables: "Mapping[str, pd.DataFrame]", filename: str | Path) -> None:
        """Write tables to an ``.xlsx`` file, each on a sheet with its name.

        Raises
        ------
        MissingExtra
            If openpyxl isn't installed.
        """
        if find_spec("openpyxl") is None:
            raise MissingExtra(what="A spreadsheet", package="openpyxl", extra="excel")
        with _pandas().ExcelWriter(filename, engine="openpyxl") as writer:
            for name, table in tables.items():
                table.to_excel(writer, sheet_name=name)


def _run(scenario: Scenario, equations: Sequence[str]) -> "pd.DataFrame":
    check_outputs(equations, [scenario])
    return cast("pd.DataFrame", run([scenario], equations, {}, 0, False, "df"))


def _joined(tables: "Sequence[pd.DataFrame]") -> "pd.DataFrame":
    pandas = _pandas()
    joined: pd.DataFrame = (
        pandas.concat(tables, ignore_index=True, sort=False) if tables else pandas.DataFrame([])
    )
    joined.index.name = "id"
    return joined


def _pandas() -> Any:
    import pandas  # imported already: `run` raises an error if it is missing

    return pandas
