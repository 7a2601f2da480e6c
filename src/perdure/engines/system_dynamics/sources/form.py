"""The form of a model in a file: what XMILE and Vensim files say, before it is built into a `Model`.

A reader makes a form and resolves no names; `building` resolves them and makes the model. A form holds the
file's own names. Two names are the same if `canonical` gives the same for both.

What the file's language calls differently is named once here. Operators have the names that
`expression.Operation` has (``add``, ``less_equal``, ``if`` …), functions those of the table `builtins`.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from perdure.engines.system_dynamics.spellings import canonical

__all__ = [
    "Between",
    "Call",
    "Computed",
    "Conveyor",
    "Curve",
    "CurveKind",
    "Dimension",
    "Equation",
    "Form",
    "Item",
    "Leak",
    "Macro",
    "Module",
    "Name",
    "Node",
    "Number",
    "Operation",
    "Oven",
    "Part",
    "Queue",
    "Specs",
    "Structure",
    "Subscript",
    "Variable",
    "VariableKind",
    "Whole",
    "canonical",
]

# Expressions ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Number:
    """A number."""

    value: float


@dataclass(frozen=True, slots=True)
class Name:
    """A variable, a dimension (the index of the cell that is computed, from 1) or an element of one.

    A variable of a module is ``module.variable``; a leading dot begins at the root. An arrayed variable
    without subscripts stands for the cell of the same subscripts, or for all its cells in an array function.
    """

    name: str
    subscripts: tuple["Subscript", ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator of `expression.Operation` applied to operands."""

    operator: str
    operands: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function of `builtins`, of a macro, or of a variable that holds a curve.

    ``lookup`` takes a `Curve` or the `Name` of a variable that holds one, and then the argument.
    """

    function: str
    arguments: tuple["Node", ...] = ()


CurveKind: TypeAlias = Literal["continuous", "extrapolate", "discrete", "next", "raw"]


@dataclass(frozen=True, slots=True)
class Curve:
    """A graphical function, also a series of data over time.

    Attributes
    ----------
    points
        Pairs of x and y, sorted by x.
    kind
        ``continuous``: linear between points and constant beyond the ends. ``extrapolate``: the first and the
        last segment go on beyond the ends. ``discrete``: the y of the last point at or before x.
        ``next``: the y of the first point at or after x. ``raw``: the y of the point at x, otherwise nan.
    """

    points: tuple[tuple[float, float], ...]
    kind: CurveKind = "continuous"


Node: TypeAlias = Number | Name | Operation | Call | Curve
"""An expression."""


@dataclass(frozen=True, slots=True)
class Item:
    """A subscript by name or number: an element, or a dimension or subrange.

    A dimension stands for the cell that is computed, directly or through a mapping of dimensions. A number
    counts the elements from 1. In XMILE a name may also be that of a scalar variable, see `Computed`.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Whole:
    """All elements, for an array function: Vensim's ``D!`` with the name of D, XMILE's ``*`` without a name.

    In one call of an array function, equal names are one index. A `Whole` without a name is the index of its
    place: the n-th of the same dimension in each reference is one index.
    """

    name: str | None = None


@dataclass(frozen=True, slots=True)
class Between:
    """The elements from `first` to `last`, for an array function."""

    first: str
    last: str


@dataclass(frozen=True, slots=True)
class Computed:
    """The element whose position, from 1, is the value of an expression; zero outside the array."""

    expression: Node


Subscript: TypeAlias = Item | Whole | Between | Computed

# Variables --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dimension:
    """A dimension or a subrange of one.

    Attributes
    ----------
    elements
        The names of its elements in order. A subrange has elements of the dimension it belongs to; the
        dimension with the most elements is the whole.
    mappings
        Pairs of the name of another dimension and its elements that correspond to `elements` in order.
    aliases
        Further names of the same dimension (Vensim's ``<->``).
    """

    name: str
    elements: tuple[str, ...]
    mappings: tuple[tuple[str, tuple[str, ...]], ...] = ()
    aliases: tuple[str, ...] = ()
    line: int = 0


@dataclass(frozen=True, slots=True)
class Equation:
    """What one set of cells of a variable is.

    Attributes
    ----------
    subscripts
        One for each dimension of the variable: the name of a dimension, a subrange or an element. Empty for a
        scalar, and for all cells of an array.
    exceptions
        Cells that this equation leaves out, each written like `subscripts`.
    expression
        The value; of a stock its net flow besides those of `Variable.inflows` and `Variable.outflows`; with a
        curve, the argument of the curve. None: the curve alone, to be called, or nothing further.
    initial
        The initial value of a stock; of another variable the value at the start, if it differs.
    curve
        The graphical function that the expression goes through.
    line
        Its line in the file, 0 if that is unknown.
    accumulated
        Of a stock: whether the cells are stocks. Otherwise the expression is their value.
    """

    expression: Node | None = None
    subscripts: tuple[str, ...] = ()
    exceptions: tuple[tuple[str, ...], ...] = ()
    initial: Node | None = None
    curve: Curve | None = None
    line: int = 0
    accumulated: bool = True


@dataclass(frozen=True, slots=True)
class Conveyor:
    """A stock that material passes through in a fixed time.

    Attributes
    ----------
    transit
        The transit time, read when material enters; ``sample`` may say when it is read anew.
    capacity, inflow_limit
        Limits of the content and of the inflow; None for none.
    arrest
        While it isn't zero, the conveyor stands still.
    one_at_a_time, batch_integrity, exponential_leakage
        As in XMILE 1.0, section 3.7.2.
    """

    transit: Node
    capacity: Node | None = None
    inflow_limit: Node | None = None
    sample: Node | None = None
    arrest: Node | None = None
    one_at_a_time: bool = True
    batch_integrity: bool = False
    exponential_leakage: bool = False


@dataclass(frozen=True, slots=True)
class Queue:
    """A stock whose batches leave in the order in which they came."""


@dataclass(frozen=True, slots=True)
class Oven:
    """A stock that fills, processes one batch for `cook` and then empties."""

    cook: Node
    capacity: Node | None = None
    fill_time: Node | None = None
    clean_time: Node | None = None
    arrest: Node | None = None


Structure: TypeAlias = Conveyor | Queue | Oven


@dataclass(frozen=True, slots=True)
class Leak:
    """A flow out of the side of a conveyor: the fraction is the flow's equation.

    `start` and `end` are the parts of the transit, from 0 at the inlet to 1, between which it leaks.
    """

    integers: bool = False
    start: Node | None = None
    end: Node | None = None


VariableKind: TypeAlias = Literal["stock", "flow", "aux", "curve", "data"]


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a part of the model.

    Attributes
    ----------
    kind
        ``stock``, ``flow``, ``aux``, ``curve`` (to be called, without a value of its own) or ``data`` (a
        series that the file brings).
    dimensions
        The names of its dimensions or, where it has cells for a part only, subranges; empty for a scalar.
    inflows, outflows
        The names of a stock's flows, in the order of priority.
    non_negative
        Whether a stock or a flow stays at or above zero.
    structure
        What kind of stock it is, if it isn't a plain one.
    leak, overflow
        Of a flow: whether it leaks from a conveyor, or takes what does not fit in where it should go.
    multiplier
        Of a flow: what its value is multiplied by where it enters a stock.
    """

    name: str
    kind: VariableKind
    equations: tuple[Equation, ...] = ()
    dimensions: tuple[str, ...] = ()
    inflows: tuple[str, ...] = ()
    outflows: tuple[str, ...] = ()
    non_negative: bool = False
    structure: Structure | None = None
    leak: Leak | None = None
    overflow: bool = False
    multiplier: Node | None = None
    units: str = ""
    documentation: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Module:
    """A place where another part is used.

    `part` is the name of the part, None if it couldn't be read. `connections` are pairs of what is set in the
    part and where that comes from, each as a `Name` writes it from the part that holds the module.
    """

    name: str
    part: str | None
    connections: tuple[tuple[str, str], ...] = ()
    line: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """Variables and modules that see each other's names; the root part has the name ``""``.

    `file` is the file that it is from, if that isn't the model's own.
    """

    name: str = ""
    variables: tuple[Variable, ...] = ()
    modules: tuple[Module, ...] = ()
    line: int = 0
    file: str = ""


@dataclass(frozen=True, slots=True)
class Macro:
    """Variables that are made anew for each call.

    `results` are names of its variables; a call has the value of the first. `parameters` are the names by
    which the variables read the arguments.
    """

    name: str
    parameters: tuple[str, ...]
    results: tuple[str, ...]
    variables: tuple[Variable, ...]
    line: int = 0


# Files ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Specs:
    """The run specs; each may be an expression of variables that don't change.

    `save_every` is the time between two results, `pause` the time between two pauses of an interactive run;
    None for none. `method` is ``euler`` or ``rk4``.
    """

    start: Node = field(default_factory=lambda: Number(0.0))
    stop: Node = field(default_factory=lambda: Number(0.0))
    dt: Node = field(default_factory=lambda: Number(1.0))
    save_every: Node | None = None
    pause: Node | None = None
    method: Literal["euler", "rk4"] = "euler"
    time_units: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Form:
    """What a file says. The first of `parts` is the root."""

    name: str
    specs: Specs
    parts: tuple[Part, ...]
    dimensions: tuple[Dimension, ...] = ()
    macros: tuple[Macro, ...] = ()
