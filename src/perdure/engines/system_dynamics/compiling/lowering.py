"""Lowering: turns the expressions of a model's elements into the postfix code of its program.

Nothing here recurses, so Python's stack limits neither long chains nor deep expressions.
"""

from collections.abc import Mapping
from typing import NamedTuple

from perdure.engines.system_dynamics.arrays import Spread, summarized
from perdure.engines.system_dynamics.compiling.program import (
    DRAWS,
    LOOKUPS,
    Code,
    Definition,
    Delay,
    Instruction,
    Program,
    Remembered,
    UserFunction,
    initial_name,
)
from perdure.engines.system_dynamics.elements import RESERVED, Element, Stock
from perdure.engines.system_dynamics.expression import (
    AnyModel,
    DotProduct,
    Expression,
    FunctionCall,
    Hidden,
    Lookup,
    Memory,
    Number,
    Operation,
    Recall,
    Reference,
    Summary,
    as_expression,
)
from perdure.engines.system_dynamics.model_elements import ModelElements
from perdure.engines.system_dynamics.points import Points, filled
from perdure.engines.system_dynamics.shapes import as_text
from perdure.errors import ModelError, UnknownElement, nearest

__all__ = ["lower"]

_TIMED = (
    frozenset(
        {
            "element",
            "time",
            "step",
            "pulse",
            "interval",
            "intervals",
            "sinwave",
            "coswave",
            "call",
            "delay",
            "recall",
        }
    )
    | DRAWS
    | LOOKUPS.keys()
)
_MOST_INSTRUCTIONS = 1_000_000


def lower(model: ModelElements, functions: Mapping[str, UserFunction], impure: frozenset[str]) -> Program:
    """Return the program of a model.

    Parameters
    ----------
    model
        Its elements and points.
    functions
        Its user functions by name.
    impure
        The names of those that were declared impure.

    Raises
    ------
    UnknownElement
        If an equation uses an element of another model.
    ModelError
        If an equation uses something else of another model, or has too many operations.
    """
    missing = frozenset(
        element.name
        for element in model.elements.values()
        if not element.arrayed
        and not (element.defined if isinstance(element, Stock) else element.equation is not None)
    )
    lowering = _Lowering(model, functions)
    constants: dict[str, float] = {}
    for name, element in model.elements.items():
        if name in missing or not element.has_value:
            continue
        equation = as_expression(0.0 if element.equation is None else element.equation)
        if element.overridable:
            assert isinstance(equation, Number)
            constants[name] = equation.value
            continue
        lowering.pending.append((name, element.kind, name, equation))
        if isinstance(element, Stock):
            lowering.add_initial(name, name, as_expression(element.initial_value))
    lowering.run()
    return Program(
        model_name=model.name,
        kinds={name: element.kind for name, element in model.elements.items()},
        constants=constants,
        definitions=lowering.definitions,
        initials=lowering.initials,
        delays=lowering.delays,
        functions=lowering.functions,
        impure=impure & lowering.functions.keys(),
        missing=missing,
        missing_tables=lowering.missing_tables,
        memories=lowering.memories,
        floors=frozenset(name for name, stock in model.stocks.items() if stock.non_negative),
    )


class _Lowering:
    """Turns the expressions of one model into definitions."""

    def __init__(self, model: ModelElements, functions: Mapping[str, UserFunction]) -> None:
        self.model = model
        self.known_functions = functions
        self.pending: list[tuple[str, str, str, Expression]] = []
        self.definitions: dict[str, Definition] = {}
        self.initials: dict[str, Definition] = {}
        self.delays: dict[str, Delay] = {}
        self.memories: dict[str, Remembered] = {}
        self.hidden: set[str] = set()
        self.functions: dict[str, UserFunction] = {}
        self.tables = filled(model.points)
        self.missing_tables: dict[str, tuple[str, str | None]] = {}

    def add_initial(self, name: str, owner: str, expression: Expression) -> None:
        self.pending.append((initial_name(name), "initial", owner, expression))

    def run(self) -> None:
        while self.pending:
            name, kind, owner, expression = self.pending.pop()
            definition = Definition(name, kind, owner, self._lower(name, owner, expression))
            (self.initials if kind == "initial" else self.definitions)[name] = definition

    def _lower(self, name: str, owner: str, expression: Expression) -> Code:
        code: list[Instruction] = []
        ordinals: dict[str, int] = {}

        def ordinal(what: str) -> int:
            ordinals[what] = ordinals.get(what, 0) + 1
            return ordinals[what]

        todo: list[Expression | Instruction | _DelayEnd] = [expression]
        while todo:
            node = todo.pop()
            if len(code) > _MOST_INSTRUCTIONS:
                raise ModelError(
                    f"The equation of {owner!r} has more than {_MOST_INSTRUCTIONS:,} operations; "
                    "put parts that it uses repeatedly into converters."
                )
            if isinstance(node, Instruction):
                code.append(node)
            elif isinstance(node, Operation):  # here, since most nodes are instructions and operations
                self._check_model(node.model, f"sd.{node.operator}", owner)
                if node.operator in ("smooth", "trend"):
                    hidden = f"{RESERVED}{node.operator} {ordinal(node.operator)} of {name}"
                    todo.append(self._average(hidden, owner, node))
                elif node.operator == "delay":
                    delay = f"{RESERVED}delay {ordinal('delay')} of {name}"
                    todo += [_DelayEnd(delay, owner, node, len(code)), node.operands[1]]
                else:
                    draw: float | str | None = float(ordinal("draw")) if node.operator in DRAWS else None
                    if draw is not None and node.seed is not None:
                        draw = f"{draw:.0f} {node.seed}"
                    todo.append(Instruction(node.operator, len(node.operands), draw))
                    todo += reversed(node.operands)
            elif isinstance(node, Number):
                code.append(Instruction("number", 0, node.value))
            elif isinstance(node, Reference):
                code.append(Instruction("element", 0, node.name))
            elif isinstance(node, Element):
                code.append(Instruction("element", 0, self._own(node, owner)))
            elif isinstance(node, Lookup):
                self._note_points(node.points, owner)
                lookup = "lookup" if node.kind == "continuous" else f"lookup_{node.kind}"
                todo += [Instruction(lookup, 1, node.points), node.operand]
            elif isinstance(node, Hidden):
                self._enter(node, owner)
                code.append(Instruction("element", 0, node.name))
            elif isinstance(node, Recall):
                self._remember(node.memory, owner)
                todo.append(Instruction("recall", len(node.operands), f"{node.read} {node.memory.name}"))
                todo += reversed(node.operands)
            elif isinstance(node, FunctionCall):
                self._check_model(node.model, f"the function {node.function!r}", owner)
                self.functions[node.function] = self.known_functions[node.function]
                todo.append(Instruction("call", len(node.operands), node.function))
                for operand in reversed(node.operands):
                    todo += [operand] if node.elementwise else reversed(_handed_over(operand, owner))
            elif isinstance(node, Summary):
                todo.append(summarized(node, f"the equation of {owner!r}"))
            elif isinstance(node, DotProduct):
                todo.append(Spread(node, f"the equation of {owner!r}").product(node))
            elif isinstance(node, _DelayEnd):
                code[node.start :] = self._delay(node, tuple(code[node.start :]))
            else:
                raise ModelError(
                    f"The equation of {owner!r} holds {node!r}, which isn't part of the language."
                )
        return tuple(code)

    def _delay(self, end: "_DelayEnd", duration: Code) -> Code:
        """Enter a delay into the program and return the code that reads it."""
        fixed = not any(instruction.operator in _TIMED for instruction in duration)
        input_, initial = end.node.operands[0], end.node.operands[2:]
        if initial:
            self.add_initial(end.name, end.owner, initial[0])
        self.delays[end.name] = Delay(
            name=end.name,
            owner=end.owner,
            input=self._variable(f"{RESERVED}input of {end.name}", end.owner, input_),
            duration=duration if fixed else None,
            initial=initial_name(end.name) if initial else None,
        )
        read = Instruction("delay", 0 if fixed else 1, end.name)
        return (read,) if fixed else (*duration, read)

    def _enter(self, node: Hidden, owner: str) -> None:
        """Enter a hidden variable into the program, once however often it is read."""
        for each in (node, *node.beside):
            if each.name not in self.hidden:
                self.hidden.add(each.name)
                self.pending.append((each.name, each.kind, owner, each.expression))
                if each.initial is not None:
                    self.add_initial(each.name, owner, each.initial)

    def _remember(self, memory: Memory, owner: str) -> None:
        """Enter a memory into the program, once however often it is read."""
        if memory.name in self.hidden:
            return
        self.hidden.add(memory.name)
        for i, initial in enumerate(memory.initials):
            self.add_initial(f"{i} of {memory.name}", owner, initial)
        self.memories[memory.name] = Remembered(
            name=memory.name,
            owner=owner,
            kind=memory.kind,
            inputs=tuple(
                self._variable(f"{RESERVED}input {i} of {memory.name}", owner, value)
                for i, value in enumerate(memory.inputs)
            ),
            initials=tuple(initial_name(f"{i} of {memory.name}") for i in range(len(memory.initials))),
        )

    def _average(self, hidden: str, owner: str, node: Operation) -> Expression:
        """Enter the hidden stock of an exponential average and return what reads it."""
        input_, averaging_time, initial = node.operands
        signal = Reference(self._variable(f"{RESERVED}input of {hidden}", owner, input_))
        period = Reference(self._variable(f"{RESERVED}time of {hidden}", owner, averaging_time))
        average = Reference(hidden)
        self.pending.append((hidden, "stock", owner, (signal - average) / period))
        self.add_initial(hidden, owner, initial)
        return average if node.operator == "smooth" else (signal - average) / (average * period)

    def _variable(self, hidden: str, owner: str, expression: Expression) -> str:
        """Return the name of a variable with the value of `expression`, which may be a new hidden one."""
        if isinstance(expression, Element):
            return self._own(expression, owner)
        self.pending.append((hidden, "converter", owner, expression))
        return hidden

    def _own(self, element: Element, owner: str) -> str:
        own = self.model.elements.get(element.name)
        if own is None or (own is not element and not own.model.copy_of(element.model)):
            known = nearest(element.name, self.model.elements)
            raise UnknownElement(user=repr(owner), name=element.name, suggestion=known)
        if own.arrayed and not own.defined_alone:
            raise ModelError(
                f"The equation of {owner!r} uses the array {own.name!r} as a single value; name one of its "
                f"cells, {own.cell_names()}, or set up arrays before the equations that use them."
            )
        return element.name

    def _note_points(self, points: str | Points, owner: str) -> None:
        if isinstance(points, str) and points not in self.tables:
            self.missing_tables[points] = owner, nearest(points, self.tables)

    def _check_model(self, model: AnyModel | None, what: str, owner: str) -> None:
        if model is not None and not model.copy_of(self.model):
            raise ModelError(
                f"In the equation of {owner!r}, {what} belongs to another model, {model.name!r}."
            )


def _handed_over(operand: Expression, owner: str) -> list[Expression | Instruction]:
    """Return the parts of a function's argument: of an array its cells, and what makes a list of them."""
    spread = Spread(operand, f"the equation of {owner!r}")
    if not spread.shape.axes:
        return [operand]
    cells = [cell for _, cell in spread.cells()]
    return [*cells, Instruction("array", len(cells), as_text(spread.shape))]


class _DelayEnd(NamedTuple):
    """Marks the end of the code of a delay's duration, which begins at `start`."""

    name: str
    owner: str
    node: Operation
    start: int
