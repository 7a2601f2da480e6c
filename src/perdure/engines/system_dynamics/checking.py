"""Checking: what a model file holds, and all in it that can't be served."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perdure.engines.system_dynamics.engine import SystemDynamicsEngine
from perdure.engines.system_dynamics.model import Model
from perdure.errors import PerdureError, UnservableModel

__all__ = ["Report", "check_file"]


@dataclass(frozen=True, slots=True)
class Report:
    """What a file holds.

    Attributes
    ----------
    name
        The model's name.
    model
        The model; None if it can't be served.
    kinds
        How many elements there are of each kind.
    problems
        What can't be served, as lines with place and reason.
    missing
        What lacks an equation or an initial value; only runs that need it can't be made.
    remarks
        What a run does otherwise than the file says.
    """

    name: str
    model: Model | None = None
    kinds: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Return it as plain data."""
        model = self.model
        times: dict[str, Any] = {}
        if model is not None:
            names = ("starttime", "stoptime", "dt", "method", "save_every", "pause", "time_units")
            times = {name: getattr(model, name) for name in names}
        return {
            "name": self.name,
            "run_specs": times,
            "elements": dict(self.kinds),
            "missing": list(self.missing),
            "remarks": list(self.remarks),
            "problems": list(self.problems),
        }


def check_file(path: Path) -> Report:
    """Return what a model file holds; no run is made.

    Raises
    ------
    InvalidModelFile
        If the file can't be read, or is no model file.
    """
    try:
        model = Model.from_file(path)
    except UnservableModel as error:
        found = error.values["found"]
        return Report(path.stem, problems=tuple(_line(*problem) for problem in found))
    kinds: dict[str, int] = {}
    for element in model.elements.values():
        kinds[element.kind] = kinds.get(element.kind, 0) + 1
    missing = tuple(f"{name} has no equation" for name in model.program().missing)
    problems: tuple[str, ...] = ()
    try:
        SystemDynamicsEngine(model).initialize({"outputs": []})
    except PerdureError as error:
        problems = (str(error),)
    return Report(model.name, model, kinds, problems, missing, tuple(_remarks(model)))


def _remarks(model: Model) -> Iterator[str]:
    every = model.save_every
    if every is not None and model.timestep(model.dt) != every:
        yield f"the save interval {every:g} is not a multiple of dt {model.dt:g}; runs answer every dt"


def _line(line: int, element: str, reason: str) -> str:
    return ": ".join(part for part in (f"line {line}" if line else "", element, reason) if part)
