"""Clock methods: `now`, `today` and `utcnow` of `datetime.date`, `datetime.datetime` and derived classes.

A replacement of the class `datetime` would not be the type of its instances, so pydantic, msgspec, pickle and
other libraries that check types would refuse one or the other. Therefore the code of an experiment has the
real classes, and is compiled so that it looks up attributes of these names here. Attributes of other objects
are unchanged.
"""

import ast
import datetime
from collections.abc import Callable
from types import BuiltinMethodType, CodeType
from typing import Any

from perdure.syntax_trees import parsed

__all__ = ["ATTRIBUTE", "ClockMethods", "compiled"]

ATTRIBUTE = "__perdure_attribute__"
"""The name of the builtin that compiled code looks up attributes with; it takes an object and a name."""

_NAMES = frozenset(("now", "today", "utcnow"))
# The real function, even if a test replaces the module's.
_DATE, _DATETIME = datetime.date, datetime.datetime
_EPOCH = _DATETIME(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


class ClockMethods:
    """The clock methods for the code of one part, or of a script.

    Parameters
    ----------
    read
        Receives the name and reading of a clock, and returns the reading to use.
    """

    def __init__(self, read: Callable[[str, Any], Any]) -> None:
        self._read = read
        self._made: dict[tuple[type, str], Callable[..., Any]] = {}

    def attribute(self, thing: Any, name: str, *default: Any) -> Any:
        """Return an attribute, as `getattr` does."""
        value = getattr(thing, name, *default)
        if name not in _NAMES or type(value) is not BuiltinMethodType:
            return value
        kind = value.__self__
        if not (isinstance(kind, type) and issubclass(kind, _DATE)):
            return value
        return self._made.setdefault((kind, name), self._method(kind, name))

    def owns(self, thing: Any) -> bool:
        """Return whether a value is one of the methods, or the function that looks them up."""
        return thing == self.attribute or any(thing is method for method in self._made.values())

    def _method(self, kind: type[datetime.date], name: str) -> Callable[..., Any]:
        if not issubclass(kind, _DATETIME):
            return lambda: _of(kind, self._now().date())
        if name == "now":
            return lambda tz=None: _of(kind, self._now(tz))
        if name == "today":
            return lambda: _of(kind, self._now())
        return lambda: _of(kind, self._utc().replace(tzinfo=None))

    def _now(self, tz: datetime.tzinfo | None = None) -> datetime.datetime:
        return self._utc().astimezone().replace(tzinfo=None) if tz is None else self._utc().astimezone(tz)

    def _utc(self) -> datetime.datetime:
        moment = datetime.datetime.now(datetime.UTC)
        microseconds: int = self._read("datetime.now", (moment - _EPOCH) // _MICROSECOND)
        return _EPOCH + microseconds * _MICROSECOND


def _of(kind: type[datetime.date], moment: datetime.date) -> datetime.date:
    """Return a moment or day as an instance of a class, made by its constructor if it is derived."""
    if kind in (_DATE, _DATETIME):
        return moment
    day = (moment.year, moment.month, moment.day)
    if not isinstance(moment, _DATETIME):
        return kind(*day)
    time: tuple[Any, ...] = (moment.hour, moment.minute, moment.second, moment.microsecond, moment.tzinfo)
    made: Any = kind(*day, *time)
    later: datetime.date = made.replace(fold=1) if moment.fold else made
    return later


def compiled(source: bytes, path: str) -> CodeType:
    """Compile a file so that it looks up attributes of these names with `ATTRIBUTE`."""
    if (at := source.find(b"\0")) >= 0:  # Python gives no position for it
        line = source.count(b"\n", 0, at) + 1
        raise SyntaxError("source code cannot contain null bytes", (path, line, None, None))
    try:
        return compile(_tree(source, path), path, "exec", dont_inherit=True)
    except RecursionError:  # nested too deeply for a syntax tree, though not for a file
        return compile(source, path, "exec", dont_inherit=True)


def _tree(source: bytes, path: str) -> ast.Module:
    """Return the tree of a file with these attributes looked up."""
    tree = parsed(source, path)
    nodes = list(ast.walk(tree))
    patterns = {id(node) for match in nodes for part in _constants_of(match) for node in ast.walk(part)}
    for node in reversed(nodes):  # inner expressions first
        if id(node) in patterns:
            continue
        for field, value in ast.iter_fields(node):
            if isinstance(value, list):
                value[:] = [_looked_up(part) if id(part) not in patterns else part for part in value]
            elif id(value) not in patterns:
                setattr(node, field, _looked_up(value))
    return tree


def _constants_of(node: ast.AST) -> list[ast.expr]:
    """Return the parts of a ``case`` pattern that must be dotted names."""
    match node:
        case ast.MatchValue(value=value):
            return [value]
        case ast.MatchClass(cls=cls):
            return [cls]
        case ast.MatchMapping(keys=keys):
            return list(keys)
    return []


def _looked_up(node: Any) -> Any:
    if not (isinstance(node, ast.Attribute) and node.attr in _NAMES and isinstance(node.ctx, ast.Load)):
        return node
    call = ast.Call(ast.Name(ATTRIBUTE, ast.Load()), [node.value, ast.Constant(node.attr)], [])
    for made in (call, call.func, call.args[1]):
        ast.copy_location(made, node)
    return call
