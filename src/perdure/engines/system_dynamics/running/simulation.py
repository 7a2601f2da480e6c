"""A simulation: one run of a compiled model in memory, with its stocks, delays and overrides.

It computes the outputs at the times of its run specs one by one, or at all remaining times in one loop; both
give the same bits. Engine and model are thin layers above it.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn, Protocol

from perdure.engines.run_specs import RunSpecs
from perdure.engines.system_dynamics.compiling.array_code import CellFailed, quiet
from perdure.engines.system_dynamics.compiling.compiler import (
    FILENAME,
    Compiled,
    Method,
    Part,
    compile_program,
    constant_value,
)
from perdure.engines.system_dynamics.compiling.distributions import key_of_draw
from perdure.engines.system_dynamics.compiling.gaps import runnable
from perdure.engines.system_dynamics.compiling.program import Program
from perdure.engines.system_dynamics.compiling.runtime import (
    FixedDelay,
    ReadsItself,
    VariableDelay,
    delay_steps,
)
from perdure.engines.system_dynamics.points import Points, Table, as_lists, point_table
from perdure.engines.system_dynamics.running.answers import Answers
from perdure.engines.system_dynamics.shapes import Shape, array_maker
from perdure.engines.system_dynamics.user_functions import FunctionFailed, ModelView, wrapped
from perdure.errors import EngineFinished, EvaluationFailed, PerdureError

__all__ = ["ModelSimulation", "Simulated"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Simulated(Protocol):
    """What a simulation needs of its model."""

    def program(self) -> Program:
        """Return the intermediate form of the model."""
        ...

    def tables(self) -> dict[str, Points]:
        """Return the points of the model by name, checked."""
        ...

    def attributes(self) -> Mapping[str, Any]:
        """Return the other attributes of the model that user functions can read."""
        ...


class ModelSimulation:
    """One run of a model.

    Parameters
    ----------
    model
        The model in its current form.
    specs
        The run specs.
    outputs
        Names of the elements to output, all known to the model.
    seed, stream
        What the random draws depend on; each scenario has its own stream.
    constants, points
        Checked overrides that apply from the start.
    answers
        The answers of impure functions; with None, they can't be read or replayed.

    Attributes
    ----------
    answered
        The number of times whose outputs were returned.
    constants, points
        The overrides in force, by name.
    """

    def __init__(
        self,
        model: Simulated,
        specs: RunSpecs,
        outputs: Sequence[str],
        *,
        seed: int = 0,
        stream: str = "",
        constants: Mapping[str, float] = _NOTHING,
        points: Mapping[str, Points] = _NOTHING,
        answers: Answers | None = None,
    ) -> None:
        self.specs = specs
        self.program = program = runnable(model.program(), constants, points, outputs)
        durations = _fixed_durations(program, specs)
        # A delay of more than half a step never reads the present, so it breaks circles, if it has an initial
        # value of its own.
        broken = [name for name, steps in durations.items() if steps > 0.5 and program.delays[name].initial]
        method: Method = "rk4" if specs.method == "rk4" else "euler"
        self.compiled = compile_program(program, method, outputs, broken)
        self.model_points = model.tables()
        self.answered = 0
        self.constants: dict[str, float] = {}
        self.points: dict[str, Points] = {}
        # The stocks, and the lists of numbers of the memories, as the compiled functions take them.
        self.stocks: list[Any] = []
        self.delays: dict[str, FixedDelay | VariableDelay] = {
            name: FixedDelay(durations[name], specs.last) if name in durations else VariableDelay(specs.dt)
            for name in self.compiled.names.delays
        }
        self._points_in_force = dict(self.model_points)
        self._first_values: list[float] = []
        self._constant_values: list[Any] = []
        self._tables: list[Table] = []
        self._keys = [
            key_of_draw(seed, stream, variable, ordinal) for variable, ordinal in self.compiled.names.draws
        ]
        view = ModelView(
            program.model_name,
            specs.starttime,
            specs.stoptime,
            specs.dt,
            self._points_in_force,
            model.attributes() if program.functions else {},
        )
        self._answers = Answers() if answers is None else answers
        called = {
            name: wrapped(name, program.functions[name], view) for name in self.compiled.names.functions
        }
        self._functions = [
            self._answers.ask(name, call) if name in program.impure else call for name, call in called.items()
        ]
        self._own = [
            array_maker(part) if isinstance(part, Shape) else point_table(*part)
            for part in self.compiled.names.own
        ]
        self._bound: dict[str, Callable[..., Any]] = {}
        self._failure: PerdureError | None = None
        self._last, self._multiple = specs.last, specs.multiple
        # The compiled function, where it is all there is to a step that isn't the last one.
        self._plain_step: Callable[..., Any] | None = None
        self.override(constants, points)

    @property
    def finished(self) -> bool:
        """Whether the outputs at every time up to the stop time were returned."""
        return self.answered * self._multiple > self._last

    @property
    def time(self) -> float:
        """The time of the last outputs; the start time before the first ones."""
        return self.specs.time(max(0, self.answered - 1) * self._multiple)

    def override(self, constants: Mapping[str, float], points: Mapping[str, Points]) -> None:
        """Add checked overrides, which apply from the next outputs on."""
        self.constants.update(constants)
        self.points.update(points)
        values = {**self.program.constants, **self.constants}
        self._first_values = [values[name] for name in self.compiled.names.constants]
        self._constant_values = self.compiled.names.constant_values.packed(self._first_values)
        self._points_in_force.update(self.points)
        self._tables = [
            point_table(self._points_in_force[name], kind) for name, kind in self.compiled.names.tables
        ]

    def step(self, constants: Mapping[str, float], points: Mapping[str, Points]) -> dict[str, float]:
        """Return the outputs at the next time, with overrides that apply from that time on.

        Raises
        ------
        EngineFinished
            If the run is finished.
        EvaluationFailed
            If an element can't be evaluated. The simulation can't be used any more.
        """
        plain, n = self._plain_step, self.answered
        if plain is not None and n < self._last and not constants and not points:
            try:
                answer: dict[str, float]
                answer, self.stocks = plain(n, self.stocks, self._constant_values, self._tables)
            except Exception as error:
                self._fail(error)
            self.answered = n + 1
            return answer
        return self._careful_step(constants, points)

    def _careful_step(self, constants: Mapping[str, float], points: Mapping[str, Points]) -> dict[str, float]:
        if self._failure is not None:
            raise self._failure
        if self.finished:
            raise EngineFinished(name=self.program.model_name, time=round(self.time, self.specs.decimals))
        n = self.answered * self._multiple
        self._answers.begin()
        try:
            if self.answered and self._multiple > 1:
                # The last step advanced one grid point, with the overrides in force then.
                self._advance(n - self._multiple + 1, n)
            if constants or points:
                self.override(constants, points)
            if not self.answered:
                self._begin()
            if n + self._multiple > self._last:
                answer = dict(zip(self.compiled.names.outputs, self._observe(n), strict=True))
            else:
                step = self._part("step")
                answer, self.stocks = step(n, self.stocks, self._constant_values, self._tables)
                if self._multiple == 1 and not self.program.impure:
                    self._plain_step = step
            self._answers.end()
        except Exception as error:
            self._fail(error)
        self.answered += 1
        return answer

    def run(self) -> tuple[list[float], list[list[float]]]:
        """Return all remaining times, and a list of values for each output."""
        first, specs = self.answered * self._multiple, self.specs
        times = [specs.time(n) for n in range(first, self._last + 1, self._multiple)]
        columns: list[list[float]] = [[] for _ in self.compiled.names.outputs]
        if self._multiple > 1:
            while not self.finished:
                for column, value in zip(columns, self.step({}, {}).values(), strict=True):
                    column.append(value)
            return times, columns
        if self._failure is not None:
            raise self._failure
        if self.finished:
            return times, columns
        try:
            if not self.answered:
                self._begin()
            self.stocks = self._part("run")(
                first,
                self._last,
                self.stocks,
                self._constant_values,
                self._tables,
                [column.append for column in columns],
            )
            for column, value in zip(columns, self._observe(self._last), strict=True):
                column.append(value)
        except Exception as error:
            self._fail(error)
        self.answered = self._last + 1
        return times, columns

    def look(self, n: int) -> list[float]:
        """Return the outputs at grid point `n`, computed from the start without outputs in between."""
        try:
            self._begin()
            self._advance(0, n)
            return self._observe(n)
        except Exception as error:
            self._fail(error)

    def snapshot(self) -> dict[str, Any]:
        """Return all that a fresh simulation of the same model, specs and seed needs to continue exactly."""
        delays: dict[str, Any] = {}
        for name, delay in self.delays.items():
            delays[name] = {"initial": delay.initial, "values": list(delay.values)}
        names = self.compiled.names.stocks
        stocks = self.compiled.names.state.unpacked(self.stocks) if self.answered else []
        state = {
            "step": self.answered,
            "stocks": dict(zip(names, stocks, strict=False)),
            "delays": delays,
            "constants": dict(self.constants),
            "points": as_lists(self.points),
        }
        if self.compiled.names.memories:
            memories = zip(self.compiled.names.memories, stocks[len(names) :], strict=False)
            state["memories"] = {name: list(values) for name, values in memories}
        return state

    def go_to(
        self,
        answered: int,
        stocks: list[Any],
        pasts: Sequence[tuple[float | None, list[float]]],
        constants: Mapping[str, float],
        points: Mapping[str, Points],
    ) -> None:
        """Go to a state whose parts `state` has checked."""
        self.answered, self._failure, self._plain_step = answered, None, None
        self.stocks = self.compiled.names.state.packed(stocks) if stocks else []
        for delay, (initial, values) in zip(self.delays.values(), pasts, strict=True):
            # The compiled functions hold methods of the delays, so the delays stay and get new contents.
            delay.initial, delay.values = initial, values
        self.constants, self.points = {}, {}
        self._points_in_force.update(self.model_points)
        self.override(constants, points)

    def _observe(self, n: int) -> list[float]:
        answer: list[float] = self._part("observe")(n, self.stocks, self._constant_values, self._tables)
        return answer

    def _advance(self, first: int, last: int) -> None:
        """Advance from grid point `first` to `last` without outputs."""
        self.stocks = self._part("advance")(first, last, self.stocks, self._constant_values, self._tables, [])

    def _begin(self) -> None:
        self.stocks = self.compiled.names.state.packed(self._part("begin")(self._first_values, self._tables))

    def _part(self, part: Part) -> Callable[..., Any]:
        if part not in self._bound:
            specs = self.specs
            delays = list(self.delays.values())
            bound = self.compiled.factory(part)(
                specs.starttime,
                specs.dt,
                specs.stoptime,
                specs.tolerance,
                delays,
                self._keys,
                self._functions,
                self._own,
                self.compiled.names.outputs,
            )
            self._bound[part] = quiet(bound) if self.compiled.vectorized else bound
        return self._bound[part]

    def _fail(self, error: Exception) -> NoReturn:
        """Raise `error` with its element and time, and keep it."""
        self._failure = explained(error, self.compiled, self.specs)
        self._plain_step = None
        raise self._failure from error


def explained(error: Exception, compiled: Compiled, specs: RunSpecs) -> PerdureError:
    """Return an error of compiled equations with its element and time."""
    if isinstance(error, PerdureError):
        return error
    element, n, position = "?", 0, 0
    if isinstance(error, CellFailed):
        position = error.position
    frame = error.__traceback__
    while frame is not None:
        filename = frame.tb_frame.f_code.co_filename
        if filename.startswith(FILENAME):
            element = compiled.owner(filename, frame.tb_lineno, position) or "?"
            n = frame.tb_frame.f_locals.get("n", n)
        frame = frame.tb_next
    if isinstance(error, CellFailed):
        error = error.reason
    if isinstance(error, ZeroDivisionError):
        reason = "division by zero"
    elif isinstance(error, OverflowError):
        reason = "the result is too large for a float"
    elif isinstance(error, ReadsItself):
        reason = "at the start it reads a value that isn't there yet, in a circle of definitions"
    elif isinstance(error, RecursionError):
        reason = "its conditions are nested too deeply; put parts of them into converters"
    elif isinstance(error, FunctionFailed | ValueError):
        reason = str(error)
    else:
        reason = f"{type(error).__name__}: {error}"
    return EvaluationFailed(element=element, time=round(specs.time(n), specs.decimals), reason=reason)


def _fixed_durations(program: Program, specs: RunSpecs) -> dict[str, float]:
    """Return the durations, in steps, of the delays whose duration is fixed by the run specs."""
    values = {"t0": specs.starttime, "dt": specs.dt, "stop": specs.stoptime}
    durations: dict[str, float] = {}
    for delay in program.delays.values():
        if delay.duration is None:
            continue
        try:
            duration = constant_value(delay.duration, values)
            if not 0.0 <= duration < float("inf"):
                raise ValueError(f"the duration of a delay must be finite and not negative, not {duration!r}")
        except (ArithmeticError, ValueError) as error:
            raise EvaluationFailed(element=delay.owner, time=specs.starttime, reason=str(error)) from None
        durations[delay.name] = delay_steps(duration, specs.dt)
    return durations
