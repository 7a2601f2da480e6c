"""The compiler: turns a program and the order of its variables into straight-line Python over floats.

Five functions are made when they are first needed. ``begin`` evaluates initial values; ``step`` evaluates one
grid point and advances to the next; ``observe`` evaluates one grid point only; ``run`` takes many steps in
one loop; ``advance`` does the same without outputs. All do the same arithmetic in the same order, so a run
has the same bits however it is cut into calls.

Euler: s(n+1) = s(n) + dt·net(n). RK4 is the classical fourth-order method of Runge and Kutta; delays,
pulses and random draws stay constant over its stages.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import count
from types import CodeType, FunctionType
from typing import Any, Literal, TypeAlias

from perdure.engines.system_dynamics.compiling.codegen import Fragment, Names, fragment, needs_time, reads
from perdure.engines.system_dynamics.compiling.order import closure, initial_order, step_order
from perdure.engines.system_dynamics.compiling.program import (
    LOOKUPS,
    Code,
    Instruction,
    Program,
    initial_name,
    references,
)
from perdure.engines.system_dynamics.compiling.runtime import NAMESPACE
from perdure.engines.system_dynamics.points import Points, TableKind
from perdure.engines.system_dynamics.shapes import Shape
from perdure.errors import ModelError

__all__ = ["Compiled", "Method", "Part", "compile_program", "constant_value", "function_of"]

Method: TypeAlias = Literal["euler", "rk4"]
Part: TypeAlias = Literal["begin", "step", "observe", "advance", "run"]

FILENAME = "<compiled model>"
_KEPT = 64


class Compiled:
    """A program compiled for one method and one list of outputs; shared by all runs that use these.

    Attributes
    ----------
    stocks, memories, delays, tables, functions
        Names in the order in which values are passed to the functions; stocks and memories as one list,
        tables with the kind of each.
    draws
        Variable and ordinal of each random call, likewise; complete once `factory` was called.
    own
        What is written in equations, likewise: points, and shapes of arrays that functions are passed.
    """

    def __init__(
        self, program: Program, method: Method, outputs: Sequence[str], broken: Collection[str]
    ) -> None:
        self.program = program
        self.method = method
        self.outputs = tuple(outputs)
        self.stocks = program.stocks
        self.memories = sorted(program.memories)
        self.delays = sorted(program.delays)
        self.functions = sorted(program.functions)
        codes = [d.code for d in (*program.definitions.values(), *program.initials.values())]
        self.tables = sorted(
            {
                (i.data, LOOKUPS[i.operator])
                for code in codes
                for i in code
                if i.operator in LOOKUPS and isinstance(i.data, str)
            }
        )
        self.constants = sorted(program.constants)
        self._order = step_order(program, broken)
        self._initial_order, self._on_demand = initial_order(program, broken)
        self._recorders: dict[str, list[str]] = {}
        for name in self.delays:
            self._recorders.setdefault(program.delays[name].input, []).append(name)
        self._stock_names = {name: f"s{i}" for i, name in enumerate(self.stocks)}
        self._memory_names = {name: f"m{i}" for i, name in enumerate(self.memories)}
        self._state_names = [*self._stock_names.values(), *self._memory_names.values()]
        variables = (
            self._stock_names | self._memory_names | {name: f"c{i}" for i, name in enumerate(self.constants)}
        )
        for i, name in enumerate([*self._order, *program.initials]):
            variables[name] = f"v{i}"
        self._names = Names(
            variables=variables,
            tables={name: f"p{i}" for i, name in enumerate(self.tables)},
            own={},
            functions={name: f"f{i}" for i, name in enumerate(self.functions)},
            delays={name: f"d{i}" for i, name in enumerate(self.delays)},
            memories={name: memory.kind for name, memory in program.memories.items()},
            draws={},
            counter=count(),
            grid_time="t" if method == "euler" else "t_grid",
        )
        self._fragments: dict[str, Fragment] = {}
        for definition in (*program.definitions.values(), *program.initials.values()):
            self._fragments[definition.name] = fragment(definition.code, definition.name, self._names)
        self.draws = list(self._names.draws)
        self.own: list[tuple[Points, TableKind] | Shape] = list(self._names.own)
        # What the next state needs for any outputs, and what these outputs need.
        remembered = [name for memory in program.memories.values() for name in memory.inputs]
        inputs = [name for name in (*self._recorders, *remembered) if name in program.definitions]
        self._lasting = closure([*self.stocks, *inputs], self._needs)
        self._observed = closure(self.outputs, self._observed_needs)
        self._factories: dict[Part, Callable[..., Any]] = {}
        self._owners: dict[Part, list[str | None]] = {}

    def factory(self, part: Part) -> Callable[..., Any]:
        """Return the function that binds `part` to a run's specs, delays, keys, functions and own tables, and
        to the names of the outputs.
        """
        if part not in self._factories:
            writer = _Writer()
            self._write(part, writer)
            self._owners[part] = writer.owners
            self._factories[part] = function_of(writer.lines, f"{FILENAME}:{part}", self.program.model_name)
        return self._factories[part]

    def owner(self, filename: str, line: int) -> str | None:
        """Return the user's element that a line of compiled text belongs to."""
        for part, owners in self._owners.items():
            if filename == f"{FILENAME}:{part}":
                name = owners[line - 1]
                return None if name is None else self.program.owner(name)
        return None

    def _code(self, name: str) -> Code:
        return self.program.definitions[name].code

    def _needs(self, name: str) -> list[str]:
        """Return the variables that must be evaluated, with their delays' inputs, for the next state."""
        return [i for i in references(self._code(name)) if i in self.program.definitions]

    def _observed_needs(self, name: str) -> list[str]:
        """Return the variables that outputs need; stocks already have their values."""
        if name in self.program.constants or name in self._stock_names:
            return []
        code = self._code(name)
        present = [self.program.delays[str(i.data)].input for i in code if i.operator == "delay"]
        return [i for i in (*references(code), *present) if i in self.program.definitions]

    # Writing ------------------------------------------------------------------------------------------------

    def _write(self, part: Part, out: "_Writer") -> None:
        out.line("def bind(t0, dt, stop, tolerance, delays, keys, functions, own, names):")
        out.push()
        for i, name in enumerate(self.delays):
            d = self._names.delays[name]
            out.line(
                f"{d} = delays[{i}].read; {d}_record = delays[{i}].record; {d}_begin = delays[{i}].begin"
            )
        out.unpack([f"k{i}" for i in range(len(self.draws))], "keys")
        out.unpack([f"f{i}" for i in range(len(self.functions))], "functions")
        out.unpack([f"g{i}" for i in range(len(self.own))], "own")
        if part == "step":
            out.unpack([f"m{i}" for i in range(len(self.outputs))], "names")
        if part == "begin":
            out.line("def begin(constants, tables):")
            out.push()
            self._enter(out, stocks=False)
            self._write_begin(out)
            out.line(f"return [{', '.join(self._state_names)}]")
        elif part == "observe":
            out.line("def observe(n, stocks, constants, tables):")
            out.push()
            self._enter(out)
            self._write_point(out, self._observed)
            out.line(f"return [{', '.join(self._output_values())}]")
        elif part == "step":
            out.line("def step(n, stocks, constants, tables):")
            out.push()
            self._enter(out)
            self._write_point(out, self._lasting | self._observed)
            answer = [f"m{i}: {value}" for i, value in enumerate(self._output_values())]
            out.line(f"answer = {{{', '.join(answer)}}}")
            self._write_advance(out)
            out.line(f"return answer, [{', '.join(self._state_names)}]")
        else:
            out.line(f"def {part}(n, last, stocks, constants, tables, records, start=t0, length=dt):")
            out.push()
            # In the loop, names of the function itself are a little faster than those of the one around it.
            self._enter(out)
            outputs = self._output_values() if part == "run" else []
            recorded = [f"o{i}" for i in range(len(outputs))]
            out.unpack(recorded, "records")
            out.line("for n in range(n, last):")
            out.push()
            self._write_point(out, self._lasting | self._observed if outputs else self._lasting, fast=True)
            for record, value in zip(recorded, outputs, strict=True):
                out.line(f"{record}({value})")
            self._write_advance(out, fast=True)
            # Without stocks, delays and outputs there is nothing to do in the loop.
            out.line("pass")
            out.pop()
            out.line(f"return [{', '.join(self._state_names)}]")
        out.pop()
        out.line(f"return {part}")

    def _enter(self, out: "_Writer", *, stocks: bool = True) -> None:
        if stocks:
            out.unpack(self._state_names, "stocks")
        out.unpack([f"c{i}" for i in range(len(self.constants))], "constants")
        out.unpack([f"p{i}" for i in range(len(self.tables))], "tables")

    def _output_values(self) -> list[str]:
        return [self._names.variables[name] for name in self.outputs]

    def _write_begin(self, out: "_Writer") -> None:
        delays = {delay.initial: delay.name for delay in self.program.delays.values()}
        out.line("n = 0")
        out.line("t = t_grid = t0")
        for name in self.constants:
            self._write_records(out, name)
        for name in self._initial_order:
            if name not in self._on_demand:
                self._write_initial(out, name, delays, self._names)
        # Variables in a circle that branches close: each is evaluated on demand, or at the end here.
        calls = {name: f"{self._names.variables[name]}_once" for name in self._on_demand}
        variables = dict(self._names.variables) | {name: f"{call}()" for name, call in calls.items()}
        names = replace(self._names, variables=variables)
        for name, call in calls.items():
            local = self._names.variables[name]
            out.line("@once")
            out.line(f"def {call}():")
            out.push()
            read = set(references(self._initial_code(name)))
            for needed in self._on_demand[name]:
                if needed in calls and needed not in read:
                    out.line(f"{calls[needed]}()", name)
            self._write_initial(out, name, delays, names)
            out.line(f"return {local}")
            out.pop()
        for name, call in calls.items():
            out.line(f"{self._names.variables[name]} = {call}()", name)

    def _initial_code(self, name: str) -> Code:
        """Return what the value of a variable at the start is computed from."""
        if name in self._memory_names:
            return tuple(Instruction("element", 0, each) for each in self.program.memories[name].initials)
        if initial_name(name) in self.program.initials:
            return (Instruction("element", 0, initial_name(name)),)
        return (self.program.initials.get(name) or self.program.definitions[name]).code

    def _write_initial(
        self, out: "_Writer", name: str, delays: Mapping[str | None, str], names: Names
    ) -> None:
        """Write the evaluation of a variable at the start, which delays may begin with."""
        if name in self._memory_names:
            memory = self.program.memories[name]
            values = ", ".join(["dt", *(names.variables[each] for each in memory.initials)])
            out.line(f"{self._memory_names[name]} = {memory.kind}_begin({values})", name)
            return
        self._write_variable(out, name, fragment(self._initial_code(name), name, names))
        if name in delays:
            out.line(f"{self._names.delays[delays[name]]}_begin({self._names.variables[name]})", name)
        self._write_records(out, name)

    def _write_point(self, out: "_Writer", wanted: Collection[str], *, fast: bool = False) -> None:
        """Write the evaluation of one grid point; the delays keep its values."""
        names = [name for name in self._order if name in wanted]
        rates = [name for name in self.stocks if name in wanted]
        if any(needs_time(self._code(name)) for name in (*names, *rates)):
            t = "t" if self.method == "euler" else "t = t_grid"
            out.line(f"{t} = {'start + n * length' if fast else 't0 + n * dt'}")
        for name in self.stocks:
            self._write_records(out, name)
        for name in self.constants:
            self._write_records(out, name)
        for name in names:
            self._write_variable(out, name)
            self._write_records(out, name)

    def _write_variable(self, out: "_Writer", name: str, value: Fragment | None = None) -> None:
        local = self._names.variables[name]
        part = value or self._fragments[name]
        for line in part.statements:
            out.line(line, name)
        out.line(f"{local} = {part.value}", name)
        if name in self.program.definitions and self.program.definitions[name].kind == "flow":
            # Python's max(0, nan) is 0, and so is this.
            out.line(f"if not {local} > 0.0: {local} = 0.0", name)

    def _write_records(self, out: "_Writer", name: str) -> None:
        for delay in self._recorders.get(name, ()):
            out.line(f"{self._names.delays[delay]}_record(n, {self._names.variables[name]})", name)

    def _write_advance(self, out: "_Writer", *, fast: bool = False) -> None:
        """Write the advance from one grid point to the next."""
        dt = "length" if fast else "dt"
        # Memories take what the grid point holds; what reads them during this step still reads them as they
        # were.
        for name, local in self._memory_names.items():
            memory = self.program.memories[name]
            inputs = ", ".join([local, dt, *(self._names.variables[each] for each in memory.inputs)])
            out.line(f"n{local} = {memory.kind}_update({inputs})", name)
        if self.stocks:
            self._write_integration(out, dt, fast=fast)
        for name, local in self._memory_names.items():
            out.line(f"{local} = n{local}", name)

    def _write_integration(self, out: "_Writer", dt: str, *, fast: bool) -> None:
        if self.method == "euler":
            for name, local, rate in self._rates(out):
                out.line(f"{local} = {local} + {dt} * {rate}", name)
                self._write_floor(out, name)
            return
        start = "start" if fast else "t0"
        names = list(self._stock_names.items())
        needed = closure(self.stocks, self._needs)
        moving = [name for name in self._order if name in needed]
        timed = any(needs_time(self._code(name)) for name in (*moving, *self.stocks))
        for name, local in names:
            out.line(f"a{local} = {local}", name)
        for stage, (offset, share) in enumerate(
            [("", ""), ("0.5", f"0.5 * {dt}"), ("0.5", f"0.5 * {dt}"), ("1.0", dt)]
        ):
            if stage:
                for name, local in names:
                    out.line(f"{local} = a{local} + {share} * r{stage}{local}", name)
                if timed:
                    out.line(f"t = {start} + (n + {offset}) * {dt}")
                for name in moving:
                    self._write_variable(out, name)
            for name, local in names:
                part = self._fragments[name]
                for line in part.statements:
                    out.line(line, name)
                out.line(f"r{stage + 1}{local} = {part.value}", name)
        for name, local in names:
            slopes = f"r1{local} + 2.0 * r2{local} + 2.0 * r3{local} + r4{local}"
            out.line(f"{local} = a{local} + {dt} / 6.0 * ({slopes})", name)
            self._write_floor(out, name)

    def _write_floor(self, out: "_Writer", name: str) -> None:
        if name in self.program.floors:
            local = self._stock_names[name]
            out.line(f"if {local} < 0.0: {local} = 0.0", name)

    def _rates(self, out: "_Writer") -> list[tuple[str, str, str]]:
        """Return each stock's net flow, computed beforehand if it reads stocks that may change before it."""
        result = []
        for name, local in self._stock_names.items():
            part = self._fragments[name]
            for line in part.statements:
                out.line(line, name)
            rate = part.value
            if reads(self._code(name), self._stock_names) - {name} or part.prelude:
                rate = f"r{local}"
                out.line(f"{rate} = {part.value}", name)
            result.append((name, local, rate))
        return result


class _Writer:
    """Lines of Python with their indentation and the variable each belongs to."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.owners: list[str | None] = []
        self._indent = ""

    def line(self, text: str, owner: str | None = None) -> None:
        self.lines.append(self._indent + text)
        self.owners.append(owner)

    def push(self) -> None:
        self._indent += " "

    def pop(self) -> None:
        self._indent = self._indent[:-1]

    def unpack(self, names: Sequence[str], source: str) -> None:
        if names:
            self.line(f"{', '.join(names)}, = {source}")


def compile_program(
    program: Program, method: Method, outputs: Sequence[str], broken: Collection[str]
) -> Compiled:
    """Compile `program`, once for all runs with the same method, outputs and broken circles.

    Raises
    ------
    CircularDefinition
        If variables are defined in a circle.
    """
    key = (method, tuple(outputs), frozenset(broken))
    compiled = program.compiled.get(key)
    if compiled is None:
        if len(program.compiled) >= _KEPT:
            program.compiled.clear()
        compiled = program.compiled[key] = Compiled(program, method, outputs, broken)
    assert isinstance(compiled, Compiled)
    return compiled


def constant_value(code: Code, specs: Mapping[str, float]) -> float:
    """Evaluate code that is made of numbers and the run specs ``t0``, ``dt`` and ``stop`` only."""
    part = fragment(code, "", Names({}, {}, {}, {}, {}, {}, {}, count(), "t"))
    lines = ["def bind(t0, dt, stop):", *(f" {line}" for line in part.statements), f" return {part.value}"]
    return float(function_of(lines, FILENAME, "")(**specs))


def function_of(lines: Sequence[str], filename: str, model: str) -> Callable[..., Any]:
    """Return the function that `lines` define; they contain generated names and numbers only."""
    try:
        module = compile("\n".join(lines), filename, "exec", dont_inherit=True)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ModelError(
            f"The model {model!r} has an expression nested too deeply to compile ({error}); put its parts "
            "into converters."
        ) from None
    (code,) = (constant for constant in module.co_consts if isinstance(constant, CodeType))
    return FunctionType(code, dict(NAMESPACE))
