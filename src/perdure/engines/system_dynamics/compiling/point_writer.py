"""Writing the evaluation of a grid point, and the advance to the next one.

Euler: s(n+1) = s(n) + dt·net(n). RK4 is the classical fourth-order method of Runge and Kutta; delays,
pulses and random draws stay constant over its stages.
"""

from collections.abc import Collection, Sequence
from typing import TypeAlias

from perdure.engines.system_dynamics.compiling.codegen import Fragment, Names, needs_time, reads
from perdure.engines.system_dynamics.compiling.families import Block, Group
from perdure.engines.system_dynamics.compiling.naming import CompiledNames
from perdure.engines.system_dynamics.compiling.writer import Writer

__all__ = ["PointWriter"]

Level: TypeAlias = str | tuple[str, ...]
"""The name of a stock, or those of a block of stocks."""


class PointWriter:
    """Writes what functions do at grid points.

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

    def write_point(self, wanted: Collection[str], *, fast: bool = False) -> None:
        """Write the evaluation of one grid point; the delays keep its values."""
        names = [name for name in self._code.order if name in wanted]
        rates = [name for name in self._code.stocks if name in wanted]
        if any(needs_time(self._code.code(name)) for name in (*names, *rates)):
            t = "t" if self._code.method == "euler" else "t = t_grid"
            self._out.line(f"{t} = {'start + n * length' if fast else 't0 + n * dt'}")
        for name in self._code.stocks:
            self.write_records(name)
        for name in self._code.constants:
            self.write_records(name)
        self._write_variables(names, records=True)

    def _write_variables(self, names: Sequence[str], *, records: bool) -> None:
        """Write the evaluation of variables in their order, groups of cells as a whole."""
        place, begun = self._code.families.place, set[Block]()
        groups = self._complete_groups(names)
        for name in names:
            block, position = place.get(name, (None, 0))
            group = groups.get(name)
            if block is not None and block not in begun:
                begun.add(block)
                if group is None or not group.whole:
                    self._out.line(f"{block.local} = empty({len(block.names)})")
            if group is None:
                self.write_variable(name, self._code.fragment(name))
                if block is not None:
                    self._out.line(f"{block.local}[{position}] = {self._code.names.variables[name]}", name)
            elif group.names[0] == name:
                self._write_group(group, group.within(group.block.local))
            if records and (group is None or group.names[-1] == name):
                for each in (name,) if group is None else group.names:
                    self.write_records(each)

    def _complete_groups(self, names: Sequence[str]) -> dict[str, Group]:
        """Return the groups, by cell, of which all cells are wanted; of others, cells are computed alone."""
        found: dict[str, Group] = {}
        wanted = set(names) if self._code.families.groups else set()
        for name in names:
            group = self._code.families.groups.get(name)
            if group is not None and (name in found or wanted.issuperset(group.names)):
                found |= dict.fromkeys(group.names, group) if name not in found else {}
        return found

    def _write_group(self, group: Group, target: str) -> None:
        code = self._code.array_codes[group]
        for line in code.lines:
            self._out.line(line, group.names)
        if self._code.program.definitions[group.names[0]].kind == "flow":
            self._out.line(f"{target} = not_negative({code.text})", group.names)
        else:
            self._out.line(f"{target} = {code.text}" if group.whole else code.assigned(target), group.names)

    def write_variable(self, name: str, value: Fragment | None = None) -> None:
        local = self._code.names.variables[name]
        part = value or self._code.fragments[name]
        for line in part.statements:
            self._out.line(line, name)
        self._out.line(f"{local} = {part.value}", name)
        if name in self._code.program.definitions and self._code.program.definitions[name].kind == "flow":
            # Python's max(0, nan) is 0, and so is this.
            self._out.line(f"if not {local} > 0.0: {local} = 0.0", name)

    def write_records(self, name: str, names: Names | None = None) -> None:
        value = (names or self._code.point_names).variables
        for delay in self._code.recorders.get(name, ()):
            self._out.line(f"{self._code.names.delays[delay]}_record(n, {value[name]})", name)

    def write_advance(self, *, fast: bool = False) -> None:
        """Write the advance from one grid point to the next."""
        dt = "length" if fast else "dt"
        # Memories take what the grid point holds; what reads them during this step still reads them as they
        # were.
        for name, local in self._code.memory_names.items():
            memory = self._code.program.memories[name]
            inputs = ", ".join(
                [local, dt, *(self._code.point_names.variables[each] for each in memory.inputs)]
            )
            self._out.line(f"n{local} = {memory.kind}_update({inputs})", name)
        if self._code.stocks:
            self._write_integration(dt, fast=fast)
        for name, local in self._code.memory_names.items():
            self._out.line(f"{local} = n{local}", name)

    def _write_integration(self, dt: str, *, fast: bool) -> None:
        if self._code.method == "euler":
            if self._code.families.stocks:
                self._out.line(f"h = asarray({dt})")
            for owner, local, rate in self._rates():
                length = dt if isinstance(owner, str) else "h"
                self._out.line(f"{local} = {local} + {length} * {rate}", owner)
                self._write_floor(owner, local)
            return
        start = "start" if fast else "t0"
        levels = self._levels()
        moving = [name for name in self._code.order if name in self._code.moving]
        timed = any(needs_time(self._code.code(name)) for name in (*moving, *self._code.stocks))
        for owner, local in levels:
            self._out.line(f"a{local} = {local}", owner)
        for stage, (offset, share) in enumerate(
            [("", ""), ("0.5", f"0.5 * {dt}"), ("0.5", f"0.5 * {dt}"), ("1.0", dt)]
        ):
            if stage:
                for owner, local in levels:
                    self._out.line(f"{local} = a{local} + {share} * r{stage}{local}", owner)
                if timed:
                    self._out.line(f"t = {start} + (n + {offset}) * {dt}")
                self._write_variables(moving, records=False)
            for owner, local in levels:
                self._write_rate(owner, f"r{stage + 1}{local}")
        for owner, local in levels:
            slopes = f"r1{local} + 2.0 * r2{local} + 2.0 * r3{local} + r4{local}"
            self._out.line(f"{local} = a{local} + {dt} / 6.0 * ({slopes})", owner)
            self._write_floor(owner, local)

    def _write_floor(self, owner: Level, local: str) -> None:
        """Write that a stock doesn't fall below zero; either all of a block do or none."""
        if isinstance(owner, tuple):
            if owner[0] in self._code.program.floors:
                self._out.line(f"{local} = where({local} < 0.0, 0.0, {local})", owner)
        elif owner in self._code.program.floors:
            self._out.line(f"if {local} < 0.0: {local} = 0.0", owner)

    def _levels(self) -> list[tuple[Level, str]]:
        """Return stocks, and blocks of stocks, with their local names."""
        stocks, place = self._code.stock_names, self._code.families.place
        alone: list[tuple[Level, str]] = [item for item in stocks.items() if item[0] not in place]
        return alone + [(block.names, block.local) for block in self._code.families.stocks]

    def _rates(self) -> list[tuple[Level, str, str]]:
        """Return each stock's net flow, computed beforehand if it reads stocks that may change before it."""
        result: list[tuple[Level, str, str]] = []
        for owner, local in self._levels():
            rate = f"r{local}"
            if isinstance(owner, str):
                part = self._code.fragments[owner]
                if not (reads(self._code.code(owner), self._code.stock_names) - {owner} or part.prelude):
                    for line in part.statements:
                        self._out.line(line, owner)
                    result.append((owner, local, part.value))
                    continue
            self._write_rate(owner, rate)
            result.append((owner, local, rate))
        return result

    def _write_rate(self, owner: Level, target: str) -> None:
        """Write the net flow of a stock, or those of a block of stocks."""
        if isinstance(owner, str):
            part = self._code.fragments[owner]
            for line in part.statements:
                self._out.line(line, owner)
            self._out.line(f"{target} = {part.value}", owner)
            return
        groups = self._code.families.groups
        if owner[0] not in groups or not groups[owner[0]].whole:
            self._out.line(f"{target} = empty({len(owner)})")
        for position, name in enumerate(owner):
            group = groups.get(name)
            if group is None:
                self._write_rate(name, f"{target}[{position}]")
            elif group.names[0] == name:
                self._write_group(group, group.within(target))
