"""Writing the functions of a compiled program."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, TypeAlias

from perdure.engines.system_dynamics.compiling.codegen import Names, fragment
from perdure.engines.system_dynamics.compiling.naming import CompiledNames
from perdure.engines.system_dynamics.compiling.point_writer import PointWriter
from perdure.engines.system_dynamics.compiling.program import Code, Instruction, initial_name, references
from perdure.engines.system_dynamics.compiling.writer import Writer

__all__ = ["Part", "PartWriter"]

Part: TypeAlias = Literal["begin", "step", "observe", "advance", "run"]

_MANY = 8
"""The number of cells from which converting the whole array to a list is faster than reading cell by cell."""


class PartWriter:
    """Writes the functions.

    Parameters
    ----------
    code
        The names and the code of the program.
    out
        Takes the lines.
    """

    def __init__(self, code: CompiledNames, out: Writer) -> None:
        self._code = code
        self._out = out
        self._point = PointWriter(code, out)

    def write(self, part: Part) -> None:
        """Write a function that binds a part to what differs from run to run, and returns it."""
        self._out.line("def bind(t0, dt, stop, tolerance, delays, keys, functions, own, names):")
        self._out.push()
        for i, name in enumerate(self._code.delays):
            d = self._code.names.delays[name]
            self._out.line(
                f"{d} = delays[{i}].read; {d}_record = delays[{i}].record; {d}_begin = delays[{i}].begin"
            )
        self._out.unpack([f"k{i}" for i in range(len(self._code.draws))], "keys")
        self._out.unpack([f"f{i}" for i in range(len(self._code.functions))], "functions")
        self._out.unpack([f"g{i}" for i in range(len(self._code.own))], "own")
        if part == "step":
            self._out.unpack([f"u{i}" for i in range(len(self._code.outputs))], "names")
        if part == "begin":
            self._out.line("def begin(constants, tables):")
            self._out.push()
            self._out.unpack([f"c{i}" for i in range(len(self._code.constants))], "constants")
            self._out.unpack([f"p{i}" for i in range(len(self._code.tables))], "tables")
            self._write_begin()
            names = [*self._code.stock_names.values(), *self._code.memory_names.values()]
            self._out.line(f"return [{', '.join(names)}]")
        elif part == "observe":
            self._out.line("def observe(n, stocks, constants, tables):")
            self._out.push()
            self._enter()
            self._point.write_point(self._code.observed)
            self._out.line(f"return [{', '.join(self._output_values())}]")
        elif part == "step":
            self._out.line("def step(n, stocks, constants, tables):")
            self._out.push()
            self._enter()
            self._point.write_point(self._code.lasting | self._code.observed)
            answer = [f"u{i}: {value}" for i, value in enumerate(self._output_values())]
            self._out.line(f"answer = {{{', '.join(answer)}}}")
            self._point.write_advance()
            self._out.line(f"return answer, [{', '.join(self._code.state.names)}]")
        else:
            self._out.line(f"def {part}(n, last, stocks, constants, tables, records, start=t0, length=dt):")
            self._out.push()
            # In the loop, names of the function itself are a little faster than those of the one around it.
            self._enter()
            recorded = [f"o{i}" for i in range(len(self._code.outputs) if part == "run" else 0)]
            self._out.unpack(recorded, "records")
            self._out.line("for n in range(n, last):")
            self._out.push()
            self._point.write_point(
                self._code.lasting | self._code.observed if recorded else self._code.lasting,
                fast=True,
            )
            if recorded:
                for record, value in zip(recorded, self._output_values(), strict=True):
                    self._out.line(f"{record}({value})")
            self._point.write_advance(fast=True)
            # Without stocks, delays and outputs there is nothing to do in the loop.
            self._out.line("pass")
            self._out.pop()
            self._out.line(f"return [{', '.join(self._code.state.names)}]")
        self._out.pop()
        self._out.line(f"return {part}")

    def _enter(self) -> None:
        self._out.unpack(self._code.state.names, "stocks")
        self._out.unpack(self._code.constant_values.names, "constants")
        self._out.unpack([f"p{i}" for i in range(len(self._code.tables))], "tables")
        for text, name in self._code.scalars.items():
            if text[0] == "c":
                self._out.line(f"{name} = asarray({text})")

    def _output_values(self) -> list[str]:
        """Return the texts of the outputs; arrays of which many cells are outputs become lists before."""
        texts = [self._code.point_names.variables[name] for name in self._code.outputs]
        cells = [self._code.point_names.cells.get(name) for name in self._code.outputs]
        arrays = Counter(cell[0] for cell in cells if cell is not None)
        listed = [array for array, times in arrays.items() if times >= _MANY]
        for array in listed:
            self._out.line(f"l{array} = {array}.tolist()")
        return [
            f"l{cell[0]}[{cell[1]}]" if cell is not None and cell[0] in listed else text
            for cell, text in zip(cells, texts, strict=True)
        ]

    def _write_begin(self) -> None:
        delays = {delay.initial: delay.name for delay in self._code.program.delays.values()}
        self._out.line("n = 0")
        self._out.line("t = t_grid = t0")
        for name in self._code.constants:
            self._point.write_records(name, self._code.names)
        for name in self._code.initial_order:
            if name not in self._code.on_demand:
                self._write_initial(name, delays, self._code.names)
        # Variables in a circle that branches close: each is evaluated on demand, or at the end here.
        calls = {name: f"{self._code.names.variables[name]}_once" for name in self._code.on_demand}
        variables = dict(self._code.names.variables) | {name: f"{call}()" for name, call in calls.items()}
        names = replace(self._code.names, variables=variables)
        for name, call in calls.items():
            local = self._code.names.variables[name]
            self._out.line("@once")
            self._out.line(f"def {call}():")
            self._out.push()
            read = set(references(self._initial_code(name)))
            for needed in self._code.on_demand[name]:
                if needed in calls and needed not in read:
                    self._out.line(f"{calls[needed]}()", name)
            self._write_initial(name, delays, names)
            self._out.line(f"return {local}")
            self._out.pop()
        for name, call in calls.items():
            self._out.line(f"{self._code.names.variables[name]} = {call}()", name)

    def _initial_code(self, name: str) -> Code:
        """Return what the value of a variable at the start is computed from."""
        if name in self._code.memory_names:
            return tuple(
                Instruction("element", 0, each) for each in self._code.program.memories[name].initials
            )
        if initial_name(name) in self._code.program.initials:
            return (Instruction("element", 0, initial_name(name)),)
        return (self._code.program.initials.get(name) or self._code.program.definitions[name]).code

    def _write_initial(self, name: str, delays: Mapping[str | None, str], names: Names) -> None:
        """Write the evaluation of a variable at the start, which delays may begin with."""
        if name in self._code.memory_names:
            memory = self._code.program.memories[name]
            values = ", ".join(["dt", *(names.variables[each] for each in memory.initials)])
            self._out.line(f"{self._code.memory_names[name]} = {memory.kind}_begin({values})", name)
            return
        self._point.write_variable(name, fragment(self._initial_code(name), name, names))
        if name in delays:
            self._out.line(
                f"{self._code.names.delays[delays[name]]}_begin({self._code.names.variables[name]})",
                name,
            )
        self._point.write_records(name, self._code.names)
