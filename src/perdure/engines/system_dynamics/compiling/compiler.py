"""The compiler: turns a program and the order of its variables into straight-line Python over floats.

Five functions are made when they are first needed. ``begin`` evaluates initial values; ``step`` evaluates one
grid point and advances to the next; ``observe`` evaluates one grid point only; ``run`` takes many steps in
one loop; ``advance`` does the same without outputs. All do the same arithmetic in the same order, so a run
has the same bits however it is cut into calls.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np

from perdure.engines.system_dynamics.compiling.codegen import Names, fragment
from perdure.engines.system_dynamics.compiling.naming import CompiledNames, Method
from perdure.engines.system_dynamics.compiling.part_writer import Part, PartWriter
from perdure.engines.system_dynamics.compiling.program import Code, Program
from perdure.engines.system_dynamics.compiling.writer import Owner, Writer, function_of

__all__ = ["Compiled", "Method", "Part", "compile_program", "constant_value"]

FILENAME = "<compiled model>"
_KEPT = 64


class Compiled:
    """A program compiled for one method and one list of outputs; shared by all runs that use these.

    Attributes
    ----------
    names
        What the functions take and return, and in which order.
    """

    def __init__(self, names: CompiledNames) -> None:
        self.names = names
        self._factories: dict[Part, Callable[..., Any]] = {}
        self._owners: dict[Part, list[Owner]] = {}

    @property
    def vectorized(self) -> bool:
        """Whether it computes with arrays, whose warnings are to be ignored."""
        return bool(self.names.families.place)

    def factory(self, part: Part) -> Callable[..., Any]:
        """Return the function that binds `part` to a run's specs, delays, keys, functions and own tables, and
        to the names of the outputs.
        """
        if part not in self._factories:
            writer, names = Writer(), self.names
            PartWriter(names, writer).write(part)
            self._owners[part] = writer.owners
            constants = {name: np.array(cells) for cells, name in names.positions.items()}
            constants |= {
                name: np.array(float(text.strip("()")))
                for text, name in names.scalars.items()
                if text[0] != "c"
            }
            self._factories[part] = function_of(
                writer.lines, f"{FILENAME}:{part}", names.program.model_name, constants
            )
        return self._factories[part]

    def owner(self, filename: str, line: int, position: int = 0) -> str | None:
        """Return the user's element that a line of compiled text belongs to; of a group, the one there."""
        for part, owners in self._owners.items():
            if filename == f"{FILENAME}:{part}":
                owner = owners[line - 1]
                name = owner[position] if isinstance(owner, tuple) else owner
                return None if name is None else self.names.program.owner(name)
        return None


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
        compiled = program.compiled[key] = Compiled(CompiledNames(program, method, outputs, broken))
    assert isinstance(compiled, Compiled)
    return compiled


def constant_value(code: Code, specs: Mapping[str, float]) -> float:
    """Evaluate code that is made of numbers and the run specs ``t0``, ``dt`` and ``stop`` only."""
    part = fragment(code, "", Names({}, {}, {}, {}, {}, {}, {}, count(), "t"))
    lines = ["def bind(t0, dt, stop):", *(f" {line}" for line in part.statements), f" return {part.value}"]
    return float(function_of(lines, FILENAME, "")(**specs))
