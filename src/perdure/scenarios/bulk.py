"""Bulk runs: scenarios from start to stop in this process, nothing kept."""

import importlib.util
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from perdure.engines.run_specs import decimals
from perdure.errors import Invalid, MissingExtra
from perdure.scenarios.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Results", "Tree", "results_tree", "run", "tracked"]

T = TypeVar("T")

Series = dict[float, Any]
Tree = dict[str, dict[str, dict[str, dict[str, Series]]]]
Results: TypeAlias = "Tree | str | pd.DataFrame"

FORMATS = ("df", "dict", "json")


def run(
    scenarios: Sequence[Scenario],
    outputs: Sequence[str],
    series_names: Mapping[str, str],
    seed: int,
    progress_bar: bool,
    return_format: str | None,
) -> Results:
    """Run each scenario as a whole and give the results the form asked for; see `Catalogue.run_scenarios`."""
    if return_format is None:
        return_format = "df" if importlib.util.find_spec("pandas") else "dict"
    if return_format not in FORMATS:
        raise Invalid(f"A return format is one of {', '.join(FORMATS)}, not {return_format!r}.")
    if return_format == "df" and not importlib.util.find_spec("pandas"):
        raise MissingExtra(what="A DataFrame", package="pandas", extra="pandas")
    tree = results_tree(scenarios, outputs, seed, progress_bar)
    if return_format == "dict":
        return tree
    if return_format == "json":
        return json.dumps(tree, indent=2)
    return _data_frame(tree, series_names)


def tracked(items: Sequence[T], title: str, progress_bar: bool) -> Iterable[T]:
    """Return items to loop over, which show their progress if there is to be a bar."""
    if not progress_bar:
        return items
    from rich.progress import track  # takes long, and the process of an engine has no bars

    return track(items, title)


def results_tree(
    scenarios: Sequence[Scenario], outputs: Sequence[str], seed: int, progress_bar: bool
) -> Tree:
    """Run each scenario as a whole; return manager → scenario → ``equations`` → element → time → value."""
    tree: Tree = {}
    for scenario in tracked(scenarios, "Running scenarios", progress_bar):
        config = scenario.config(outputs or scenario.elements, seed=seed)
        grid, values = scenario.model.simulate(config)
        places = decimals(config["starttime"], config.get("timestep", config["dt"]))
        times = [round(time, places) for time in grid]
        tree.setdefault(scenario.manager, {})[scenario.name] = {
            "equations": {name: dict(zip(times, series, strict=True)) for name, series in values.items()}
        }
    return tree


def _data_frame(tree: Tree, series_names: Mapping[str, str]) -> "pd.DataFrame":
    import pandas as pd

    single = sum(len(scenarios) for scenarios in tree.values()) == 1
    columns: dict[str, Any] = {}
    for manager, scenarios in tree.items():
        for scenario, results in scenarios.items():
            for element, series in results["equations"].items():
                name = element if single else f"{manager}_{scenario}_{element}"
                columns[series_names.get(name, name)] = pd.Series(series)
    frame = pd.DataFrame(columns)
    frame.index.name = "t"
    return frame.sort_index()
