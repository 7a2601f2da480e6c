"""Routing: which API a path belongs to, and which of its routes are there."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from perdure.errors import DialectUnusable
from perdure.web.dialect import Dialect, Route

__all__ = ["METHODS", "RouteMatch", "Routing"]

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""The methods that routes have; HEAD is answered as GET, and OPTIONS for all routes of a path."""

_PATH = re.compile(r"(/([^/{}]+|\{\w+\}))+")


@dataclass
class _Node:
    """What is at a place in the tree of paths, and below it."""

    children: dict[str, "_Node"] = field(default_factory=dict)
    parameter: "_Node | None" = None
    routes: dict[str, Route[Any]] = field(default_factory=dict)
    api: Dialect[Any] | None = None  # whose the routes are, and whose is what is below a first part

    @property
    def is_leaf(self) -> bool:
        """Whether nothing is below it."""
        return not self.children and self.parameter is None


@dataclass(frozen=True)
class RouteMatch:
    """What is at a path.

    Attributes
    ----------
    api
        Whose the path is.
    routes
        Method → route; empty if the tree has none there.
    values
        What the parameters of the path are.
    """

    api: Dialect[Any]
    routes: Mapping[str, Route[Any]]
    values: Sequence[str] = ()


class Routing:
    """The tree of the paths of all APIs.

    Parameters
    ----------
    native
        The native API: what nobody has is its.
    others
        Templates of the native API's other paths, which are kept free for it.
    dialects
        The dialects.

    Raises
    ------
    DialectUnusable
        If two of them have the same name or the same route, or a route's method or path is malformed.
    """

    def __init__(self, native: Dialect[Any], others: Iterable[str], dialects: Iterable[Dialect[Any]]) -> None:
        self._native = native
        self._root = _Node(api=native)
        for path in others:
            self._place(path.removeprefix("/").split("/"), native)
        apis: dict[str, Dialect[Any]] = {}
        for api in (native, *dialects):
            other = apis.setdefault(api.name, api)
            if other is not api:
                whose = "the native API" if other is native else "another dialect"
                raise DialectUnusable(dialect=api.name, reason=f"{whose} has that name, too")
            for route in api.routes:
                self._check(route, api)
                node = self._place(route.parts, api)
                first = self._root.children.get(route.parts[0], node)
                if first.api is not api or node.api is not api or route.method in node.routes:
                    holder = node.api if first.api is api else first.api
                    whose = "the native API" if holder is native or holder is None else holder.name
                    reason = f"{route.method} {route.path} is at a path of {whose}"
                    raise DialectUnusable(dialect=api.name, reason=reason)
                node.routes[route.method] = route

    def find(self, path: str) -> RouteMatch:
        """Return what is at a path."""
        parts = path.removeprefix("/").removesuffix("/").split("/")
        values: list[str] = []
        node, last = self._root, len(parts) - 1
        for at, part in enumerate(parts):
            child = node.children.get(part)
            if child is None or (at < last and child.is_leaf):
                child = node.parameter if part else None
                if child is None:
                    return self._missing(parts)
                values.append(part)
            node = child
        if not node.routes or node.api is None or (node.api is self._native and path.endswith("/")):
            return self._missing(parts)
        return RouteMatch(node.api, node.routes, values)

    def begins(self, part: str) -> bool:
        """Return whether the path of a route begins with a part."""
        return part in self._root.children

    def _missing(self, parts: Sequence[str]) -> RouteMatch:
        """Return whose a path is at which there is nothing: below a first part, whose that is."""
        first = self._root.children.get(parts[0])
        if first is None or first.api is None or first.is_leaf:
            return RouteMatch(self._native, {})
        return RouteMatch(first.api, {})

    def _check(self, route: Route[Any], api: Dialect[Any]) -> None:
        """Raise `DialectUnusable` if a route can't be at any request's path."""
        reason = ""
        if route.method not in METHODS:
            reason = f"{route.method!r} at {route.path} is none of the methods {', '.join(METHODS)}"
        elif _PATH.fullmatch(route.path) is None or len(set(route.names)) < len(route.names):
            reason = f"{route.path!r} is malformed; write a path as in /games/{{game}}/rounds"
        if reason:
            raise DialectUnusable(dialect=api.name, reason=reason)

    def _place(self, parts: Sequence[str], api: Dialect[Any]) -> _Node:
        """Return the node of a path, whose it is from now on if it is nobody's."""
        node = self._root
        for part in parts:
            if part.startswith("{"):
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.children.setdefault(part, _Node())
            if node.api is None:
                node.api = api
        return node
