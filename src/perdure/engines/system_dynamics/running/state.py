"""States: checks what `snapshot` returned before a simulation continues from it."""

from collections.abc import Collection, Mapping
from numbers import Real
from typing import Any

from perdure.engines.system_dynamics.compiling.runtime import FixedDelay, VariableDelay
from perdure.engines.system_dynamics.points import Points, parse_points
from perdure.engines.system_dynamics.running.simulation import ModelSimulation
from perdure.errors import InvalidState

__all__ = ["restored"]

_PARTS = ["step", "stocks", "delays", "constants", "points"]


def restored(
    state: object, simulation: ModelSimulation, constants: Collection[str], points: Collection[str]
) -> None:
    """Put `simulation` at `state`.

    Parameters
    ----------
    constants, points
        The names that overrides in the state may have.

    Raises
    ------
    InvalidState
        If the state doesn't fit the simulation; nothing has changed then.
    """
    check = _Check(simulation.program.model_name)
    remembered = simulation.compiled.names.memories
    parts = check.mapping(state, "the state", [*_PARTS, *(["memories"] if remembered else [])])
    step = parts["step"]
    if type(step) is not int or not 0 <= step <= simulation.specs.answers:
        raise check.error(f"the step must be an integer up to {simulation.specs.answers}, not {step!r:.40}")
    names = simulation.compiled.names.stocks if step else []
    stocks = check.mapping(parts["stocks"], "the stocks", names)
    values: list[Any] = [check.number(stocks[name], f"the stock {name!r}") for name in names]
    if remembered:
        memories = check.mapping(parts["memories"], "the memories", remembered if step else [])
        values += [
            check.numbers(memories[name], f"the memory {name!r}") for name in (remembered if step else [])
        ]
    # Delays hold the grid points up to the last outputs. Those at the stop time need no further past, so that
    # point may be missing.
    reached = 0 if step == 0 else (step - 1) * simulation.specs.multiple + 1
    counts = {reached, max(0, reached - 1)} if step == simulation.specs.answers else {reached}
    entries = check.mapping(parts["delays"], "the delays", list(simulation.delays))
    pasts = [check.past(entries[name], name, delay, counts) for name, delay in simulation.delays.items()]
    overridden = {
        name: check.number(value, f"the constant {name!r}")
        for name, value in check.known(parts["constants"], "constants", constants).items()
    }
    tables = {
        name: check.points(value, name)
        for name, value in check.known(parts["points"], "points", points).items()
    }
    simulation.go_to(step, values, pasts, overridden, tables)


class _Check:
    """Checks parts of a state, and says what is wrong with them."""

    def __init__(self, name: str) -> None:
        self._name = name

    def error(self, reason: str) -> InvalidState:
        return InvalidState(name=self._name, reason=reason)

    def mapping(self, value: object, what: str, names: Collection[str]) -> Mapping[str, Any]:
        """Return a mapping that has exactly these names."""
        if not isinstance(value, Mapping):
            raise self.error(f"{what} must be a mapping, not {type(value).__name__}")
        missing = [name for name in names if name not in value]
        known = set(names)
        surplus = [str(name) for name in value if name not in known]
        if missing or surplus:
            parts = [f"{what} lack {', '.join(missing[:5])}"] if missing else []
            parts += [f"{what} hold {', '.join(surplus[:5])}, which the model doesn't"] if surplus else []
            raise self.error("; ".join(parts))
        return value

    def known(self, value: object, what: str, names: Collection[str]) -> Mapping[str, Any]:
        """Return a mapping that has no other names than these."""
        if not isinstance(value, Mapping):
            raise self.error(f"the {what} must be a mapping, not {type(value).__name__}")
        surplus = [str(name) for name in value if name not in names]
        if surplus:
            raise self.error(f"the model has no {what} named {', '.join(surplus[:5])}")
        return value

    def number(self, value: object, what: str) -> float:
        # A calculation may result in nan or infinity, so a state may contain them.
        if isinstance(value, bool) or not isinstance(value, Real):
            raise self.error(f"{what} must be a number, not {value!r:.40}")
        try:
            return float(value)
        except OverflowError:
            raise self.error(f"{what} is too large for a float") from None

    def numbers(self, value: object, what: str) -> tuple[float, ...]:
        if not isinstance(value, list):
            raise self.error(f"{what} must be a list of numbers, not {type(value).__name__}")
        return tuple(self.number(each, what) for each in value)

    def points(self, value: object, name: str) -> Points:
        points = parse_points(value)
        if isinstance(points, str):
            raise self.error(f"the points {name!r} are wrong: {points}")
        return points

    def past(
        self, entry: object, name: str, delay: FixedDelay | VariableDelay, counts: set[int]
    ) -> tuple[float | None, list[float]]:
        """Return the value before the start and the past of a delay after `counts` grid points."""
        parts = self.mapping(entry, f"the delay {name!r}", ("initial", "values"))
        what = f"the delay {name!r}"
        if not isinstance(parts["values"], list):
            raise self.error(f"the values of {what} must be a list, not {type(parts['values']).__name__}")
        values = [self.number(value, what) for value in parts["values"]]
        sizes = {min(count, delay.capacity) if isinstance(delay, FixedDelay) else count for count in counts}
        if len(values) not in sizes:
            raise self.error(f"{what} must hold {max(sizes)} values, not {len(values)}")
        initial = parts["initial"]
        if initial is None and values:
            raise self.error(f"{what} lacks its initial value")
        return None if initial is None else self.number(initial, f"the initial value of {what}"), values
