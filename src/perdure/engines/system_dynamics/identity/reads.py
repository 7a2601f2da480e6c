"""Reads: which outer names the code of a scope reads, and how it calls their values."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from perdure.engines.system_dynamics.identity.reaches import RESULT, is_getattr

__all__ = ["Chain", "Read", "reads_of"]

Chain = tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class Read:
    """A chain of attributes that is read of a name, and how its value is called.

    `given` says whether the call has arguments other than names and None, `seeded` whether a keyword for a
    seed is among them; `texts` are the string arguments, `arguments` the chains of arguments that are names.
    """

    name: str
    attributes: Chain
    given: bool = False
    seeded: bool = False
    texts: Chain = ()
    arguments: tuple[Chain, ...] = ()


def reads_of(nodes: Iterable[ast.AST], bound: set[str], once: set[str]) -> Iterator[Read]:
    """Yield the reads of the nodes of a scope.

    Parameters
    ----------
    bound
        Names that refer to nothing outside the scope.
    once
        Names of the scope that are bound exactly once, which may be aliases of outer names.
    """
    aliases: dict[str, tuple[str, Chain]] = {}
    values: dict[str, list[ast.AST]] = {}
    inner: set[int] = set()
    for node in nodes:
        inner.update(map(id, _inner(node)))
        for target, value in _assigned(node):
            values.setdefault(target, []).append(value)
            if target in once and (chain := _chain(value)) is not None:
                aliases[target] = chain
    empty = {name for name, given in values.items() if name in bound and all(map(_is_none, given))}
    resolve = _Resolver(bound, aliases)
    for node in nodes:
        if isinstance(node, ast.Call):
            yield from _call(node, resolve, empty)
        if id(node) not in inner and (found := resolve(node)) is not None:
            yield Read(*found)


def _call(call: ast.Call, resolve: "_Resolver", empty: set[str]) -> Iterator[Read]:
    callee = resolve(call.func)
    if callee is None:
        return
    given, texts, arguments = False, [], []
    for each in _given(call):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            texts.append(each.value)
        found = resolve(each) if isinstance(each, ast.Name | ast.Attribute) else None
        if found is not None:
            arguments.append((found[0], *found[1]))
        elif not _is_none(each) and not (isinstance(each, ast.Name) and each.id in empty):
            given = True
    seeded = any(
        keyword.arg in ("random_state", "seed", "rng") and not _is_none(keyword.value)
        for keyword in call.keywords
    )
    yield Read(*callee, given, seeded, tuple(texts), tuple(arguments))


class _Resolver:
    """Finds the outer name that an expression leads to, through aliases.

    A parameter counts as an outer name, so that its changes are known; the caller distinguishes the two.
    """

    def __init__(self, bound: set[str], aliases: dict[str, tuple[str, Chain]]) -> None:
        self._bound = bound
        self._aliases = aliases

    def __call__(self, node: ast.AST) -> tuple[str, Chain] | None:
        chain = _chain(node)
        for _ in range(len(self._aliases) + 1):
            if chain is None:
                return None
            name, attributes = chain
            if name not in self._aliases:
                return chain if name not in self._bound else None
            first, before = self._aliases[name]
            if first == name:
                return None
            chain = first, (*before, *attributes)
        return None


def _chain(node: ast.AST) -> tuple[str, Chain] | None:
    """Return the name that an expression begins with, and the attributes that are read of it.

    An item, or the variable of a loop, counts as its container.
    """
    attributes: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Subscript | ast.Starred | ast.NamedExpr):
            node = node.value
        elif is_getattr(node):
            assert isinstance(node, ast.Call) and isinstance(node.args[1], ast.Constant)
            attributes.append(str(node.args[1].value))
            node = node.args[0]
        elif isinstance(node, ast.Call):
            attributes.append(RESULT)
            node = node.func
        elif isinstance(node, ast.Name):
            return node.id, tuple(reversed(attributes))
        else:
            return None


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _inner(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a node that are read as part of it."""
    if isinstance(node, ast.Attribute | ast.Subscript | ast.Starred | ast.NamedExpr):
        yield node.value
    elif isinstance(node, ast.Call):
        yield node.func
        if is_getattr(node):
            yield node.args[0]


def _given(call: ast.Call) -> Iterator[ast.AST]:
    yield from call.args
    yield from (keyword.value for keyword in call.keywords)


def _assigned(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield the names that a statement gives to existing values."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield target.id, node.value
            elif isinstance(target, ast.Tuple | ast.List) and isinstance(node.value, ast.Tuple | ast.List):
                for each, value in zip(target.elts, node.value.elts, strict=False):
                    if isinstance(each, ast.Name):
                        yield each.id, value
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and isinstance(node.target, ast.Name):
        if node.value is not None:
            yield node.target.id, node.value
    elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension) and isinstance(node.target, ast.Name):
        yield node.target.id, node.iter
    elif isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
        yield node.optional_vars.id, node.context_expr
