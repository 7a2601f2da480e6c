"""The intermediate form of a model: every equation as postfix code over named variables.

A program is the meaning of a model, without run specs: names are resolved, `smooth` and `trend` are hidden
stocks, and each delay and each memory is an entry of its own. `lowering` makes it, `order` sorts it,
`compiler` turns it into Python, `fingerprint` hashes it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from perdure.engines.system_dynamics.elements import RESERVED, Kind
from perdure.engines.system_dynamics.points import TABLE_KINDS, Points, TableKind

__all__ = [
    "DRAWS",
    "LOOKUPS",
    "Code",
    "Definition",
    "Delay",
    "Instruction",
    "Program",
    "Remembered",
    "UserFunction",
    "initial_name",
    "recalled",
    "references",
]

DRAWS = frozenset(
    {
        "beta", "binomial", "exprnd", "gamma", "geometric", "logistic", "lognormal", "montecarlo",
        "negbinomial", "normal", "pareto", "poisson", "triangular", "uniform", "weibull",
    }
)  # fmt: skip
"""The operators that draw random numbers."""

LOOKUPS: Mapping[str, TableKind] = {
    "lookup" if kind == "continuous" else f"lookup_{kind}": kind for kind in TABLE_KINDS
}
"""The operators that read a table, with how they read its points."""

UserFunction: TypeAlias = Callable[..., float]


class Instruction(NamedTuple):
    """One step of postfix code: pop `arity` values, apply `operator`, push one value.

    `data` is the value of a ``number``, the name of an ``element``, the points or their name of a ``lookup``,
    the name of a ``call`` or a ``delay``, what is read of a memory and its name for a ``recall``, the
    ordinal of a random draw within its variable, and after a blank its seed, if it has one.
    """

    operator: str
    arity: int = 0
    data: float | str | Points | None = None


Code: TypeAlias = tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """A variable with its code. `owner` is the user's element that it belongs to.

    The code of a stock is its net flow. An ``initial`` is evaluated once, at the start.
    """

    name: str
    kind: str
    owner: str
    code: Code


@dataclass(frozen=True, slots=True)
class Delay:
    """A delay: the variable whose past it reads, and its duration if that is fixed by the run specs."""

    name: str
    owner: str
    input: str
    duration: Code | None
    initial: str | None


@dataclass(frozen=True, slots=True)
class Remembered:
    """A memory: its kind, the variables that it reads at each grid point, and its initial values."""

    name: str
    owner: str
    kind: str
    inputs: tuple[str, ...]
    initials: tuple[str, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Program:
    """A model's meaning.

    `constants` are the elements that may be overridden: constants, and converters that are a bare number.
    `floors` are the stocks that don't fall below zero.
    `missing` are the elements without an equation, `missing_tables` the tables without points that lookups
    read, each with the element that reads it and a suggestion. `compiled` is a cache of the compiler, `parts`
    one of `gaps`.
    """

    model_name: str
    kinds: Mapping[str, Kind]
    constants: Mapping[str, float]
    definitions: Mapping[str, Definition]
    initials: Mapping[str, Definition]
    delays: Mapping[str, Delay]
    functions: Mapping[str, UserFunction]
    impure: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()
    missing_tables: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    memories: Mapping[str, Remembered] = field(default_factory=dict)
    floors: frozenset[str] = frozenset()
    compiled: dict[Any, Any] = field(default_factory=dict)
    parts: dict[Any, "Program"] = field(default_factory=dict)

    @property
    def stocks(self) -> list[str]:
        """The names of all stocks, hidden ones too, sorted."""
        return sorted(name for name, definition in self.definitions.items() if definition.kind == "stock")

    def owner(self, name: str) -> str:
        """Return the user's element that the variable `name` belongs to."""
        definition = self.definitions.get(name) or self.initials.get(name) or self.memories.get(name)
        return name if definition is None else definition.owner

    def text(self, name: str) -> str:
        """Return the equation of an element as text; ``None`` if it has none."""
        if name in self.constants:
            return repr(self.constants[name])
        stack: list[str] = []
        for operator, arity, data in self.definitions[name].code if name in self.definitions else ():
            operands = stack[len(stack) - arity :]
            del stack[len(stack) - arity :]
            if operator == "number":
                stack.append(repr(data))
            elif operator == "element":
                stack.append(str(data))
            else:
                named = [repr(data)] if isinstance(data, str | tuple) else []
                stack.append(f"{operator}({', '.join(operands + named)})")
        return stack[0] if stack else "None"


def initial_name(name: str) -> str:
    """Return the name of the initial value of the stock or delay `name`."""
    return f"{RESERVED}initial {name}"


def recalled(instruction: Instruction) -> tuple[str, str]:
    """Return what a ``recall`` reads, and the name of the memory."""
    read, _, name = str(instruction.data).partition(" ")
    return read, name


def references(code: Iterable[Instruction]) -> Iterator[str]:
    """Yield the names of the variables that `code` reads at the same time."""
    return (str(data) for operator, _, data in code if operator == "element")
