"""Code generation: postfix code as Python expressions and the statements they need.

Generated text consists of names made here, numbers and operators; it never contains text from the model. A
deeply nested expression is split into statements, because Python's parser and compiler limit nesting. Within
a branch of an ``if``, these statements stay in the branch, so that only the chosen branch is evaluated.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from perdure.engines.system_dynamics.compiling.formulas import FORMULAS
from perdure.engines.system_dynamics.compiling.program import (
    DRAWS,
    LOOKUPS,
    Code,
    Instruction,
    recalled,
    references,
)
from perdure.engines.system_dynamics.compiling.summaries import SUMMARIES
from perdure.engines.system_dynamics.points import Points, TableKind
from perdure.engines.system_dynamics.shapes import Shape, from_text

__all__ = ["COMPARISONS", "FUNCTIONS", "Fragment", "Names", "fragment"]

_MAX_DEPTH = 40

_BINARY = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "modulo": "%",
}
COMPARISONS = {
    "less": "<",
    "less_equal": "<=",
    "greater": ">",
    "greater_equal": ">=",
    "equal": "==",
    "not_equal": "!=",
}
FUNCTIONS = {
    name: name
    for name in (
        "exp", "sqrt", "ln", "log10", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "floor", "ceil",
        "abs", "factorial", "combinations", "permutations", "gammaln", "invnorm", "normalcdf", "sinh", "cosh",
        "tanh", "truncate", "quantum", "quotient", "remainder", "xidz", "sort_order", "sort_rank",
        "element_at", "vector_select", "inverse", "allocate_available", "allocate_by_priority",
        "market_price", "share_at_price",
    )
} | {"round": "round_to"} | {name: name for name in FORMULAS}  # fmt: skip
_RUN_SPECS = {"time": "t", "dt": "dt", "starttime": "t0", "stoptime": "stop"}
_WAVES = ("sinwave", "coswave")
_INTERVALS = ("interval", "intervals")


@dataclass(slots=True)
class Names:
    """The local names of a compiled program's parts."""

    variables: Mapping[str, str]
    tables: Mapping[tuple[str, TableKind], str]
    own: dict[tuple[Points, TableKind] | Shape, str]
    functions: Mapping[str, str]
    delays: Mapping[str, str]
    memories: Mapping[str, str]
    draws: dict[tuple[str, float | str], str]
    counter: Iterator[int]
    grid_time: str
    cells: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """The array and the position of each variable that is kept in one."""

    def own_part(self, part: tuple[Points, TableKind] | Shape) -> str:
        return self.own.setdefault(part, f"g{len(self.own)}")

    def draw(self, variable: str, ordinal: float | str) -> str:
        return self.draws.setdefault((variable, ordinal), f"k{len(self.draws)}")


@dataclass(slots=True)
class Fragment:
    """A Python expression, the functions and statements before it, and what kind of value it has."""

    text: str
    depth: int = 0
    boolean: bool = False
    number: float | None = None
    cell: tuple[str, int] | None = None
    prelude: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)

    @property
    def statements(self) -> list[str]:
        """All that comes before the expression."""
        return [*self.functions, *self.prelude]

    @property
    def value(self) -> str:
        """The text of the value as a float."""
        return f"(1.0 if {self.text} else 0.0)" if self.boolean else self.text

    @property
    def condition(self) -> str:
        """The text of the value as a condition."""
        return self.text if self.boolean else f"({self.text} != 0.0)"


def fragment(code: Code, variable: str, names: Names) -> Fragment:
    """Return the Python for the code of `variable`."""
    stack: list[Fragment] = []
    for instruction in code:
        arity = instruction.arity
        operands = stack[len(stack) - arity :]
        del stack[len(stack) - arity :]
        stack.append(_shallow(_apply(instruction, operands, variable, names), names))
    (result,) = stack
    return result


def needs_time(code: Code) -> bool:
    """Whether the Python for `code` uses the time."""
    return any(i.operator in ("time", "step", "pulse", "call", *_WAVES, *_INTERVALS) for i in code)


def reads(code: Code, stocks: Mapping[str, str]) -> set[str]:
    """Return the stocks that `code` reads directly."""
    return {name for name in references(code) if name in stocks}


def _apply(instruction: Instruction, operands: list[Fragment], variable: str, names: Names) -> Fragment:
    operator, _, data = instruction
    if operator == "number":
        assert isinstance(data, float)
        return Fragment(_number(data), number=data)
    if operator == "element":
        return Fragment(names.variables[str(data)], cell=names.cells.get(str(data)))
    if operator in _RUN_SPECS:
        return Fragment(_RUN_SPECS[operator])
    if operator in ("if", "and", "or"):
        return _branching(operator, operands, names)
    values = [operand.value for operand in operands]
    boolean = False
    match operator:
        case "not":
            text, boolean = f"(not {operands[0].condition})", True
        case "negate":
            text = f"(-{values[0]})"
        case "power":
            exponent = operands[1].number
            # A whole exponent can't give a complex number.
            whole = exponent is not None and exponent.is_integer()
            text = f"({values[0]} ** {values[1]})" if whole else f"power({values[0]}, {values[1]})"
        case "max" | "min":
            text = _extremum(operator, values)
        case "step":
            text = f"({values[0]} if t - {values[1]} > tolerance else 0.0)"
        case _ if operator in LOOKUPS:
            kind = LOOKUPS[operator]
            table = (
                names.tables[data, kind] if isinstance(data, str) else names.own_part((_points(data), kind))
            )
            text = f"{table}({values[0]})"
        case "call":
            text = f"{names.functions[str(data)]}({', '.join(['t', *values])})"
        case "array":
            text = f"{names.own_part(from_text(str(data)))}({', '.join(values)})"
        case _ if operator in SUMMARIES:
            text = _summary(operator, operands, values)
        case "delay":
            text = f"{names.delays[str(data)]}({', '.join(['n', *values])})"
        case "recall":
            read, name = recalled(instruction)
            text = f"{names.memories[name]}_{read}({', '.join([names.variables[name], 'dt', *values])})"
        case _ if operator in _BINARY:
            text = f"({values[0]} {_BINARY[operator]} {values[1]})"
        case _ if operator in COMPARISONS:
            text, boolean = f"({values[0]} {COMPARISONS[operator]} {values[1]})", True
        case _ if operator in DRAWS:
            assert isinstance(data, float | str)
            extra = ["dt"] if operator == "montecarlo" else []
            text = f"{operator}({', '.join([names.draw(variable, data), 'n', *values, *extra])})"
        case "pulse":
            text = f"pulse({', '.join([names.grid_time, 'dt', 'tolerance', *values])})"
        case _ if operator in _INTERVALS:
            text = f"{operator}({', '.join([names.grid_time, 'dt', *values])})"
        case _ if operator in _WAVES:
            text = f"{operator}({', '.join(['t', 't0', *values])})"
        case _:
            text = f"{FUNCTIONS[operator]}({', '.join(values)})"
    depth = max((operand.depth for operand in operands), default=0) + 1
    prelude = _joined([operand.prelude for operand in operands])
    functions = _joined([operand.functions for operand in operands])
    return Fragment(text, depth, boolean, prelude=prelude, functions=functions)


def _summary(operator: str, operands: list[Fragment], values: list[str]) -> str:
    """Return a summary of cells, which may be consecutive cells of one array."""
    cells = [operand.cell for operand in operands]
    first = cells[0]
    if first is None or cells != [(first[0], first[1] + i) for i in range(len(cells))]:
        return f"{operator}(({', '.join(values)},))"
    part = f"{first[0]}[{first[1]}:{first[1] + len(cells)}]"
    match operator:
        # These add and multiply in the order of the cells, which NumPy's sum and prod don't.
        case "array_sum":
            return f"{part}.cumsum().item(-1)"
        case "array_product":
            return f"{part}.cumprod().item(-1)"
        case "array_mean":
            return f"({part}.cumsum().item(-1) / {len(cells)})"
    return f"{operator}({part}.tolist())"


def _joined(parts: list[list[str]]) -> list[str]:
    """Return the lines of all parts; extends those of the first, so that long sums take linear time."""
    lines: list[str] = []
    for part in parts:
        if lines:
            lines += part
        else:
            lines = part
    return lines


def _shallow(part: Fragment, names: Names) -> Fragment:
    """Assign a deeply nested part to a name."""
    if part.depth <= _MAX_DEPTH:
        return part
    name = f"x{next(names.counter)}"
    part.prelude.append(f"{name} = {part.text}")
    return Fragment(name, 0, part.boolean, prelude=part.prelude, functions=part.functions)


def _branching(operator: str, operands: list[Fragment], names: Names) -> Fragment:
    """Return the Python for a condition; only the chosen branch is evaluated."""
    condition = operands[0]
    branches = [_lazy(operand, names) for operand in operands[1:]]
    depth = max(operand.depth for operand in (condition, *branches)) + 1
    functions = _joined([condition.functions, *(branch.functions for branch in branches)])
    if operator == "if":
        text = f"({branches[0].value} if {condition.condition} else {branches[1].value})"
        return Fragment(text, depth, prelude=condition.prelude, functions=functions)
    text = f"({condition.condition} {operator} {branches[0].condition})"
    return Fragment(text, depth, boolean=True, prelude=condition.prelude, functions=functions)


def _lazy(branch: Fragment, names: Names) -> Fragment:
    """Return a branch without preceding statements: they move into a function that the branch calls."""
    if not branch.prelude:
        return branch
    name = f"x{next(names.counter)}"
    lines = [f"def {name}():", *(f" {line}" for line in branch.prelude), f" return {branch.text}"]
    branch.functions.extend(lines)
    return Fragment(f"{name}()", 1, branch.boolean, functions=branch.functions)


def _extremum(operator: str, values: list[str]) -> str:
    first, second = values
    if first.isidentifier() and second.isidentifier():
        # What Python's own max and min do, without the call.
        return f"({second} if {second} {'>' if operator == 'max' else '<'} {first} else {first})"
    return f"{operator}({first}, {second})"


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(value) if math.copysign(1.0, value) > 0.0 else f"({value!r})"
    if value != value:
        return "nan"
    return "inf" if value > 0.0 else "(-inf)"


def _points(data: object) -> Points:
    assert isinstance(data, tuple)
    return data
