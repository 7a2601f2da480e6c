"""The fingerprint: identifies a model, independent of how it is written and of the version of Python.

It hashes the intermediate form in a canonical serialisation, and each user function with everything that it
reads: its syntax tree, defaults, closure, globals and imports.
"""

from collections.abc import Mapping
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from perdure.engines.system_dynamics.compiling.program import Definition, Instruction, Program
from perdure.engines.system_dynamics.identity.digest import Digest
from perdure.engines.system_dynamics.identity.libraries import top_level
from perdure.engines.system_dynamics.identity.reader import Reader
from perdure.engines.system_dynamics.points import Points
from perdure.errors import ModelError

__all__ = ["fingerprint"]

SEMANTICS = 1
"""The version of the language; raised whenever the same model would give other numbers."""


def fingerprint(
    program: Program,
    points: Mapping[str, Points],
    attributes: Mapping[str, Any],
) -> str:
    """Return the fingerprint of a program with its points, 32 hexadecimal digits.

    Parameters
    ----------
    program
        The intermediate form.
    points
        All points of the model.
    attributes
        The other attributes of the model that user functions can read; those that they name count.

    Raises
    ------
    ModelError
        If a user function's source can't be found, or what it reads can't be resolved or hashed.
    """
    digest = Digest()
    digest.add("semantics", SEMANTICS)
    definitions = dict(program.definitions)
    for name, value in sorted(program.constants.items()):
        if program.kinds[name] == "constant":
            digest.add("constant", name, value)
        else:
            definitions[name] = Definition(
                name, program.kinds[name], name, (Instruction("number", 0, value),)
            )
    for part in (definitions, program.initials):
        for name, definition in sorted(part.items()):
            digest.add(definition.kind, name)
            digest.code(definition.code)
    for name in sorted(program.missing):
        digest.add("missing", program.kinds[name], name)
    for name, delay in sorted(program.delays.items()):
        digest.add("delay", name, delay.input, delay.initial or "", delay.duration is None)
        digest.code(delay.duration or ())
    for name, memory in sorted(program.memories.items()):
        digest.add("memory", name, memory.kind, len(memory.inputs), *memory.inputs, *memory.initials)
    for name in sorted(program.floors):
        digest.add("floor", name)
    for name, pairs in sorted(points.items()):
        digest.add("points", name)
        digest.points(pairs)
    for name, function in sorted(program.functions.items()):
        impure = name in program.impure
        digest.add("impure function" if impure else "function", name)
        try:
            reader = Reader(digest, name, _home(function), impure=impure)
            reader.read(function, "itself")
            reader.read_named(attributes)
        except RecursionError:
            raise ModelError(
                f"The model can't be identified: what its function {name!r} reads is nested too deeply, or "
                "holds itself in a key or a set. Let it read flat data."
            ) from None
    return digest.hexdigest()


def _home(function: Any) -> str:
    """Return the top-level package that defines a function; all its modules are the modeller's own."""
    while isinstance(function, partial | MethodType):
        function = function.func if isinstance(function, partial) else function.__func__
    if isinstance(function, FunctionType):
        return top_level(str(function.__globals__.get("__name__", "")))
    return top_level(str(getattr(function, "__module__", "")))
