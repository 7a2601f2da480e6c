"""Naming: the local names of a program's parts in compiled functions, and the Python for each part."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import count
from typing import Literal, TypeAlias

from perdure.engines.system_dynamics.compiling.array_code import ArrayCode, array_code
from perdure.engines.system_dynamics.compiling.codegen import Fragment, Names, fragment
from perdure.engines.system_dynamics.compiling.families import Group, found_families, positions
from perdure.engines.system_dynamics.compiling.layout import Layout
from perdure.engines.system_dynamics.compiling.order import closure, initial_order, step_order
from perdure.engines.system_dynamics.compiling.program import LOOKUPS, Code, Program, references
from perdure.engines.system_dynamics.points import Points, TableKind
from perdure.engines.system_dynamics.shapes import Shape

__all__ = ["CompiledNames", "Method"]

Method: TypeAlias = Literal["euler", "rk4"]


class CompiledNames:
    """The names and the code of a program, for one method and one list of outputs.

    Attributes
    ----------
    stocks, memories, delays, tables, functions
        Names in the order in which values are passed to the functions; stocks and memories as one list,
        tables with the kind of each.
    state, constant_values
        How the values of stocks and memories, and those of constants, are passed to all functions but
        ``begin``, which takes and returns single numbers.
    draws
        Variable and ordinal of each random call, likewise.
    own
        What is written in equations, likewise: points, and shapes of arrays that functions are passed.
    order, initial_order, on_demand
        The order of evaluation at a grid point, and at the start; see `order`.
    lasting, moving, observed
        The variables that the next state needs for any outputs, those that its rates need, and those that the
        outputs need.
    names, point_names
        The local names at the start, where all values are single numbers, and at grid points.
    fragments, array_codes
        The Python for each variable that is computed alone, and for each group.
    positions, scalars
        The names of the arrays that these read besides: positions of cells, and single numbers.
    recorders
        The delays that keep the values of a variable.
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
        self.initial_order, self.on_demand = initial_order(program, broken)
        self.recorders: dict[str, list[str]] = {}
        for name in self.delays:
            self.recorders.setdefault(program.delays[name].input, []).append(name)
        self.stock_names = {name: f"s{i}" for i, name in enumerate(self.stocks)}
        self.memory_names = {name: f"m{i}" for i, name in enumerate(self.memories)}
        constant_names = {name: f"c{i}" for i, name in enumerate(self.constants)}
        variables = self.stock_names | self.memory_names | constant_names
        for i, name in enumerate([*order, *program.initials]):
            variables[name] = f"v{i}"
        # What the next state needs for any outputs, what its rates need, and what these outputs need.
        remembered = [name for memory in program.memories.values() for name in memory.inputs]
        inputs = [name for name in (*self.recorders, *remembered) if name in program.definitions]
        self.lasting = closure([*self.stocks, *inputs], self._needs)
        self.moving = closure(self.stocks, self._needs)
        self.observed = closure(self.outputs, self._observed_needs)
        self.families = found_families(
            program,
            order,
            self._observed_needs,
            self.lasting | self.observed,
            (self.lasting, self.moving),
        )
        self.order = self.families.order
        place = self.families.place
        self.state = Layout(self.stock_names | self.memory_names, place)
        self.constant_values = Layout(constant_names, place)
        # The names at the start, where all values are single numbers, and those at the grid points.
        self.names = Names(
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
        alone = set(order) - self.families.groups.keys()
        kept = {name: f"{block.local}.item({i})" for name, (block, i) in place.items() if name not in alone}
        self.point_names = replace(
            self.names,
            variables=variables | kept,
            cells={name: (block.local, i) for name, (block, i) in place.items()},
        )
        self.positions: dict[tuple[int, ...], str] = {}
        self.scalars: dict[str, str] = {}
        self.array_codes = {
            group: self._array_code(group) for group in dict.fromkeys(self.families.groups.values())
        }
        self.fragments: dict[str, Fragment] = {}
        for names, definitions in ((self.point_names, program.definitions), (self.names, program.initials)):
            for name, definition in definitions.items():
                if name not in self.families.groups:
                    self.fragments[name] = fragment(definition.code, name, names)
        self.draws = list(self.names.draws)
        self.own: list[tuple[Points, TableKind] | Shape] = list(self.names.own)

    def code(self, name: str) -> Code:
        return self.program.definitions[name].code

    def _needs(self, name: str) -> list[str]:
        """Return the variables that must be evaluated, with their delays' inputs, for the next state."""
        return [i for i in references(self.code(name)) if i in self.program.definitions]

    def _observed_needs(self, name: str) -> list[str]:
        """Return the variables that outputs need; stocks already have their values."""
        if name in self.program.constants or name in self.stock_names:
            return []
        code = self.code(name)
        present = [self.program.delays[str(i.data)].input for i in code if i.operator == "delay"]
        return [i for i in (*references(code), *present) if i in self.program.definitions]

    def _array_code(self, group: Group) -> ArrayCode:
        reads = [self._read_by_group(names) for names in positions(self.program, group.names)]
        first = group.names[0]
        return array_code(self.code(first), first, self.point_names, reads, len(group.names), self.scalars)

    def _read_by_group(self, names: Sequence[str]) -> tuple[str, bool]:
        """Return what a group reads at one place of its code, and whether that is an array."""
        if len(set(names)) == 1:
            return self.point_names.variables[names[0]], False
        block = self.families.place[names[0]][0]
        cells = tuple(self.families.place[name][1] for name in names)
        step = cells[1] - cells[0]
        if step > 0 and cells == tuple(range(cells[0], cells[-1] + 1, step)):
            if cells == tuple(range(len(block.names))):
                return block.local, True
            part = f"{cells[0]}:{cells[-1] + 1}" + (f":{step}" if step > 1 else "")
            return f"{block.local}[{part}]", True
        return f"{block.local}[{self.positions.setdefault(cells, f'i{len(self.positions)}')}]", True

    def fragment(self, name: str) -> Fragment:
        """Return the Python for a variable by itself."""
        return self.fragments.get(name) or fragment(self.code(name), name, self.point_names)
