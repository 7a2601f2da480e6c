"""Families: cells of arrays that are kept together, and computed together where their codes are alike.

A block is all cells of one array that a step needs, kept in one NumPy array in the order of the cells. A
group is a run of cells of a block whose codes differ only in the cells that they read, each operand in one
block: one expression over arrays computes it. Cells of a block that are in no group are computed one by one,
and so is everything that is in no block.

All cells of a group have the same distance from what reads nothing else of the same step. So groups never
depend on each other in circles, as their cells don't.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from perdure.engines.system_dynamics.compiling.array_code import computable
from perdure.engines.system_dynamics.compiling.program import Program, references

__all__ = ["Block", "Families", "Group", "found_families"]

LEAST_CELLS = 64
"""The least cells of a block and of a group; NumPy is slower than Python for fewer."""

_BRACKETS = re.compile(r"\[[^\[\]]*\]")


@dataclass(frozen=True, eq=False, slots=True)
class Block:
    """Cells that are kept in the NumPy array `local`."""

    local: str
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Group:
    """Cells of a block, from the one at `first` on, that one expression computes."""

    block: Block
    first: int
    names: tuple[str, ...]

    def within(self, local: str) -> str:
        """Return the same part of another array of the block's size."""
        return local if self.whole else f"{local}[{self.first}:{self.first + len(self.names)}]"

    @property
    def whole(self) -> bool:
        """Whether it is the whole block."""
        return len(self.names) == len(self.block.names)


@dataclass(frozen=True, slots=True)
class Families:
    """The blocks of a compiled program, and the groups in them.

    Attributes
    ----------
    stocks, variables, constants
        The blocks of each kind of variable.
    place
        The block and the position of each cell in a block.
    groups
        The group of each cell in a group.
    order
        The variables that aren't stocks, in an order in which groups can be computed as a whole.
    """

    order: tuple[str, ...]
    stocks: tuple[Block, ...] = ()
    variables: tuple[Block, ...] = ()
    constants: tuple[Block, ...] = ()
    place: Mapping[str, tuple[Block, int]] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)


def found_families(
    program: Program,
    order: Sequence[str],
    needs: Callable[[str], Collection[str]],
    needed: Collection[str],
    wanted: Sequence[Collection[str]],
) -> Families:
    """Return the families of a program.

    Parameters
    ----------
    order
        The variables that aren't stocks, in an order in which they can be evaluated.
    needs
        Returns what a variable needs of the same step.
    needed
        The variables that any step evaluates.
    wanted
        Those that every step evaluates; a group is in each of these sets as a whole or not at all.
    """
    candidates = _candidates(program, [name for name in order if name in needed])
    if not any(candidates.values()):
        return Families(tuple(order))
    levels = _levels(order, needs)
    kinds = {name: definition.kind for name, definition in program.definitions.items()}

    def alike(name: str) -> object:
        return kinds[name] == "flow", levels.get(name), *(name in each for each in wanted)

    templates = _Templates(program)
    while True:
        place = {
            name: (block, i)
            for blocks in candidates.values()
            for block in blocks
            for i, name in enumerate(block.names)
        }
        groups = {
            block: _groups(block, templates, place, alike)
            for kind in ("stocks", "variables")
            for block in candidates[kind]
        }
        runs = [run for found in groups.values() for run in found]
        read = {place[name][0] for run in runs for name in _read(program, run, place)}
        kept = {
            kind: [
                block
                for block in blocks
                if (
                    block in read
                    if kind == "constants"
                    else 2 * sum(len(group.names) for group in groups[block]) >= len(block.names)
                )
            ]
            for kind, blocks in candidates.items()
        }
        if kept == candidates:
            return Families(
                order=tuple(sorted(order, key=levels.__getitem__) if place else order),
                stocks=tuple(candidates["stocks"]),
                variables=tuple(candidates["variables"]),
                constants=tuple(candidates["constants"]),
                place=place,
                groups={name: group for group in runs for name in group.names},
            )
        candidates = kept


def positions(program: Program, names: Sequence[str]) -> list[list[str]]:
    """Return, for each variable that the code of a group reads, what it is for each cell of the group."""
    return [
        list(read)
        for read in zip(*(references(program.definitions[name].code) for name in names), strict=True)
    ]


def _candidates(program: Program, order: Sequence[str]) -> dict[str, list[Block]]:
    """Return all arrays that are large enough, their cells in the order in which the model has them."""
    rank = {name: i for i, name in enumerate(program.kinds)}
    made: dict[str, list[Block]] = {}
    for kind, letter, names in (
        ("stocks", "S", program.stocks),
        ("variables", "V", order),
        ("constants", "C", program.constants),
    ):
        stems: dict[tuple[str, bool], list[str]] = {}
        for name in names:
            stem = _BRACKETS.sub("[]", name)
            if stem != name:
                stems.setdefault((stem, name in program.floors), []).append(name)
        large = [cells for _, cells in sorted(stems.items()) if len(cells) >= LEAST_CELLS]
        made[kind] = [
            Block(
                f"{letter}{i}",
                tuple(sorted(cells, key=lambda name: (rank.get(program.owner(name), 0), name))),
            )
            for i, cells in enumerate(large)
        ]
    return made


def _levels(order: Sequence[str], needs: Callable[[str], Collection[str]]) -> dict[str, int]:
    """Return how many variables each one needs in a row; what a delay breaks comes later in the order."""
    levels: dict[str, int] = {}
    for name in order:
        levels[name] = 1 + max((levels[each] for each in needs(name) if each in levels), default=-1)
    return levels


class _Templates:
    """What the codes of cells have in common: the code without the names of what it reads."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._known: dict[tuple[object, ...], bool] = {}

    def of(self, name: str) -> tuple[tuple[object, ...], list[str]] | None:
        """Return the template of a cell and the names that it reads; None if NumPy can't compute it."""
        code = self._program.definitions[name].code
        template = tuple(
            (operator, arity, None if operator == "element" else repr(data)) for operator, arity, data in code
        )
        if template not in self._known:
            self._known[template] = computable(code)
        return (template, list(references(code))) if self._known[template] else None


def _groups(
    block: Block,
    templates: _Templates,
    place: Mapping[str, tuple[Block, int]],
    alike: Callable[[str], object],
) -> list[Group]:
    found: list[Group] = []
    run: list[str] = []
    first, common = 0, None

    def end() -> None:
        if len(run) >= LEAST_CELLS:
            found.append(Group(block, first, tuple(run)))

    for i, name in enumerate(block.names):
        template = templates.of(name)
        key = None
        if template is not None:
            key = (
                alike(name),
                template[0],
                [place[each][0] if each in place else each for each in template[1]],
            )
        if key is None or key != common:
            end()
            run, first, common = [], i, key
        if key is not None:
            run.append(name)
    end()
    return found


def _read(program: Program, group: Group, place: Mapping[str, tuple[Block, int]]) -> list[str]:
    """Return a cell of each block of which the cells of a group read different ones."""
    return [read[0] for read in positions(program, group.names) if read[0] in place and len(set(read)) > 1]
