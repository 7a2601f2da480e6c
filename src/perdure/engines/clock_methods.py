"""Clock methods: `now`, `today` and `utcnow` of `datetime.date`, `datetime.datetime` and derived classes.

A class in place of `datetime` would not be the type of its instances, and pydantic, msgspec, pickle and
whatever else goes by types would refuse one or the other. So the code of an experiment has the real classes,
and is compiled so that attributes of these names are looked up here. Those of anything else are unchanged.
"""

import ast
import datetime
from collections.abc import Callable
from types import BuiltinMethodType, CodeType
from typing import Any

__all__ = ["ATTRIBUTE", "ClockMethods", "compiled"]

ATTRIBUTE = "__perdure_attribute__"
"""The builtin function that compiled code looks attributes up by; it is given an object and a name."""

_NAMES = frozenset(("now", "today", "utcnow"))
# Not what tests put in place of the module's.
_DATE, _DATETIME = datetime.date, datetime.datetime
_EPOCH = _DATETIME(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


class ClockMethods:
    """The methods as the code of one party, or a script, sees them.

    Parameters
    ----------
    read
        Given a clock's name and its reading, returns the reading that counts.
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
        """Return whether something is one of the methods, or looks them up."""
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
    """Return a moment, or day, as an instance of a class; the constructor of a derived one makes it."""
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
    """Compile a file so that it looks up the attributes of these names by `ATTRIBUTE`."""
    if (at := source.find(b"\0")) >= 0:  # of which Python names no place
        line = source.count(b"\n", 0, at) + 1
        raise SyntaxError("source code cannot contain null bytes", (path, line, None, None))
    try:
        return compile(_tree(source, path), path, "exec", dont_inherit=True)
    except RecursionError:  # an expression nested deeper than a tree may be, though not than a file may
        return compile(source, path, "exec", dont_inherit=True)


def _tree(source: bytes, path: str) -> ast.Module:
    """Return the tree of a file in which the attributes are looked up."""
    tree = ast.parse(source, path)
    nodes = list(ast.walk(tree))
    patterns = {id(node) for match in nodes for part in _constants_of(match) for node in ast.walk(part)}
    for node in reversed(nodes):  # what is deeper first
        if id(node) in patterns:
            continue
        for field, value in ast.iter_fields(node):
            if isinstance(value, list):
                value[:] = [_looked_up(part) if id(part) not in patterns else part for part in value]
            elif id(value) not in patterns:
                setattr(node, field, _looked_up(value))
    return tree


def _constants_of(node: ast.AST) -> list[ast.expr]:
    """Return what has to be a dotted name in a pattern of ``case``."""
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
