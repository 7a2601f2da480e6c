"""Array code: postfix code of a group of cells as NumPy expressions, with the bits of Python's floats.

Sums, differences, products, quotients, comparisons, square roots and roundings have the same bits in NumPy
and in Python. ``max`` and ``min`` choose as Python does where an operand is nan or zero. What may differ in
the last bit (exp, ln, powers, sines …) is computed cell by cell with Python's functions. Of a condition both
branches are computed, but what would raise an error does so only for the cells that choose that branch.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perdure.engines.system_dynamics.compiling.codegen import COMPARISONS, FUNCTIONS, Names, fragment
from perdure.engines.system_dynamics.compiling.program import LOOKUPS, Code, Instruction

__all__ = ["ARRAY_NAMESPACE", "ArrayCode", "CellFailed", "array_code", "computable", "quiet"]

_MAX_DEPTH = 30
_ZERO = np.array(0.0)

_EXACT = {"add": "+", "subtract": "-", "multiply": "*"}
_CHECKED = {"divide": "/", "modulo": "%"}
_CALLED = {"sqrt": "array_sqrt", "floor": "array_floor", "ceil": "array_ceil", "abs": "abs"}
_FOLDED = {"array_sum": "+", "array_product": "*", "array_mean": "+"}
_SAFE = frozenset({"exp", "ln", "log10", "sin", "cos", "tan", "arcsin", "arccos", "arctan"} | LOOKUPS.keys())
"""What is computed cell by cell and never raises."""
_RISKY = frozenset({"power", "round"})
"""What is computed cell by cell, but not within a branch."""
_SPECS = frozenset({"time", "dt", "starttime", "stoptime"})
_HARMLESS = (
    _EXACT.keys() | _CALLED.keys() | COMPARISONS.keys() | _SAFE | _SPECS
    | {"number", "element", "negate", "not", "and", "or", "if", "max", "min", "step"}
)  # fmt: skip
"""What raises no errors for any operands."""
_ARRAYS = (
    _EXACT.keys() | _CHECKED.keys() | _CALLED.keys() | _FOLDED.keys() | COMPARISONS.keys() | _SAFE | _RISKY
    | {"number", "element", "negate", "not", "and", "or", "if", "max", "min", "step"}
    | {"array_max", "array_min"} | _SPECS
)  # fmt: skip


class CellFailed(Exception):
    """The computation of one cell of a group raised `reason`."""

    def __init__(self, position: int, reason: Exception) -> None:
        super().__init__(position, reason)
        self.position = position
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Node:
    """A part of a code: its instructions, the last of which is applied to the operands."""

    code: Code
    first_read: int  # the number of variables that the code before it reads
    operands: tuple["_Node", ...]
    depth: int


@dataclass(slots=True)
class _Value:
    text: str
    array: bool
    boolean: bool = False
    operand: str | None = None  # in place of the text, as an operand of an array

    @property
    def number(self) -> str:
        """The text of the value as numbers."""
        if not self.boolean:
            return self.operand or self.text
        return f"({self.text} * 1.0)" if self.array else f"(1.0 if {self.text} else 0.0)"


@dataclass(frozen=True, slots=True)
class ArrayCode:
    """The statements and the expression that compute a group of cells.

    `call` is the same expression as a function with its operands, if it is one operator.
    """

    lines: tuple[str, ...]
    text: str
    call: str | None = None

    def assigned(self, target: str) -> str:
        """Return the statement that assigns the group to a part of an array."""
        return f"{target} = {self.text}" if self.call is None else f"{self.call}, {target})"


def computable(code: Code) -> bool:
    """Whether a group of such codes can be computed by `array_code`."""
    if not all(instruction.operator in _ARRAYS for instruction in code):
        return False
    root = _tree(code)
    return root.depth <= _MAX_DEPTH and _risks_only_outside(root)


def array_code(
    code: Code,
    variable: str,
    names: Names,
    reads: Sequence[tuple[str, bool]],
    size: int,
    scalars: dict[str, str],
) -> ArrayCode:
    """Return the code of a group.

    Parameters
    ----------
    code
        The code of the first cell, whose name is `variable`.
    names
        The names of what is the same for all cells.
    reads
        For each variable that the code reads, the text of its values and whether that is an array.
    size
        The number of cells.
    scalars
        Text → name of the numbers and constants that are needed as arrays without dimensions, which NumPy
        computes with faster; new ones are added.
    """
    writer = _ArrayWriter(names, variable, reads, size, scalars)
    root = _tree(code)
    value = writer.write(root, None)
    if not value.array:
        return ArrayCode(tuple(writer.lines), f"full({size}, {value.number})")
    return ArrayCode(tuple(writer.lines), value.number, writer.call)


class _ArrayWriter:
    def __init__(
        self,
        names: Names,
        variable: str,
        reads: Sequence[tuple[str, bool]],
        size: int,
        scalars: dict[str, str],
    ) -> None:
        self.lines: list[str] = []
        self.call: str | None = None
        self._names = names
        self._variable = variable
        self._reads = reads
        self._size = size
        self._scalars = scalars

    def write(self, node: _Node, mask: str | None) -> _Value:
        """Return the value of a part; only errors of cells in the mask are raised."""
        operator, _, data = node.code[-1]
        count = sum(instruction.operator == "element" for instruction in node.code)
        if not any(array for _, array in self._reads[node.first_read : node.first_read + count]):
            return self._single(node, mask)
        if operator == "element":
            return _Value(self._reads[node.first_read][0], array=True)
        if operator == "if":
            return self._choice(node, mask)
        if operator in ("and", "or"):
            left = self._name(self._mask(self.write(node.operands[0], mask)))
            right = self._condition(
                self.write(node.operands[1], _both(mask, left if operator == "and" else f"~{left}"))
            )
            return _Value(f"({left} {'&' if operator == 'and' else '|'} {right})", array=True, boolean=True)
        values = [self.write(operand, mask) for operand in node.operands]
        self.call = None
        if operator == "not":
            return _Value(f"~{self._condition(values[0])}", array=True, boolean=True)
        texts = [value.number for value in values]
        if operator in _EXACT:
            self.call = f"{operator}({texts[0]}, {texts[1]}"
            return _Value(f"({texts[0]} {_EXACT[operator]} {texts[1]})", array=True)
        if operator in _CHECKED:
            return self._quotient(node, texts[0], values[1], mask)
        if operator in COMPARISONS:
            return _Value(f"({texts[0]} {COMPARISONS[operator]} {texts[1]})", array=True, boolean=True)
        if operator in _CALLED:
            return _Value(f"{_CALLED[operator]}({texts[0]})", array=True)
        if operator in _FOLDED:
            return self._folded(operator, texts)
        match operator:
            case "negate":
                return _Value(f"(-{texts[0]})", array=True)
            case "max" | "min" | "array_max" | "array_min":
                sign = ">" if operator.endswith("max") else "<"
                best = self._name(texts[0])
                for text in texts[1:]:
                    other = self._name(text)
                    best = self._name(f"where({other} {sign} {best}, {other}, {best})")
                return _Value(best, array=True)
            case "step":
                return _Value(f"where(t - {texts[1]} > tolerance, {texts[0]}, 0.0)", array=True)
        return self._each(node.code[-1], texts, values, data)

    def _condition(self, value: _Value) -> str:
        return value.text if value.boolean else f"({value.text} != 0.0)"

    def _name(self, text: str) -> str:
        """Return a name for a value that is used more than once."""
        if text.isidentifier():
            return text
        name = f"y{next(self._names.counter)}"
        self.lines.append(f"{name} = {text}")
        return name

    def _choice(self, node: _Node, mask: str | None) -> _Value:
        condition = self._name(self._mask(self.write(node.operands[0], mask)))
        first = self.write(node.operands[1], _both(mask, condition)).number
        second = self.write(node.operands[2], _both(mask, f"~{condition}")).number
        self.call = None
        return _Value(f"where({condition}, {first}, {second})", array=True)

    def _mask(self, value: _Value) -> str:
        """Return the text of a condition as an array, which can be negated."""
        text = self._condition(value)
        return text if value.array else f"full({self._size}, {text})"

    def _single(self, node: _Node, mask: str | None) -> _Value:
        """Return a value that is the same for all cells."""
        part = fragment(node.code, self._variable, self._names)
        self.lines += part.statements
        if len(node.code) == 1 and not part.boolean and (part.number is not None or part.text[0] == "c"):
            name = self._scalars.setdefault(part.text, f"z{len(self._scalars)}")
            return _Value(part.text, array=False, operand=name)
        if mask is None or all(instruction.operator in _HARMLESS for instruction in node.code):
            return _Value(part.text, array=False, boolean=part.boolean)
        # Where no cell chooses the branch, its errors aren't raised.
        return _Value(self._name(f"{part.value} if some({mask}) else 0.0"), array=False)

    def _quotient(self, node: _Node, dividend: str, divisor: _Value, mask: str | None) -> _Value:
        operator, _, data = node.operands[1].code[-1]
        sign = _CHECKED[node.code[-1].operator]
        text = divisor.number
        if divisor.array:
            text = self._name(text)
            if mask is None:
                zero, failing = f"{text} == 0.0", f"count_nonzero({text}) < {self._size}"
            else:
                zero = self._name(f"({text} == 0.0) & {mask}")
                failing = f"some({zero})"
            self.lines.append(f"if {failing}: divided_by_zero({zero})")
        elif operator != "number" or data == 0.0:
            whose = f"full({self._size}, True)" if mask is None else mask
            self.lines.append(f"if {self._name(divisor.text)} == 0.0: divided_by_zero({whose})")
        return _Value(f"({dividend} {sign} {text})", array=True)

    def _folded(self, operator: str, texts: list[str]) -> _Value:
        """Return a sum or product in the order of the operands."""
        total = texts[0]
        for i, text in enumerate(texts[1:]):
            total = f"({total} {_FOLDED[operator]} {text})"
            if i % _MAX_DEPTH == _MAX_DEPTH - 1:
                total = self._name(total)
        return _Value(f"({total} / {len(texts)})" if operator == "array_mean" else total, array=True)

    def _each(self, instruction: Instruction, texts: list[str], values: list[_Value], data: Any) -> _Value:
        """Return a function of each cell."""
        operator = instruction.operator
        if operator in LOOKUPS:
            kind = LOOKUPS[operator]
            function = (
                self._names.tables[data, kind]
                if isinstance(data, str)
                else self._names.own_part((data, kind))
            )
        elif operator == "power":
            function = "power"
        else:
            function = FUNCTIONS[operator]
        columns = [
            f"{text}.tolist()" if value.array else f"[{value.text}] * {self._size}"
            for text, value in zip(texts, values, strict=True)
        ]
        return _Value(f"each({function}, {', '.join(columns)})", array=True)


def _both(mask: str | None, condition: str) -> str:
    return condition if mask is None else f"({mask} & {condition})"


def _tree(code: Code) -> _Node:
    stack: list[tuple[_Node, int]] = []
    reads = 0
    for i, instruction in enumerate(code):
        arity = instruction.arity
        taken = stack[len(stack) - arity :]
        del stack[len(stack) - arity :]
        operands = tuple(node for node, _ in taken)
        start = taken[0][1] if taken else i
        first_read = operands[0].first_read if operands else reads
        depth = 1 + max((operand.depth for operand in operands), default=0)
        reads += instruction.operator == "element"
        stack.append((_Node(code[start : i + 1], first_read, operands, depth), start))
    ((root, _),) = stack
    return root


def _risks_only_outside(root: _Node) -> bool:
    """Whether no operation within a branch can raise an error."""
    todo = [(root, False)]
    while todo:
        node, branch = todo.pop()
        operator = node.code[-1].operator
        if branch and operator in _RISKY:
            return False
        lazy = operator in ("if", "and", "or")
        todo += [(operand, branch or (lazy and i > 0)) for i, operand in enumerate(node.operands)]
    return True


# What array code calls -------------------------------------------------------------------------------------


def array_sqrt(x: Any) -> Any:
    return np.where(x >= 0.0, np.sqrt(x), math.nan)


def array_floor(x: Any) -> Any:
    return np.floor(x) + 0.0  # Python's floor of -0.0 is 0


def array_ceil(x: Any) -> Any:
    return np.ceil(x) + 0.0


def not_negative(x: Any) -> Any:
    """Return a flow's values: 0.0 in place of what isn't above zero, -0.0 and nan included."""
    values = np.fmax(x, _ZERO)
    return np.add(values, _ZERO, values)


def some(cells: Any) -> bool:
    """Return whether the condition holds for one of the cells."""
    return bool(cells.any())


def divided_by_zero(cells: Any) -> None:
    """Raise the error of the first of these cells, if there is one."""
    if cells.any():
        raise CellFailed(int(cells.argmax()), ZeroDivisionError())


def each(function: Callable[..., float], *columns: Sequence[float]) -> Any:
    """Return the array of `function` of each cell."""
    try:
        return np.array(list(map(function, *columns)))
    except Exception:
        for position, operands in enumerate(zip(*columns, strict=True)):
            try:
                function(*operands)
            except Exception as error:
                raise CellFailed(position, error) from error
        raise


def quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that ignores NumPy's warnings: overflows are inf, as in Python."""

    def call(*arguments: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*arguments)

    return call


# NumPy's functions in C only, and functions of this module: others import modules when they are called first,
# which needs the names of the caller, and compiled equations have none.
ARRAY_NAMESPACE: Mapping[str, object] = {
    "array_sqrt": array_sqrt,
    "array_floor": array_floor,
    "array_ceil": array_ceil,
    "add": np.add,
    "asarray": np.asarray,
    "count_nonzero": np.count_nonzero,
    "divided_by_zero": divided_by_zero,
    "each": each,
    "empty": np.empty,
    "full": np.full,
    "multiply": np.multiply,
    "not_negative": not_negative,
    "some": some,
    "subtract": np.subtract,
    "where": np.where,
}
"""The names that array code can use, besides those of single values."""
