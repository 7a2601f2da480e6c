"""Effects: what the code of a function does besides answering, as far as its syntax tells.

It changes what outlives a call (a global, an outer variable, something that such a name leads to), and it
reads names. What these names stand for, `purity` finds out.
"""

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

__all__ = ["Change", "Effects", "Read", "effects_of"]

MUTATORS = frozenset(
    {
        "__setitem__", "__delitem__", "__setattr__", "__next__", "add", "append", "appendleft", "clear",
        "difference_update", "discard", "extend", "extendleft", "fill", "insert", "intersection_update",
        "itemset", "pop", "popitem", "popleft", "put", "remove", "resize", "reverse", "rotate", "send",
        "setdefault", "sort", "subtract", "symmetric_difference_update", "update", "write",
    }
)  # fmt: skip
"""Methods that change what they are called on."""

CHANGE_FIRST = frozenset(
    {
        "copyto", "delattr", "fill_diagonal", "heapify", "heappop", "heappush", "heappushpop", "heapreplace",
        "insort", "insort_left", "insort_right", "next", "place", "put", "putmask", "setattr", "shuffle",
    }
)  # fmt: skip
"""Functions that change their first argument."""

_NAMED = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.ExceptHandler,
    ast.MatchAs,
    ast.MatchStar,
)
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Chain = tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class Read:
    """A chain of attributes that is read of a name, and whether it is called with arguments there."""

    name: str
    attributes: Chain
    given: bool


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """A change of what a name leads to: of itself (no attributes), or of what its attributes are.

    `method` is the method that is called on it, empty if it is assigned or deleted; `function` the chain of a
    function that it is handed to as its `parameter`, by number or name.
    """

    name: str
    attributes: Chain = ()
    method: str = ""
    function: Chain = ()
    parameter: str = ""


@dataclass(frozen=True, slots=True)
class Effects:
    """What a function reads and changes.

    Attributes
    ----------
    reads
        What is read of names that aren't the function's own.
    changes
        Of what outlives a call. Those that are handed to a function are changed only if that changes them.
    parameters
        Names of its parameters, in order.
    changed
        Those of them that it changes.
    """

    reads: frozenset[Read]
    changes: frozenset[Change]
    parameters: Chain
    changed: frozenset[str]


def effects_of(node: Function | ast.ClassDef) -> Effects:
    """Return the effects of a function, those within it included; of a class, those of its methods."""
    walk = _Walk()
    if isinstance(node, ast.ClassDef):
        for statement in node.body:
            walk.scope([statement], frozenset())
        return walk.effects(())
    arguments = node.args
    ordered = [*arguments.posonlyargs, *arguments.args]
    named = dict(zip(reversed(ordered), reversed(arguments.defaults), strict=False))
    named |= {
        argument: default
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is not None
    }
    # A default is made once: it outlives a call, and may be changed unless it is a constant.
    walk.defaults = {
        argument.arg for argument, default in named.items() if not isinstance(default, ast.Constant)
    }
    walk.parameters = {argument.arg for argument in _arguments(arguments)}
    body = node.body if isinstance(node.body, list) else [node.body]
    walk.scope(body, frozenset())
    return walk.effects(tuple(argument.arg for argument in [*ordered, *arguments.kwonlyargs]))


@dataclass(slots=True)
class _Walk:
    """One walk through a function and those within it."""

    reads: set[Read] = field(default_factory=set)
    changes: set[Change] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    parameters: set[str] = field(default_factory=set)
    defaults: set[str] = field(default_factory=set)

    def effects(self, parameters: Chain) -> Effects:
        return Effects(frozenset(self.reads), frozenset(self.changes), parameters, frozenset(self.changed))

    def scope(self, body: Iterable[ast.AST], outer: frozenset[str]) -> None:
        """Walk through one scope; `outer` are the names of the scopes around it within the function."""
        nodes = list(_of_scope(body))
        lent: set[str] = set()
        for node in nodes:
            if isinstance(node, ast.Global):
                lent.update(node.names)
            elif isinstance(node, ast.Nonlocal):
                lent.update(name for name in node.names if name not in outer)
        bound = set(outer - lent)
        aliases: dict[str, tuple[str, Chain]] = {}
        bindings = Counter(name for node in nodes for name in _bound_by(node))
        own = set(bindings) - lent
        for node in nodes:
            for target, value in _assigned(node):
                # A name that is bound again to something else may be that.
                if target in own and bindings[target] == 1 and (chain := _chain(value)) is not None:
                    aliases[target] = chain
        bound |= own
        resolve = _Resolver(bound, aliases)
        inner = {id(part) for node in nodes for part in _inner(node)}
        for node in nodes:
            self._node(node, resolve, lent, read=id(node) not in inner)
        for node in nodes:
            if isinstance(node, Function):
                names = {argument.arg for argument in _arguments(node.args)} - {"cls"}
                within = node.body if isinstance(node.body, list) else [node.body]
                self.scope(within, frozenset(bound | names))
            elif isinstance(node, ast.ClassDef):
                for statement in node.body:
                    self.scope([statement], frozenset(bound))

    def _node(self, node: ast.AST, resolve: "_Resolver", lent: set[str], *, read: bool) -> None:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            if node.id in lent:
                self.changes.add(Change(node.id))
        elif isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            self._change(resolve(node.value), "")
            if _is_class(node.value):
                self.changes.add(Change("type(self)"))
        elif isinstance(node, ast.Call):
            self._call(node, resolve)
        if read and (found := resolve(node)) is not None:
            self._read(found, given=False)

    def _call(self, call: ast.Call, resolve: "_Resolver") -> None:
        function = call.func
        named = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if isinstance(function, ast.Attribute) and named in MUTATORS:
            self._change(resolve(function.value), named)
        if call.args and (named in CHANGE_FIRST or _unbound_mutator(function)):
            self._change(resolve(call.args[0]), "")
        for keyword in call.keywords:
            if keyword.arg == "out":
                self._change(resolve(keyword.value), "")
        callee = resolve(function)
        if callee is None:
            return
        given = any(not (isinstance(each, ast.Constant) and each.value is None) for each in _given(call))
        self._read(callee, given=given)
        handed = [(str(number), argument) for number, argument in enumerate(call.args)]
        handed += [(keyword.arg, keyword.value) for keyword in call.keywords if keyword.arg]
        for parameter, argument in handed:
            if isinstance(argument, ast.Name | ast.Attribute) and (found := resolve(argument)) is not None:
                name, attributes = found
                self.changes.add(
                    Change(name, attributes, function=(callee[0], *callee[1]), parameter=parameter)
                )

    def _read(self, found: tuple[str, Chain], *, given: bool) -> None:
        name, attributes = found
        if name not in self.parameters or name in self.defaults:
            self.reads.add(Read(name, attributes, given))

    def _change(self, found: tuple[str, Chain] | None, method: str) -> None:
        if found is None:
            return
        name, attributes = found
        if name in self.parameters:
            self.changed.add(name)
            if name not in self.defaults and name != "cls":
                return
        self.changes.add(Change(name, attributes, method))


class _Resolver:
    """Tells which name of a scope further out an expression leads to, through aliases.

    A parameter counts as further out, so that its changes are known; whoever asks tells them apart.
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

    An item, or what a loop takes, counts as what holds it.
    """
    attributes: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Subscript | ast.Starred | ast.NamedExpr):
            node = node.value
        elif _is_getattr(node):
            assert isinstance(node, ast.Call) and isinstance(node.args[1], ast.Constant)
            attributes.append(str(node.args[1].value))
            node = node.args[0]
        elif isinstance(node, ast.Name):
            return node.id, tuple(reversed(attributes))
        else:
            return None


def _is_getattr(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "getattr"
        and len(node.args) >= 2
        and isinstance(node.args[1], ast.Constant)
    )


def _inner(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a node that are read with it, not by themselves."""
    if isinstance(node, ast.Attribute | ast.Subscript | ast.Starred | ast.NamedExpr):
        yield node.value
    elif isinstance(node, ast.Call):
        yield node.func
        if _is_getattr(node):
            yield node.args[0]


def _is_class(node: ast.AST) -> bool:
    """Whether an expression is the class of something, which outlives it."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "type"
    return isinstance(node, ast.Attribute) and node.attr == "__class__"


def _unbound_mutator(function: ast.AST) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id in ("list", "dict", "set", "bytearray", "object", "type")
        and function.attr in MUTATORS
    )


def _given(call: ast.Call) -> Iterator[ast.AST]:
    yield from call.args
    yield from (keyword.value for keyword in call.keywords)


def _assigned(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield the names that a statement gives to something that exists."""
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


def _bound_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, _NAMED) and node.name:
        yield node.name


def _of_scope(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes of one scope; of functions and classes in it, themselves and their defaults."""
    todo = list(body)
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, Function):
            todo += [*node.args.defaults, *(each for each in node.args.kw_defaults if each is not None)]
            todo += [] if isinstance(node, ast.Lambda) else node.decorator_list
        elif isinstance(node, ast.ClassDef):
            todo += [*node.bases, *node.decorator_list]
        else:
            todo += [
                child
                for name, value in ast.iter_fields(node)
                if name not in ("annotation", "returns")
                for child in (value if isinstance(value, list) else [value])
                if isinstance(child, ast.AST)
            ]


def _arguments(arguments: ast.arguments) -> Iterator[ast.arg]:
    yield from (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    yield from (each for each in (arguments.vararg, arguments.kwarg) if each is not None)
