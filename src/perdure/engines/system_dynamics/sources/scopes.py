"""Scopes: what names mean in one use of a part of a form, with the cells of each variable."""

from dataclasses import dataclass, field

from perdure.engines.system_dynamics.expression import Expression
from perdure.engines.system_dynamics.sources.dimensions import Cell
from perdure.engines.system_dynamics.sources.form import Curve, Equation, Part, Variable, canonical
from perdure.engines.system_dynamics.sources.problems import Known

__all__ = ["Scope", "Symbol"]


@dataclass(eq=False, slots=True)
class Symbol:
    """A variable where it is used: its cells with what reads them, and its curves.

    `dimensions` are the canonical names of its dimensions, `shown` its name in the model. `definitions` are
    its equations where they are written out. `connected` is the symbol that gives its values, if a module
    connection does.
    """

    variable: Variable
    scope: "Scope"
    shown: str
    dimensions: tuple[str, ...]
    cells: dict[Cell, Expression] = field(default_factory=dict)
    curves: dict[Cell, tuple[str | None, Curve]] = field(default_factory=dict)
    definitions: dict[Cell, tuple[object, Equation]] = field(default_factory=dict)
    connected: "Symbol | None" = None


class Scope:
    """The names of one use of a part.

    Parameters
    ----------
    path
        The names of the modules from the root to here.
    parent
        The scope of the part that holds the module; None for the root, and for a macro call.
    part
        The part.

    Attributes
    ----------
    lost
        The names of modules whose part isn't there, which is among the problems.
    """

    def __init__(
        self, path: tuple[str, ...] = (), parent: "Scope | None" = None, part: Part | None = None
    ) -> None:
        self.path = path
        self.parent = parent
        self.part = part
        self.symbols: dict[str, Symbol] = {}
        self.modules: dict[str, Scope] = {}
        self.lost: set[str] = set()

    @property
    def root(self) -> "Scope":
        """The scope of the root part."""
        return self if self.parent is None else self.parent.root

    def find(self, name: str) -> Symbol | None:
        """Return what a name means here: a variable, or ``module.variable``; a leading dot is the root.

        Raises
        ------
        Known
            If it is in a module that is lost.
        """
        key = canonical(name)
        if key in self.symbols:
            return self.symbols[key]
        if key.startswith("."):
            return self.root.find(key[1:])
        head, dot, rest = key.partition(".")
        while dot:
            if head in self.modules and (found := self.modules[head].find(rest)) is not None:
                return found
            if head in self.lost:
                raise Known(f"the module {head!r} isn't there")
            # Names may hold dots of their own.
            more, dot, rest = rest.partition(".")
            head = f"{head}.{more}"
        return None
