"""Evaluation: the values of the elements of a hybrid model, each computed once, when it is first needed.

In a run of agents, an element may read the agents through a user function, so its value depends on when it is
computed. A value is kept at its first evaluation. At the end of each step all elements are evaluated that
nobody has read in it, so that no step sees the agents of a later one.
"""

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from perdure.engines.run_specs import RunSpecs
from perdure.engines.system_dynamics import Model
from perdure.engines.system_dynamics.compiling.codegen import Names, fragment
from perdure.engines.system_dynamics.compiling.compiler import constant_value
from perdure.engines.system_dynamics.compiling.distributions import draw_key
from perdure.engines.system_dynamics.compiling.gaps import runnable
from perdure.engines.system_dynamics.compiling.program import (
    LOOKUPS,
    Code,
    Definition,
    Program,
    Remembered,
    initial_name,
    recalled,
)
from perdure.engines.system_dynamics.compiling.runtime import NAMESPACE, delay_steps
from perdure.engines.system_dynamics.compiling.writer import function_of
from perdure.engines.system_dynamics.points import Table, TableKind, checked_points, point_table
from perdure.engines.system_dynamics.running.evaluation import as_table
from perdure.engines.system_dynamics.shapes import Shape, array_maker
from perdure.errors import EvaluationFailed, InvalidState, PerdureError, message_of

if TYPE_CHECKING:
    from perdure.state.codec import State

__all__ = ["Equations", "Evaluation"]

Read = Callable[[int], float]
"""Returns a variable's value at a grid point."""


class Evaluation:
    """The values of a model's elements at the points of its grid.

    Parameters
    ----------
    model
        The model, whose run specs, points and equations may change: values that were computed before stay.

    Attributes
    ----------
    seed, stream
        What the random draws of the elements depend on.
    replaced
        Functions of time in place of elements, by name.
    memories
        Name of a memory → grid point → the numbers that it holds.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self.seed, self.stream = 0, ""
        self.replaced: dict[str, Callable[[float], Any]] = {}
        self.memories: dict[str, dict[int, list[float]]] = {}
        self._values: dict[str, dict[int, float]] = {}
        self._last = -1  # grid point of the last step that was evaluated
        self._swept = -1  # all stocks have values up to this grid point
        self._unread: set[str] = set()  # evaluated at the end of that step, and not read since
        self._evaluating: int | None = None  # the grid point of that step meanwhile
        self._program: Program | None = None
        self._computes: dict[str, Read] = {}

    def value(self, name: str, t: float) -> float:
        """Return the value of an element, or of a function in its place, at the grid point nearest to `t`."""
        n = self._point(t)
        try:
            for m in range(self._swept + 1, n):  # a deep recursion otherwise
                for stock in self._present().stocks:
                    self._read(stock, m)
            self._swept = max(n - 1, self._swept)
            return self._read(name, n)
        except PerdureError:
            raise
        except Exception as error:
            self._fail(name, n, error)

    def evaluate_step(self, t: float) -> None:
        """Evaluate all elements at the end of the step at `t`."""
        n = self._point(t)
        program = self._present()
        self._unread, self._evaluating = set(), n
        try:
            for name in (*program.definitions, *program.constants, *self.replaced):
                self._read(name, n)
        except PerdureError:
            raise
        except Exception as error:
            self._fail(name, n, error)
        finally:
            self._evaluating = None
        self._last = max(n, self._last)
        self._swept = max(n, self._swept)

    def replace(self, name: str, function: Callable[[float], Any]) -> None:
        """Put a function of time in the place of an element; what was read before stays."""
        self.replaced[name] = function
        for unread in self._unread:
            self._values[unread].pop(self._last, None)
        self._unread = set()

    def reset(self) -> None:
        """Forget all values."""
        self._values, self._last, self._swept, self._unread = {}, -1, -1, set()
        for kept in self.memories.values():
            kept.clear()

    def values(self) -> dict[str, dict[float, float]]:
        """Return name → time → value of all that was computed."""
        return {
            name: {self._time(n): value for n, value in values.items()}
            for name, values in self._values.items()
        }

    def table(self, names: Sequence[str]) -> Any:
        """Return elements over the whole run, evaluated again, in the form of `Model.simulate`."""
        model = self._model
        fresh = Evaluation(model)
        fresh.replaced.update(self.replaced)
        specs = RunSpecs(model.starttime, model.stoptime, model.dt, name=model.name)
        times = [specs.time(n) for n in range(specs.answers)]
        columns = [[fresh.value(name, t) for t in times] for name in names]
        return as_table([round(t, specs.decimals) for t in times], dict(zip(names, columns, strict=True)))

    # As data ------------------------------------------------------------------------------------------------

    def snapshot(self) -> "State":
        """Return the values as data."""
        if not self._values:
            empty: dict[str, State] = {"last": self._last}
            return empty
        names = list(self._values)
        points = sorted({n for values in self._values.values() for n in values})
        places = {n: i for i, n in enumerate(points)}
        table = np.zeros((len(names), len(points)))
        there = np.zeros((len(names), len(points)), dtype=bool)
        for row, name in enumerate(names):
            values = self._values[name]
            columns = [places[n] for n in values]
            table[row, columns] = list(values.values())
            there[row, columns] = True
        memories: dict[str, State] = {}
        for name, kept in self.memories.items():
            held: dict[int, State] = {n: [*numbers] for n, numbers in kept.items()}
            memories[name] = held
        state: dict[str, State] = {
            "last": self._last,
            "names": [*names],
            "points": np.array(points, dtype=np.int64),
            "values": table,
            "there": np.packbits(there),
            "unread": [*sorted(self._unread)],
            "memories": memories,
        }
        return state

    def restore(self, state: Any) -> None:
        """Go to the values that `snapshot` returned."""
        self.reset()
        try:
            self._last = self._swept = state["last"]
            if "names" not in state:
                return
            points, table = state["points"].tolist(), state["values"]
            there = np.unpackbits(state["there"], count=table.size).reshape(table.shape)
            for row, name in enumerate(state["names"]):
                known = zip(points, table[row].tolist(), there[row].tolist(), strict=True)
                self._values[name] = {n: value for n, value, is_there in known if is_there}
            self._unread = set(state["unread"])
            for name, kept in state["memories"].items():
                self.memories.setdefault(name, {}).update(kept)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InvalidState(name=self._model.name, reason=f"its values are wrong: {error}") from error

    # Computing ----------------------------------------------------------------------------------------------

    def _point(self, t: float) -> int:
        return round((t - self._model.starttime) / self._model.dt)

    def _time(self, n: int) -> float:
        return self._model.starttime + n * self._model.dt

    def _present(self) -> Program:
        """Return the program as it is now, with what computes its variables."""
        program = runnable(self._model.program(), (), (), ())
        if program is not self._program:
            self._computes = _computes(program, self._model, self._reader, self)
            self._program = program
        return program

    def _reader(self, name: str) -> Read:
        return lambda n: self._read(name, n)

    def _read(self, name: str, n: int) -> float:
        values = self._values.get(name)
        if values is None:
            values = self._values[name] = {}
        found = values.get(n)
        if found is not None:
            if self._evaluating is None and n == self._last:
                self._unread.discard(name)
            return found
        replaced = self.replaced.get(name)
        if replaced is None:
            self._present()
            compute = self._computes.get(name)
            if compute is None:
                runnable(self._model.program(), (), (), (name,))  # raises what it lacks
                raise KeyError(name)
            found = compute(n)
        else:
            found = float(replaced(self._time(n)))
        values[n] = found
        if n == self._evaluating:
            self._unread.add(name)
        return found

    def _fail(self, name: str, n: int, error: Exception) -> NoReturn:
        if isinstance(error, RecursionError):
            reason = "its equations read each other in a circle"
        elif isinstance(error, ZeroDivisionError):
            reason = "division by zero"
        else:
            reason = f"{type(error).__name__}: {message_of(error)}".rstrip(".")
        raise EvaluationFailed(element=name, time=self._time(n), reason=reason) from error


class Equations(MutableMapping[str, Callable[[float], Any]]):
    """The elements of a model by name, each a function of time; a function can be put in its place."""

    def __init__(
        self,
        elements: Mapping[str, Callable[[float], Any]],
        replaced: MutableMapping[str, Callable[[float], Any]],
        replace: Callable[[str, Callable[[float], Any]], None],
    ) -> None:
        self._elements = elements
        self._replaced = replaced
        self._replace = replace

    def __getitem__(self, name: str) -> Callable[[float], Any]:
        return self._replaced[name] if name in self._replaced else self._elements[name]

    def __setitem__(self, name: str, function: Callable[[float], Any]) -> None:
        self._replace(name, function)

    def __delitem__(self, name: str) -> None:
        del self._replaced[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._elements, *self._replaced)))

    def __len__(self) -> int:
        return len(self._elements.keys() | self._replaced.keys())


def _computes(
    program: Program,
    model: Model,
    reader: Callable[[str], Read],
    evaluation: Evaluation,
) -> dict[str, Read]:
    """Return for each variable what computes its value at a grid point."""
    compiler = _Compiler(program, model, reader, evaluation)
    found: dict[str, Read] = {}
    for name, value in program.constants.items():
        found[name] = lambda _, value=value: value  # type: ignore[misc]
    for definition in (*program.definitions.values(), *program.initials.values()):
        if definition.kind == "stock":
            initial = reader(initial_name(definition.name))
            rate = compiler.function(definition)
            found[definition.name] = _stock(definition.name, rate, initial, reader, model)
        else:
            found[definition.name] = compiler.function(definition)
    return found


def _stock(name: str, rate: Read, initial: Read, reader: Callable[[str], Read], model: Model) -> Read:
    past = reader(name)

    def level(n: int) -> float:
        return initial(0) if n <= 0 else past(n - 1) + model.dt * rate(n - 1)

    return level


class _Compiler:
    """Makes functions of the grid point from the code of variables."""

    def __init__(
        self, program: Program, model: Model, reader: Callable[[str], Read], evaluation: Evaluation
    ) -> None:
        self._program = program
        self._model = model
        self._reader = reader
        self._evaluation = evaluation

    def function(self, definition: Definition) -> Read:
        """Return the function that evaluates a variable's code."""
        code, program = definition.code, self._program
        bound: dict[str, Any] = {}

        def own(prefix: str, value: Any) -> str:
            name = f"{prefix}{len(bound)}"
            bound[name] = value
            return name

        variables, tables, functions, delays = {}, {}, {}, {}
        memories = {name: memory.kind for name, memory in program.memories.items()}
        for instruction in code:
            operator, _, data = instruction
            if operator == "element":
                variables[str(data)] = f"{own('r', self._reader(str(data)))}(n)"
            elif operator in LOOKUPS and isinstance(data, str):
                kind = LOOKUPS[operator]
                tables[data, kind] = own("p", self._table(data, kind))
            elif operator == "call":
                functions[str(data)] = own("f", self._called(program.functions[str(data)]))
            elif operator == "delay":
                delays[str(data)] = own("d", self._delay(str(data)))
            elif operator == "recall":
                _, name = recalled(instruction)
                variables[name] = f"{own('m', self._memory(program.memories[name]))}(n)"
        names = Names(variables, tables, {}, functions, delays, memories, {}, count(), "t")
        part = fragment(code, definition.name, names)
        evaluation = self._evaluation
        for (variable, ordinal), name in names.draws.items():
            bound[name] = draw_key(evaluation.seed, evaluation.stream, variable, int(ordinal))
        for each, name in names.own.items():
            bound[name] = array_maker(each) if isinstance(each, Shape) else point_table(*each)
        clamp = ["if not value > 0.0: value = 0.0"] if definition.kind == "flow" else []
        model = self._model
        lines = [
            f"def bind(model, {', '.join(bound)}):",
            " def compute(n):",
            "  t0, dt, stop = model.starttime, model.dt, model.stoptime",
            "  t = t0 + n * dt",
            "  tolerance = 1e-9 * dt + 1e-15 * max(abs(t0), abs(stop))",
            *(f"  {line}" for line in part.statements),
            f"  value = {part.value}",
            *(f"  {line}" for line in clamp),
            "  return value",
            " return compute",
        ]
        compute: Read = function_of(lines, "<element of a hybrid model>", model.name)(model, **bound)
        return compute

    def _called(self, function: Callable[..., Any]) -> Callable[..., float]:
        model = self._model
        return lambda t, *arguments: float(function(model, t, *arguments))

    def _table(self, name: str, kind: TableKind) -> Table:
        """Return the points of a name as they are at each call."""
        model = self._model
        kept: tuple[Any, Table] | None = None

        def table(x: float) -> float:
            nonlocal kept
            points = [tuple(point) for point in model.points[name]]
            if kept is None or kept[0] != points:
                kept = points, point_table(checked_points(points, name), kind)
            return kept[1](x)

        return table

    def _memory(self, memory: Remembered) -> Callable[[int], list[float]]:
        """Return what a memory holds at a grid point; it keeps that of the last two."""
        begin, update = NAMESPACE[f"{memory.kind}_begin"], NAMESPACE[f"{memory.kind}_update"]
        initials, inputs = [*map(self._reader, memory.initials)], [*map(self._reader, memory.inputs)]
        model, kept = self._model, self._evaluation.memories.setdefault(memory.name, {})

        def held(n: int) -> list[float]:
            if n not in kept:
                if n <= 0:
                    kept[n] = begin(model.dt, *(read(0) for read in initials))  # type: ignore[operator]
                else:
                    former = held(n - 1)
                    kept[n] = update(former, model.dt, *(read(n - 1) for read in inputs))  # type: ignore[operator]
                for old in [m for m in kept if m < n - 1]:
                    del kept[old]
            return kept[n]

        return held

    def _delay(self, name: str) -> Callable[..., float]:
        """Return the value of the input of a delay as many steps ago as it lasts."""
        delay, model = self._program.delays[name], self._model
        read = self._reader(delay.input)
        initial = read if delay.initial is None else self._reader(delay.initial)
        duration: Code | None = delay.duration

        def past(n: int, *durations: float) -> float:
            specs = {"t0": model.starttime, "dt": model.dt, "stop": model.stoptime}
            lasts = durations[0] if duration is None else constant_value(duration, specs)
            if not 0.0 <= lasts < float("inf"):
                raise ValueError(f"the duration of a delay must be finite and not negative, not {lasts!r}")
            steps = delay_steps(lasts, model.dt)
            if n - steps < -1e-9:
                return initial(0)
            return read(min(round(n - steps), n - (steps > 0.5)))

        return past
