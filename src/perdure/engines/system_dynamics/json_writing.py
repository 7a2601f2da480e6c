"""JSON writing: a model as the JSON model that `sources.json_model` reads, where that can say it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from perdure.engines.system_dynamics.elements import Element, Stock
from perdure.engines.system_dynamics.expression import Expression, Lookup, Number, Operation, as_expression
from perdure.engines.system_dynamics.model import Model
from perdure.engines.system_dynamics.titles import title_of
from perdure.errors import UnservableModel

__all__ = ["document_of"]

_BINARY = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "div", "modulo": "mod", "power": "pow",
    "equal": "eq", "not_equal": "neq", "less": "lt", "less_equal": "lte", "greater": "gt",
    "greater_equal": "gte", "and": "and", "or": "or",
}  # fmt: skip
_SAME = """
    abs arccos arcsin arctan beta binomial ceil combinations cos coswave delay dt exp exprnd factorial floor
    gammaln geometric invnorm ln log10 logistic lognormal max min montecarlo negbinomial normal normalcdf
    pareto permutations poisson pulse round sin sinwave smooth sqrt starttime step stoptime tan time
    trend triangular uniform weibull
"""
_CALLS = {name: name for name in _SAME.split()} | {"gamma": "gamma_dist"}
_KINDS = {
    "stock": "stocks",
    "flow": "flows",
    "biflow": "biflows",
    "converter": "converters",
    "constant": "constants",
}


def document_of(model: Model) -> dict[str, Any]:
    """Return the JSON model of a model; `Model.from_json` gives a model of the same identity.

    Raises
    ------
    UnservableModel
        If it has what a JSON model can't say; the error lists all with the element.
    """
    problems: list[tuple[int, str, str]] = []
    if model.method != "euler":
        problems.append((0, "", "a JSON model is integrated with Euler's method"))
    entities: dict[str, list[dict[str, Any]]] = {kind: [] for kind in _KINDS.values()}
    for element in model.elements.values():
        if element.shape.axes:
            continue  # Its cells have the equations.
        try:
            entities[_KINDS[element.kind]].append(_entity(element))
        except _Unsaid as error:
            problems.append((0, element.name, str(error)))
    if problems:
        shown = "; ".join(f"{name}: {reason}" if name else reason for _, name, reason in problems[:20])
        raise UnservableModel(name=model.name, problems=shown, found=[list(problem) for problem in problems])
    specs = {"starttime": model.starttime, "stoptime": model.stoptime, "dt": model.dt}
    if model.save_every is not None:
        specs["timestep"] = model.save_every
    return {
        "name": model.name,
        "specs": specs,
        "entities": entities,
        "graphical_functions": {
            name: {"points": [list(point) for point in table]} for name, table in model.tables().items()
        },
    }


class _Unsaid(Exception):
    """What a JSON model has no node for."""


def _entity(element: Element) -> dict[str, Any]:
    if element.equation is None and not isinstance(element, Stock):
        raise _Unsaid("it has no equation")
    equation = as_expression(0.0 if element.equation is None else element.equation)
    entity: dict[str, Any] = {"name": element.name, "equation": _node(equation)}
    if isinstance(element, Stock):
        if element.non_negative:
            raise _Unsaid("it is a stock that doesn't fall below zero")
        entity["initial_value"] = _node(as_expression(element.initial_value))
    return entity


def _node(expression: Expression) -> dict[str, Any]:
    """Return the node of an expression; without recursion, as sums may be long."""
    done: list[dict[str, Any]] = []
    todo: list[Expression | tuple[Operation | Lookup, int]] = [expression]
    while todo:
        each = todo.pop()
        if isinstance(each, tuple):
            whole, count = each
            operands = done[len(done) - count :]
            del done[len(done) - count :]
            done.append(
                _lookup(whole, operands)
                if isinstance(whole, Lookup)
                else _operation(whole.operator, operands)
            )
        elif isinstance(each, Operation) and each.seed is not None:
            raise _Unsaid("a JSON model has no seeds of its own for random numbers")
        elif isinstance(each, Operation):
            todo += ((each, len(each.operands)), *reversed(each.operands))
        elif isinstance(each, Lookup):
            todo += ((each, 1), each.operand)
        elif isinstance(each, Number):
            done.append(_literal(each.value))
        elif isinstance(each, Element):
            done.append({"type": "ref", "name": each.name})
        else:
            raise _Unsaid(f"a JSON model has no node for {title_of(each)}")
    return done[0]


def _literal(value: float) -> dict[str, Any]:
    if math.isfinite(value):
        return {"type": "literal", "value": value}
    if value != value:
        return _call("nan", [])
    return _call("inf", []) if value > 0.0 else _operation("negate", [_call("inf", [])])


def _call(function: str, arguments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"type": "call", "function": function, "args": list(arguments)}


def _operation(operator: str, operands: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if operator in _BINARY:
        return {"type": "binary_op", "op": _BINARY[operator], "left": operands[0], "right": operands[1]}
    if operator in ("negate", "not"):
        return {"type": "unary_op", "op": "neg" if operator == "negate" else "not", "operand": operands[0]}
    if operator == "if":
        return {"type": "if", "condition": operands[0], "then": operands[1], "else": operands[2]}
    if operator in _CALLS:
        return _call(_CALLS[operator], operands)
    raise _Unsaid(f"a JSON model has no function {operator!r}")


def _lookup(node: Lookup, operands: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if not isinstance(node.points, str) or node.kind != "continuous":
        raise _Unsaid(
            "a JSON model has graphical functions by name only, linear and constant beyond their ends"
        )
    return _call("lookup", [operands[0], {"type": "literal", "value": node.points}])
