"""Gaps: what a model leaves undefined, and the part of it that can run without it.

A scenario may define a constant without a value and a table without points. What is still undefined, and
everything that needs it, is left out of the run; only a request for it is an error.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from perdure.engines.system_dynamics.compiling.program import (
    LOOKUPS,
    Code,
    Program,
    initial_name,
    recalled,
    references,
)
from perdure.errors import MissingEquation, UnknownElement

__all__ = ["runnable"]


def runnable(
    program: Program, constants: Collection[str], tables: Collection[str], outputs: Iterable[str]
) -> Program:
    """Return the part of a program that can be run.

    Parameters
    ----------
    program
        The program of the whole model.
    constants, tables
        Names that the run gives values and points to.
    outputs
        Names of the requested elements.

    Raises
    ------
    MissingEquation, UnknownElement
        If an output needs something undefined.
    """
    if not program.missing and not program.missing_tables:
        return program
    filled = program.missing.intersection(constants), frozenset(program.missing_tables).intersection(tables)
    part = program.parts.get(filled)
    if part is None:
        part = program.parts[filled] = _part(program, *filled)
    lacking = [name for name in outputs if name not in part.constants and name not in part.definitions]
    if lacking:
        raise _error(program, lacking, *filled)
    return part


def _part(program: Program, constants: Collection[str], tables: Collection[str]) -> Program:
    needs = _needs(program)
    users: dict[str, list[str]] = {}
    for name, needed in needs.items():
        for each in needed:
            users.setdefault(each, []).append(name)
    todo = [*(program.missing - set(constants)), *map(_table, program.missing_tables.keys() - set(tables))]
    lost: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in lost:
            lost.add(name)
            todo += users.get(name, ())
    nan = float("nan")  # never read: each of these constants is overridden
    return replace(
        program,
        constants={**program.constants, **dict.fromkeys(constants, nan)},
        definitions={name: d for name, d in program.definitions.items() if name not in lost},
        initials={name: d for name, d in program.initials.items() if name not in lost},
        delays={name: d for name, d in program.delays.items() if name not in lost},
        memories={name: m for name, m in program.memories.items() if name not in lost},
        missing=frozenset(),
        missing_tables={},
        compiled={},
        parts={},
    )


def _needs(program: Program) -> Mapping[str, list[str]]:
    """Return what each variable, initial value, delay and memory needs."""
    needs: dict[str, list[str]] = {}
    for definition in (*program.definitions.values(), *program.initials.values()):
        needs[definition.name] = _read(definition.code)
    for name in program.definitions:
        if initial_name(name) in needs:
            needs[name].append(initial_name(name))
            needs[initial_name(name)].append(name)
    for delay in program.delays.values():
        needs[delay.name] = [delay.input, *_read(delay.duration or ())]
        if delay.initial is not None:
            needs[delay.name].append(delay.initial)
            needs[delay.initial].append(delay.name)
    for memory in program.memories.values():
        needs[memory.name] = [*memory.inputs, *memory.initials]
        for initial in memory.initials:
            needs[initial].append(memory.name)
    return needs


def _read(code: Code) -> list[str]:
    """Return the variables, delays, memories and tables that `code` reads."""
    delays = [str(i.data) for i in code if i.operator == "delay"]
    memories = [recalled(i)[1] for i in code if i.operator == "recall"]
    tables = [_table(i.data) for i in code if i.operator in LOOKUPS and isinstance(i.data, str)]
    return [*references(code), *delays, *memories, *tables]


def _table(name: str) -> str:
    """Return a name for a table that no variable has."""
    return f"@points {name}"


def _error(
    program: Program, outputs: Iterable[str], constants: Collection[str], tables: Collection[str]
) -> MissingEquation | UnknownElement:
    needs, found, todo = _needs(program), set[str](), list(outputs)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += needs.get(name, ())
    missing = [name for name in program.kinds if name in found and name in program.missing - set(constants)]
    if missing:
        return MissingEquation(names=", ".join(map(repr, missing)))
    table = next(name for name in program.missing_tables if name not in tables and _table(name) in found)
    owner, suggestion = program.missing_tables[table]
    return UnknownElement(user=f"The lookup in {owner!r}", name=table, suggestion=suggestion)
