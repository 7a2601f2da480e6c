"""Expressions: the parts of an equation before it is compiled.

An expression is a frozen tree of numbers, elements and operations. Operators on elements and expressions
build larger expressions; nothing is computed here. What an expression over arrays means is stated by
`arrays`; `lowering` lowers the trees to the intermediate form.
"""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Literal, Protocol, TypeAlias, Union

from perdure.engines.system_dynamics.shapes import Index, Shape
from perdure.errors import ModelError

__all__ = [
    "AnyModel",
    "DotProduct",
    "Expression",
    "FunctionCall",
    "Hidden",
    "Lookup",
    "Memory",
    "Number",
    "Operand",
    "Operation",
    "Recall",
    "Reference",
    "Summary",
    "Variable",
    "as_expression",
]

Operand: TypeAlias = Union["Expression", float]
"""An operand of an equation: an element, an expression or a number (a bool counts as 1.0 or 0.0)."""


class AnyModel(Protocol):
    """What expressions and elements need of the model that they belong to; `Model` has it."""

    name: str

    def copy_of(self, other: Any, /) -> bool:
        """Return whether one of the two models is a copy of the other."""
        ...

    def changed(self) -> None:
        """Forget what was compiled."""
        ...

    def program(self) -> "EquationTexts":
        """Return the equations as text."""
        ...

    def evaluate_equation(self, name: str, t: float) -> float:
        """Return the value of an element at `t`."""
        ...

    def element_of(self, kind: Any, name: str, /) -> Any:
        """Return the element `name` of a kind, made if it doesn't exist."""
        ...

    def windows(
        self,
        names: Sequence[str],
        starttime: float | None = None,
        stoptime: float | None = None,
        dt: float | None = None,
    ) -> list[dict[float, float]]:
        """Return time → value of each element."""
        ...


class EquationTexts(Protocol):
    """The equations of a model as text."""

    def text(self, name: str) -> str:
        """Return the equation of an element."""
        ...


class Expression:
    """A part of an equation; its operators build larger expressions.

    ``==`` and ``!=`` build comparisons too, so expressions are hashed by identity, and ``x in expressions``
    doesn't test membership.
    """

    __slots__ = ()
    # NumPy's scalars then leave ``np.float64(2) * element`` to the element.
    __array_ufunc__ = None
    __hash__ = object.__hash__

    def __add__(self, other: Operand) -> "Operation":
        return _binary("add", self, other)

    def __radd__(self, other: Operand) -> "Operation":
        return _binary("add", other, self)

    def __sub__(self, other: Operand) -> "Operation":
        return _binary("subtract", self, other)

    def __rsub__(self, other: Operand) -> "Operation":
        return _binary("subtract", other, self)

    def __mul__(self, other: Operand) -> "Operation":
        return _binary("multiply", self, other)

    def __rmul__(self, other: Operand) -> "Operation":
        return _binary("multiply", other, self)

    def __truediv__(self, other: Operand) -> "Operation":
        return _binary("divide", self, other)

    def __rtruediv__(self, other: Operand) -> "Operation":
        return _binary("divide", other, self)

    def __mod__(self, other: Operand) -> "Operation":
        return _binary("modulo", self, other)

    def __rmod__(self, other: Operand) -> "Operation":
        return _binary("modulo", other, self)

    def __pow__(self, other: Operand) -> "Operation":
        return _binary("power", self, other)

    def __rpow__(self, other: Operand) -> "Operation":
        return _binary("power", other, self)

    def __neg__(self) -> "Operation":
        return Operation("negate", (self,))

    def __pos__(self) -> "Expression":
        return self

    def __abs__(self) -> "Operation":
        return Operation("abs", (self,))

    def __lt__(self, other: Operand) -> "Operation":
        return _binary("less", self, other)

    def __le__(self, other: Operand) -> "Operation":
        return _binary("less_equal", self, other)

    def __gt__(self, other: Operand) -> "Operation":
        return _binary("greater", self, other)

    def __ge__(self, other: Operand) -> "Operation":
        return _binary("greater_equal", self, other)

    def __eq__(self, other: object) -> Any:
        if not isinstance(other, Expression | Real):
            return NotImplemented
        return _binary("equal", self, other)

    def __ne__(self, other: object) -> Any:
        if not isinstance(other, Expression | Real):
            return NotImplemented
        return _binary("not_equal", self, other)

    @property
    def parts(self) -> tuple["Expression", ...]:
        """The operands."""
        return ()

    def with_parts(self, parts: tuple["Expression", ...]) -> "Expression":
        """Return the same for other operands."""
        return self

    # Of arrays; each value is computed in the order of the cells ------------------------------------------

    def dot(self, other: Operand) -> "DotProduct":
        """The product of two arrays over the last axis of this and the first one of `other`.

        Of two vectors it is a single value. A single value and an array are multiplied cell by cell.
        """
        return DotProduct(self, as_expression(other, "a dot product"))

    def arr_sum(self, dimension: int | str = "*") -> "Summary":
        """The sum of all cells. `dimension` is "*" or the number of axes, as in BPTK-Py."""
        return Summary("arr_sum", self, dimension=dimension)

    def arr_prod(self, dimension: int | str = "*") -> "Summary":
        """The product of all cells. `dimension` is "*" or the number of axes, as in BPTK-Py."""
        return Summary("arr_prod", self, dimension=dimension)

    def arr_mean(self) -> "Summary":
        """The mean of all cells."""
        return Summary("arr_mean", self)

    def arr_median(self) -> "Summary":
        """The median of all cells."""
        return Summary("arr_median", self)

    def arr_stddev(self) -> "Summary":
        """The standard deviation of all cells, as of a whole population."""
        return Summary("arr_stddev", self)

    def arr_min(self) -> "Summary":
        """The smallest cell."""
        return Summary("arr_min", self)

    def arr_max(self) -> "Summary":
        """The largest cell."""
        return Summary("arr_max", self)

    def arr_size(self) -> "Summary":
        """The length of the first axis."""
        return Summary("arr_size", self)

    def arr_rank(self, rank: Operand) -> "Summary":
        """The cell of this rank, the largest being 1; the smallest one for ranks that there aren't."""
        return Summary("arr_rank", self, rank=as_expression(rank, "a rank"))

    def __bool__(self) -> bool:
        raise ModelError(
            "Expressions and comparisons have no truth value while the model is being built. In equations "
            "use sd.min and sd.max in place of min and max, sd.If in place of if, and sd.And, sd.Or and "
            "sd.Not in place of and, or and not; tell elements apart with `is`."
        )


class Variable(Expression):
    """An expression with a name, which may be an array; `Element` is the one that models have."""

    __slots__ = ()
    shape: Shape
    """The array's shape, or SCALAR."""

    @abstractmethod
    def cell(self, index: Index) -> Expression:
        """Return the cell at an index of the shape."""


@dataclass(frozen=True, eq=False, slots=True)
class Number(Expression):
    """A number written in an equation."""

    value: float


@dataclass(frozen=True, eq=False, slots=True)
class Reference(Expression):
    """The value of a variable that lowering created, by its name."""

    name: str


@dataclass(frozen=True, eq=False, slots=True)
class Operation(Expression):
    """An operator or function of the language applied to operands.

    `model` is the model it was built for, where a function of the language takes one; `lowering` checks that
    the equation belongs to the same model. `seed` is that of a random draw, if it isn't the run's: it repeats
    in all runs.
    """

    operator: str
    operands: tuple[Expression, ...]
    model: AnyModel | None = None
    seed: int | None = None

    @property
    def parts(self) -> tuple[Expression, ...]:
        return self.operands

    def with_parts(self, parts: tuple[Expression, ...]) -> Expression:
        return replace(self, operands=parts)


@dataclass(frozen=True, eq=False, slots=True)
class Lookup(Expression):
    """A graphical function of an operand: the name of points of the model, or points of its own."""

    operand: Expression
    points: str | tuple[tuple[float, float], ...]
    kind: str = "continuous"

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.operand,)

    def with_parts(self, parts: tuple[Expression, ...]) -> Expression:
        return replace(self, operand=parts[0])


@dataclass(frozen=True, eq=False, slots=True)
class Hidden(Expression):
    """The value of a hidden variable, by a name that begins with `RESERVED` and is unique in the model.

    `expression` is the net flow of a ``stock``, the value of a ``converter``; it may read the variable
    itself with a `Reference`. `initial` is the value at the start; a converter has one where its value must
    be known before those that its expression reads. `beside` are hidden variables that these expressions
    read by their names.
    """

    name: str
    kind: str
    expression: Expression
    initial: Expression | None = None
    beside: tuple["Hidden", ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Memory:
    """A part that remembers a list of numbers, see `memories` for its kinds.

    `inputs` are read at each grid point, `initials` once, at the start. The name is unique in the model.
    """

    name: str
    kind: str
    inputs: tuple[Expression, ...]
    initials: tuple[Expression, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Recall(Expression):
    """What a memory answers: the name of one of the reads of its kind, applied to operands."""

    memory: Memory
    read: str
    operands: tuple[Expression, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class FunctionCall(Expression):
    """A call of a user function by its name in the model.

    Arrays are passed cell by cell, which makes an array of calls, or else as a whole.
    """

    model: AnyModel
    function: str
    operands: tuple[Expression, ...]
    elementwise: bool = True

    @property
    def parts(self) -> tuple[Expression, ...]:
        return self.operands

    def with_parts(self, parts: tuple[Expression, ...]) -> Expression:
        return replace(self, operands=parts)


SummaryName: TypeAlias = Literal[
    "arr_sum",
    "arr_prod",
    "arr_mean",
    "arr_median",
    "arr_stddev",
    "arr_min",
    "arr_max",
    "arr_size",
    "arr_rank",
]


@dataclass(frozen=True, eq=False, slots=True)
class Summary(Expression):
    """One number computed from all cells of an array."""

    operator: SummaryName
    operand: Expression
    rank: Expression | None = None
    dimension: int | str = "*"

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.operand,) if self.rank is None else (self.operand, self.rank)


@dataclass(frozen=True, eq=False, slots=True)
class DotProduct(Expression):
    """The product of two arrays over the axis where they meet."""

    left: Expression
    right: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.left, self.right)


def as_expression(value: object, where: str = "an equation") -> Expression:
    """Return `value` as an expression; raise `ModelError` if it is neither one nor a number."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, Real):
        try:
            return Number(float(value))
        except OverflowError:
            raise ModelError(f"The number {value!r:.40} in {where} is too large for a float.") from None
    raise ModelError(
        f"{where[0].upper()}{where[1:]} is made of numbers, elements and expressions, not of {value!r:.80} "
        f"({type(value).__name__})."
    )


def operands(values: Iterable[object], where: str) -> tuple[Expression, ...]:
    """Return each of `values` as an expression."""
    return tuple(as_expression(value, where) for value in values)


def _binary(operator: str, left: object, right: object) -> Operation:
    a, b = as_expression(left), as_expression(right)
    if isinstance(a, Variable) and isinstance(b, Variable):
        # Other combinations are checked once they are somebody's equation.
        one, other = a.shape.first(), b.shape.first()
        if one.axes and other.axes and not one.fits(other):
            raise ModelError(f"{a} and {b} are arrays of different shapes: {a.shape} and {b.shape}.")
    return Operation(operator, (a, b))
