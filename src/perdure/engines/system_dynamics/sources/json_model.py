"""The JSON model: a model that a client sends or a file holds as data, translated into elements.

The form is BPTK's: entities with equations that are trees of nodes, each with a ``type``: ``literal``,
``ref``, ``binary_op``, ``unary_op``, ``call`` and ``if``. Nothing that a client sends is evaluated as code: a
tree becomes expressions of the language, whose compiler only writes generated names and numbers.
"""

from collections.abc import Callable, Mapping
from typing import Any

from perdure.engines.numbers import finite
from perdure.engines.system_dynamics import functions as sd
from perdure.engines.system_dynamics.expression import Operand, Operation, operands
from perdure.engines.system_dynamics.model_elements import ModelElements
from perdure.engines.system_dynamics.points import checked_points
from perdure.engines.system_dynamics.sources.specs import Times
from perdure.errors import ModelError, suggest

__all__ = ["MAX_DEPTH", "MAX_NODES", "fill"]

MAX_NODES = 20_000
MAX_DEPTH = 100

KINDS = ("stocks", "flows", "biflows", "converters", "constants")

Function = Callable[..., Operand]

_BINARY: Mapping[str, str] = {
    **dict.fromkeys(("add", "+"), "add"),
    **dict.fromkeys(("sub", "-"), "subtract"),
    **dict.fromkeys(("mul", "*"), "multiply"),
    **dict.fromkeys(("div", "/"), "divide"),
    **dict.fromkeys(("mod", "%"), "modulo"),
    **dict.fromkeys(("pow", "**", "^"), "power"),
    **dict.fromkeys(("eq", "=="), "equal"),
    **dict.fromkeys(("neq", "ne", "!="), "not_equal"),
    **dict.fromkeys(("lt", "<"), "less"),
    **dict.fromkeys(("lte", "le", "<="), "less_equal"),
    **dict.fromkeys(("gt", ">"), "greater"),
    **dict.fromkeys(("gte", "ge", ">="), "greater_equal"),
}
_LOGICAL: Mapping[str, Function] = {"and": sd.And, "or": sd.Or}

# Function → how many arguments it takes, at least and at most.
_PLAIN: Mapping[str, tuple[Function, int, int]] = {
    "abs": (sd.abs, 1, 1),
    "arccos": (sd.arccos, 1, 1),
    "arcsin": (sd.arcsin, 1, 1),
    "arctan": (sd.arctan, 1, 1),
    "beta": (sd.beta, 2, 2),
    "binomial": (sd.binomial, 2, 2),
    "ceil": (sd.ceil, 1, 1),
    "combinations": (sd.combinations, 2, 2),
    "cos": (sd.cos, 1, 1),
    "coswave": (sd.coswave, 2, 2),
    "exp": (sd.exp, 1, 1),
    "exprnd": (sd.exprnd, 1, 1),
    "factorial": (sd.factorial, 1, 1),
    "floor": (sd.floor, 1, 1),
    "gamma_dist": (sd.gamma, 1, 2),
    "gammaln": (sd.gammaln, 1, 1),
    "geometric": (sd.geometric, 1, 1),
    "inf": (sd.Inf, 0, 0),
    "invnorm": (sd.invnorm, 1, 3),
    "ln": (sd.ln, 1, 1),
    "log10": (sd.log10, 1, 1),
    "logistic": (sd.logistic, 2, 2),
    "lognormal": (sd.lognormal, 2, 2),
    "max": (sd.max, 2, 2),
    "min": (sd.min, 2, 2),
    "montecarlo": (sd.montecarlo, 1, 1),
    "nan": (sd.nan, 0, 0),
    "negbinomial": (sd.negbinomial, 2, 2),
    "normal": (sd.normal, 2, 2),
    "normalcdf": (sd.normalcdf, 2, 4),
    "pareto": (sd.pareto, 2, 2),
    "permutations": (sd.permutations, 2, 2),
    "pi": (sd.pi, 0, 0),
    "poisson": (sd.poisson, 1, 1),
    "random": (sd.random, 0, 2),
    "round": (sd.round, 2, 2),
    "sin": (sd.sin, 1, 1),
    "sinwave": (sd.sinwave, 2, 2),
    "sqrt": (sd.sqrt, 1, 1),
    "step": (sd.step, 2, 2),
    "tan": (sd.tan, 1, 1),
    "time": (sd.time, 0, 0),
    "triangular": (sd.triangular, 3, 3),
    "uniform": (sd.uniform, 0, 2),
    "weibull": (sd.weibull, 2, 2),
}

# These are called with the model before their arguments.
_OF_MODEL: Mapping[str, tuple[Function, int, int]] = {
    "delay": (sd.delay, 2, 3),
    "dt": (sd.dt, 0, 0),
    "pulse": (sd.pulse, 1, 3),
    "smooth": (sd.smooth, 3, 3),
    "starttime": (sd.starttime, 0, 0),
    "stoptime": (sd.stoptime, 0, 0),
    "trend": (sd.trend, 3, 3),
}


def fill(model: ModelElements, document: Any, *, max_nodes: int = MAX_NODES) -> Times:
    """Add what a JSON document says to an empty model, and return its run specs.

    Parameters
    ----------
    model
        The model; its name, elements and points are set.
    document
        ``name``, ``specs`` (``starttime``, ``stoptime``, ``dt``, and ``timestep``, the time between two
        results, if it isn't dt), ``entities`` (lists of ``name``,
        ``equation`` and, for stocks, ``initial_value``) and ``graphical_functions`` (name → ``points``).
    max_nodes
        How many nodes all equations together may have.

    Raises
    ------
    ModelError
        If the document isn't of that form, calls Python, or is larger than `max_nodes` or deeper than
        `MAX_DEPTH`.
    """
    document = _object(document, "model")
    specs = _object(document.get("specs"), "model.specs")
    numbers = {}
    for name in ("starttime", "stoptime", "dt", "timestep"):
        value = finite(specs.get(name))
        if value is None and (name != "timestep" or specs.get(name) is not None):
            raise ModelError(f"model.specs.{name} is a finite number, not {specs.get(name)!r:.80}.")
        numbers[name] = value
    model.name = f"{document.get('name', 'model')!s:.200}"
    _Translation(model, document, max_nodes)
    start, stop, dt = (numbers[name] or 0.0 for name in ("starttime", "stoptime", "dt"))
    return Times(start, stop, dt, numbers["timestep"], None, "euler", "")


class _Translation:
    """The translation of one document into a model."""

    def __init__(self, model: ModelElements, document: Mapping[str, Any], max_nodes: int) -> None:
        self.model = model
        self._max_nodes = max_nodes
        self._nodes = 0
        tables = _object(document.get("graphical_functions") or {}, "model.graphical_functions")
        for table, given in tables.items():
            where = f"model.graphical_functions[{table!r:.80}]"
            self.model.points[table] = checked_points(_object(given, where).get("points"), table)
        entities = _object(document.get("entities"), "model.entities")
        listed = [
            (kind, _object(entity, f"model.entities.{kind}"))
            for kind in KINDS
            for entity in _list(entities.get(kind) or [], f"model.entities.{kind}")
        ]
        for kind, entity in listed:
            self._declare(kind, entity)
        for _, entity in listed:
            self._define(entity)

    def _declare(self, kind: str, entity: Mapping[str, Any]) -> None:
        name = entity.get("name")
        if not isinstance(name, str) or name in self.model.elements:
            raise ModelError(f"An entity of model.entities.{kind} has no name of its own: {name!r:.80}.")
        match kind:
            case "stocks":
                self.model.stock(name)
            case "flows":
                self.model.flow(name)
            case "biflows":
                self.model.biflow(name)
            case "constants" if _is_literal(entity.get("equation")):
                self.model.constant(name)
            case _:
                self.model.converter(name)

    def _define(self, entity: Mapping[str, Any]) -> None:
        name = entity["name"]
        element = self.model.elements[name]
        where = f"the equation of {name!r:.80}"
        element.equation = self._expression(entity.get("equation"), where, 0)
        if "initial_value" in entity and element.kind == "stock":
            where = f"the initial value of {name!r:.80}"
            self.model.stock(name).initial_value = self._expression(entity["initial_value"], where, 0)

    def _expression(self, node: Any, where: str, depth: int) -> Operand:
        self._nodes += 1
        if self._nodes > self._max_nodes or depth > MAX_DEPTH:
            raise ModelError(f"A model has at most {self._max_nodes} nodes, nested at most {MAX_DEPTH} deep.")
        node = _object(node, where)
        match node.get("type"):
            case "literal":
                return _number(node.get("value"), where)
            case "ref":
                return self.model.elements[self.model.known(node.get("name"), _capital(where))]
            case "binary_op":
                operator = node.get("op")
                left, right = (
                    self._expression(node.get(side), where, depth + 1) for side in ("left", "right")
                )
                if isinstance(operator, str) and operator in _LOGICAL:
                    return _LOGICAL[operator](left, right)
                return Operation(_named(_BINARY, operator, "operator", where), operands((left, right), where))
            case "unary_op":
                operand = self._expression(node.get("operand"), where, depth + 1)
                if node.get("op") not in ("neg", "not", "-"):
                    raise ModelError(f"{_capital(where)} has an unknown operator {node.get('op')!r:.80}.")
                return (
                    sd.Not(operand)
                    if node["op"] == "not"
                    else Operation("negate", operands((operand,), where))
                )
            case "if":
                parts = (node.get("condition"), node.get("then"), node.get("else") or _ZERO)
                return sd.If(*(self._expression(part, where, depth + 1) for part in parts))
            case "call":
                return self._call(node, where, depth)
            case "py_callback":
                raise ModelError(
                    f"{_capital(where)} calls the Python function {node.get('name')!r:.80}, which isn't run "
                    "for a model that came over HTTP."
                )
            case other:
                raise ModelError(f"{_capital(where)} has a node of an unknown type {other!r:.80}.")

    def _call(self, node: Mapping[str, Any], where: str, depth: int) -> Operand:
        name = node.get("function")
        arguments = _list(node.get("args", []), f"the arguments of {name!r:.80}")
        if name == "lookup":
            return self._lookup(arguments, where, depth)
        function, least, most = _named({**_PLAIN, **_OF_MODEL}, name, "function", where)
        if not least <= len(arguments) <= most:
            count = f"{least}" if least == most else f"{least} to {most}"
            raise ModelError(f"{_capital(where)} calls {name} with {len(arguments)} arguments, not {count}.")
        given = [self._expression(argument, where, depth + 1) for argument in arguments]
        made: Operand = function(self.model, *given) if name in _OF_MODEL else function(*given)
        return made

    def _lookup(self, arguments: list[Any], where: str, depth: int) -> Operand:
        if len(arguments) != 2:
            raise ModelError(f"{_capital(where)} calls lookup with {len(arguments)} arguments, not 2.")
        table = _object(arguments[1], where).get("value")
        if not isinstance(table, str) or table not in self.model.points:
            known = suggest(str(table), self.model.points)
            raise ModelError(
                f"{_capital(where)} looks up {table!r:.80}, which isn't a graphical function.{known}"
            )
        return sd.lookup(self._expression(arguments[0], where, depth + 1), table)


_ZERO: Mapping[str, Any] = {"type": "literal", "value": 0.0}


def _is_literal(node: Any) -> bool:
    return isinstance(node, dict) and node.get("type") == "literal"


def _number(value: Any, where: str) -> float:
    number = finite(value)
    if number is None:
        raise ModelError(f"{_capital(where)} has a literal that isn't a finite number: {value!r:.80}.")
    return number


def _named(known: Mapping[str, Any], name: Any, what: str, where: str) -> Any:
    if not isinstance(name, str) or name not in known:
        raise ModelError(f"{_capital(where)} has an unknown {what} {name!r:.80}.{suggest(str(name), known)}")
    return known[name]


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ModelError(f"{_capital(where)} is an object, not {value!r:.80}.")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise ModelError(f"{_capital(where)} is a list, not {value!r:.80}.")
    return value


def _capital(where: str) -> str:
    return where[0].upper() + where[1:]
