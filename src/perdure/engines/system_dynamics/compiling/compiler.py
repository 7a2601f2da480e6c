"""The compiler: turns a program and the order of its variables into straight-line Python over floats.

Five functions are made when they are first needed. ``begin`` evaluates initial values; ``step`` evaluates one
grid point and advances to the next; ``observe`` evaluates one grid point only; ``run`` takes many steps in
one loop; ``advance`` does the same without outputs. All do the same arithmetic in the same order, so a run
has the same bits however it is cut into calls.

Euler: s(n+1) = s(n) + dt·net(n). RK4 is the classical fourth-order method of Runge and Kutta; delays,
pulses and random draws stay constant over its stages.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Literal, TypeAlias

import numpy as np

from perdure.engines.system_dynamics.compiling.array_code import ArrayCode, array_code
from perdure.engines.system_dynamics.compiling.codegen import Fragment, Names, fragment, needs_time, reads
from perdure.engines.system_dynamics.compiling.families import Block, Group, found_families, positions
from perdure.engines.system_dynamics.compiling.layout import Layout
from perdure.engines.system_dynamics.compiling.order import closure, initial_order, step_order
from perdure.engines.system_dynamics.compiling.program import (
    LOOKUPS,
    Code,
    Instruction,
    Program,
    initial_name,
    references,
)
from perdure.engines.system_dynamics.compiling.writer import Owner, Writer, function_of
from perdure.engines.system_dynamics.points import Points, TableKind
from perdure.engines.system_dynamics.shapes import Shape

__all__ = ["Compiled", "Method", "Part", "compile_program", "constant_value"]

Method: TypeAlias = Literal["euler", "rk4"]
Part: TypeAlias = Literal["begin", "step", "observe", "advance", "run"]

FILENAME = "<compiled model>"
_KEPT = 64
_MANY = 8
"""From so many cells on, a list of all cells of an array is faster than one cell after the other."""


class Compiled:
    """A program compiled for one method and one list of outputs; shared by all runs that use these.

    Attributes
    ----------
    stocks, memories, delays, tables, functions
        Names in the order in which values are passed to the functions; stocks and memories as one list,
        tables with the kind of each.
    state, constant_values
        How the values of stocks and memories, and those of constants, are passed to all functions but
        ``begin``, which takes and returns single numbers.
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
        order = step_order(program, broken)
        self._initial_order, self._on_demand = initial_order(program, broken)
        self._recorders: dict[str, list[str]] = {}
        for name in self.delays:
            self._recorders.setdefault(program.delays[name].input, []).append(name)
        self._stock_names = {name: f"s{i}" for i, name in enumerate(self.stocks)}
        self._memory_names = {name: f"m{i}" for i, name in enumerate(self.memories)}
        constant_names = {name: f"c{i}" for i, name in enumerate(self.constants)}
        variables = self._stock_names | self._memory_names | constant_names
        for i, name in enumerate([*order, *program.initials]):
            variables[name] = f"v{i}"
        # What the next state needs for any outputs, what its rates need, and what these outputs need.
        remembered = [name for memory in program.memories.values() for name in memory.inputs]
        inputs = [name for name in (*self._recorders, *remembered) if name in program.definitions]
        self._lasting = closure([*self.stocks, *inputs], self._needs)
        self._moving = closure(self.stocks, self._needs)
        self._observed = closure(self.outputs, self._observed_needs)
        self._families = found_families(
            program,
            order,
            self._observed_needs,
            self._lasting | self._observed,
            (self._lasting, self._moving),
        )
        self._order = self._families.order
        place = self._families.place
        self.state = Layout(self._stock_names | self._memory_names, place)
        self.constant_values = Layout(constant_names, place)
        # The names at the start, where all values are single numbers, and those at the grid points.
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
        alone = set(order) - self._families.groups.keys()
        kept = {name: f"{block.local}.item({i})" for name, (block, i) in place.items() if name not in alone}
        self._point_names = replace(
            self._names,
            variables=variables | kept,
            cells={name: (block.local, i) for name, (block, i) in place.items()},
        )
        self._positions: dict[tuple[int, ...], str] = {}
        self._scalars: dict[str, str] = {}
        self._array_codes = {
            group: self._array_code(group) for group in dict.fromkeys(self._families.groups.values())
        }
        self._fragments: dict[str, Fragment] = {}
        for names, definitions in ((self._point_names, program.definitions), (self._names, program.initials)):
            for name, definition in definitions.items():
                if name not in self._families.groups:
                    self._fragments[name] = fragment(definition.code, name, names)
        self.draws = list(self._names.draws)
        self.own: list[tuple[Points, TableKind] | Shape] = list(self._names.own)
        self._factories: dict[Part, Callable[..., Any]] = {}
        self._owners: dict[Part, list[Owner]] = {}

    def factory(self, part: Part) -> Callable[..., Any]:
        """Return the function that binds `part` to a run's specs, delays, keys, functions and own tables, and
        to the names of the outputs.
        """
        if part not in self._factories:
            writer = Writer()
            self._write(part, writer)
            self._owners[part] = writer.owners
            constants = {name: np.array(cells) for cells, name in self._positions.items()}
            constants |= {
                name: np.array(float(text.strip("()")))
                for text, name in self._scalars.items()
                if text[0] != "c"
            }
            self._factories[part] = function_of(
                writer.lines, f"{FILENAME}:{part}", self.program.model_name, constants
            )
        return self._factories[part]

    @property
    def vectorized(self) -> bool:
        """Whether it computes with arrays, whose warnings are to be ignored."""
        return bool(self._families.place)

    def owner(self, filename: str, line: int, position: int = 0) -> str | None:
        """Return the user's element that a line of compiled text belongs to; of a group, the one there."""
        for part, owners in self._owners.items():
            if filename == f"{FILENAME}:{part}":
                owner = owners[line - 1]
                name = owner[position] if isinstance(owner, tuple) else owner
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

    def _write(self, part: Part, out: Writer) -> None:
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
            out.unpack([f"u{i}" for i in range(len(self.outputs))], "names")
        if part == "begin":
            out.line("def begin(constants, tables):")
            out.push()
            out.unpack([f"c{i}" for i in range(len(self.constants))], "constants")
            out.unpack([f"p{i}" for i in range(len(self.tables))], "tables")
            self._write_begin(out)
            names = [*self._stock_names.values(), *self._memory_names.values()]
            out.line(f"return [{', '.join(names)}]")
        elif part == "observe":
            out.line("def observe(n, stocks, constants, tables):")
            out.push()
            self._enter(out)
            self._write_point(out, self._observed)
            out.line(f"return [{', '.join(self._output_values(out))}]")
        elif part == "step":
            out.line("def step(n, stocks, constants, tables):")
            out.push()
            self._enter(out)
            self._write_point(out, self._lasting | self._observed)
            answer = [f"u{i}: {value}" for i, value in enumerate(self._output_values(out))]
            out.line(f"answer = {{{', '.join(answer)}}}")
            self._write_advance(out)
            out.line(f"return answer, [{', '.join(self.state.names)}]")
        else:
            out.line(f"def {part}(n, last, stocks, constants, tables, records, start=t0, length=dt):")
            out.push()
            # In the loop, names of the function itself are a little faster than those of the one around it.
            self._enter(out)
            recorded = [f"o{i}" for i in range(len(self.outputs) if part == "run" else 0)]
            out.unpack(recorded, "records")
            out.line("for n in range(n, last):")
            out.push()
            self._write_point(out, self._lasting | self._observed if recorded else self._lasting, fast=True)
            if recorded:
                for record, value in zip(recorded, self._output_values(out), strict=True):
                    out.line(f"{record}({value})")
            self._write_advance(out, fast=True)
            # Without stocks, delays and outputs there is nothing to do in the loop.
            out.line("pass")
            out.pop()
            out.line(f"return [{', '.join(self.state.names)}]")
        out.pop()
        out.line(f"return {part}")

    def _enter(self, out: Writer) -> None:
        out.unpack(self.state.names, "stocks")
        out.unpack(self.constant_values.names, "constants")
        out.unpack([f"p{i}" for i in range(len(self.tables))], "tables")
        for text, name in self._scalars.items():
            if text[0] == "c":
                out.line(f"{name} = asarray({text})")

    def _output_values(self, out: Writer) -> list[str]:
        """Return the texts of the outputs; arrays of which many cells are outputs become lists before."""
        texts = [self._point_names.variables[name] for name in self.outputs]
        cells = [self._point_names.cells.get(name) for name in self.outputs]
        arrays = Counter(cell[0] for cell in cells if cell is not None)
        listed = [array for array, times in arrays.items() if times >= _MANY]
        for array in listed:
            out.line(f"l{array} = {array}.tolist()")
        return [
            f"l{cell[0]}[{cell[1]}]" if cell is not None and cell[0] in listed else text
            for cell, text in zip(cells, texts, strict=True)
        ]

    def _write_begin(self, out: Writer) -> None:
        delays = {delay.initial: delay.name for delay in self.program.delays.values()}
        out.line("n = 0")
        out.line("t = t_grid = t0")
        for name in self.constants:
            self._write_records(out, name, self._names)
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

    def _write_initial(self, out: Writer, name: str, delays: Mapping[str | None, str], names: Names) -> None:
        """Write the evaluation of a variable at the start, which delays may begin with."""
        if name in self._memory_names:
            memory = self.program.memories[name]
            values = ", ".join(["dt", *(names.variables[each] for each in memory.initials)])
            out.line(f"{self._memory_names[name]} = {memory.kind}_begin({values})", name)
            return
        self._write_variable(out, name, fragment(self._initial_code(name), name, names))
        if name in delays:
            out.line(f"{self._names.delays[delays[name]]}_begin({self._names.variables[name]})", name)
        self._write_records(out, name, self._names)

    def _write_point(self, out: Writer, wanted: Collection[str], *, fast: bool = False) -> None:
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
        self._write_variables(out, names, records=True)

    def _write_variables(self, out: Writer, names: Sequence[str], *, records: bool) -> None:
        """Write the evaluation of variables in their order, groups of cells as a whole."""
        place, begun = self._families.place, set[Block]()
        groups = self._complete_groups(names)
        for name in names:
            block, position = place.get(name, (None, 0))
            group = groups.get(name)
            if block is not None and block not in begun:
                begun.add(block)
                if group is None or not group.whole:
                    out.line(f"{block.local} = empty({len(block.names)})")
            if group is None:
                self._write_variable(out, name, self._fragment(name))
                if block is not None:
                    out.line(f"{block.local}[{position}] = {self._names.variables[name]}", name)
            elif group.names[0] == name:
                self._write_group(out, group, group.within(group.block.local))
            if records and (group is None or group.names[-1] == name):
                for each in (name,) if group is None else group.names:
                    self._write_records(out, each)

    def _complete_groups(self, names: Sequence[str]) -> dict[str, Group]:
        """Return the groups, by cell, of which all cells are wanted; of others, cells are computed alone."""
        found: dict[str, Group] = {}
        wanted = set(names) if self._families.groups else set()
        for name in names:
            group = self._families.groups.get(name)
            if group is not None and (name in found or wanted.issuperset(group.names)):
                found |= dict.fromkeys(group.names, group) if name not in found else {}
        return found

    def _fragment(self, name: str) -> Fragment:
        """Return the Python for a variable by itself."""
        return self._fragments.get(name) or fragment(self._code(name), name, self._point_names)

    def _write_group(self, out: Writer, group: Group, target: str) -> None:
        code = self._array_codes[group]
        for line in code.lines:
            out.line(line, group.names)
        if self.program.definitions[group.names[0]].kind == "flow":
            out.line(f"{target} = not_negative({code.text})", group.names)
        else:
            out.line(f"{target} = {code.text}" if group.whole else code.assigned(target), group.names)

    def _array_code(self, group: Group) -> ArrayCode:
        reads = [self._read_by_group(names) for names in positions(self.program, group.names)]
        first = group.names[0]
        return array_code(self._code(first), first, self._point_names, reads, len(group.names), self._scalars)

    def _read_by_group(self, names: Sequence[str]) -> tuple[str, bool]:
        """Return what a group reads at one place of its code, and whether that is an array."""
        if len(set(names)) == 1:
            return self._point_names.variables[names[0]], False
        block = self._families.place[names[0]][0]
        cells = tuple(self._families.place[name][1] for name in names)
        step = cells[1] - cells[0]
        if step > 0 and cells == tuple(range(cells[0], cells[-1] + 1, step)):
            if cells == tuple(range(len(block.names))):
                return block.local, True
            part = f"{cells[0]}:{cells[-1] + 1}" + (f":{step}" if step > 1 else "")
            return f"{block.local}[{part}]", True
        return f"{block.local}[{self._positions.setdefault(cells, f'i{len(self._positions)}')}]", True

    def _write_variable(self, out: Writer, name: str, value: Fragment | None = None) -> None:
        local = self._names.variables[name]
        part = value or self._fragments[name]
        for line in part.statements:
            out.line(line, name)
        out.line(f"{local} = {part.value}", name)
        if name in self.program.definitions and self.program.definitions[name].kind == "flow":
            # Python's max(0, nan) is 0, and so is this.
            out.line(f"if not {local} > 0.0: {local} = 0.0", name)

    def _write_records(self, out: Writer, name: str, names: Names | None = None) -> None:
        value = (names or self._point_names).variables
        for delay in self._recorders.get(name, ()):
            out.line(f"{self._names.delays[delay]}_record(n, {value[name]})", name)

    def _write_advance(self, out: Writer, *, fast: bool = False) -> None:
        """Write the advance from one grid point to the next."""
        dt = "length" if fast else "dt"
        # Memories take what the grid point holds; what reads them during this step still reads them as they
        # were.
        for name, local in self._memory_names.items():
            memory = self.program.memories[name]
            inputs = ", ".join([local, dt, *(self._point_names.variables[each] for each in memory.inputs)])
            out.line(f"n{local} = {memory.kind}_update({inputs})", name)
        if self.stocks:
            self._write_integration(out, dt, fast=fast)
        for name, local in self._memory_names.items():
            out.line(f"{local} = n{local}", name)

    def _write_integration(self, out: Writer, dt: str, *, fast: bool) -> None:
        if self.method == "euler":
            if self._families.stocks:
                out.line(f"h = asarray({dt})")
            for owner, local, rate in self._rates(out):
                length = dt if isinstance(owner, str) else "h"
                out.line(f"{local} = {local} + {length} * {rate}", owner)
                self._write_floor(out, owner, local)
            return
        start = "start" if fast else "t0"
        levels = self._levels()
        moving = [name for name in self._order if name in self._moving]
        timed = any(needs_time(self._code(name)) for name in (*moving, *self.stocks))
        for owner, local in levels:
            out.line(f"a{local} = {local}", owner)
        for stage, (offset, share) in enumerate(
            [("", ""), ("0.5", f"0.5 * {dt}"), ("0.5", f"0.5 * {dt}"), ("1.0", dt)]
        ):
            if stage:
                for owner, local in levels:
                    out.line(f"{local} = a{local} + {share} * r{stage}{local}", owner)
                if timed:
                    out.line(f"t = {start} + (n + {offset}) * {dt}")
                self._write_variables(out, moving, records=False)
            for owner, local in levels:
                self._write_rate(out, owner, f"r{stage + 1}{local}")
        for owner, local in levels:
            slopes = f"r1{local} + 2.0 * r2{local} + 2.0 * r3{local} + r4{local}"
            out.line(f"{local} = a{local} + {dt} / 6.0 * ({slopes})", owner)
            self._write_floor(out, owner, local)

    def _write_floor(self, out: Writer, owner: str | tuple[str, ...], local: str) -> None:
        """Write that a stock doesn't fall below zero; either all of a block do or none."""
        if isinstance(owner, tuple):
            if owner[0] in self.program.floors:
                out.line(f"{local} = where({local} < 0.0, 0.0, {local})", owner)
        elif owner in self.program.floors:
            out.line(f"if {local} < 0.0: {local} = 0.0", owner)

    def _levels(self) -> list[tuple[str | tuple[str, ...], str]]:
        """Return stocks, and blocks of stocks, with their local names."""
        alone: list[tuple[str | tuple[str, ...], str]] = [
            (name, local) for name, local in self._stock_names.items() if name not in self._families.place
        ]
        return alone + [(block.names, block.local) for block in self._families.stocks]

    def _rates(self, out: Writer) -> list[tuple[str | tuple[str, ...], str, str]]:
        """Return each stock's net flow, computed beforehand if it reads stocks that may change before it."""
        result: list[tuple[str | tuple[str, ...], str, str]] = []
        for owner, local in self._levels():
            rate = f"r{local}"
            if isinstance(owner, str):
                part = self._fragments[owner]
                if not (reads(self._code(owner), self._stock_names) - {owner} or part.prelude):
                    for line in part.statements:
                        out.line(line, owner)
                    result.append((owner, local, part.value))
                    continue
            self._write_rate(out, owner, rate)
            result.append((owner, local, rate))
        return result

    def _write_rate(self, out: Writer, owner: str | tuple[str, ...], target: str) -> None:
        """Write the net flow of a stock, or those of a block of stocks."""
        if isinstance(owner, str):
            part = self._fragments[owner]
            for line in part.statements:
                out.line(line, owner)
            out.line(f"{target} = {part.value}", owner)
            return
        groups = self._families.groups
        if owner[0] not in groups or not groups[owner[0]].whole:
            out.line(f"{target} = empty({len(owner)})")
        for position, name in enumerate(owner):
            group = groups.get(name)
            if group is None:
                self._write_rate(out, name, f"{target}[{position}]")
            elif group.names[0] == name:
                self._write_group(out, group, group.within(target))


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
