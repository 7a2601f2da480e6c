"""Effects: what the code of a function does besides answering, as far as its syntax tells.

It changes what outlives a call (a global, an outer variable, something that such a name leads to), and it
reads names. What these names stand for, `purity` finds out.
"""

import ast
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from perdure.engines.system_dynamics.reaches import (
    ITEM,
    NONE,
    RESULT,
    SLICE,
    Environment,
    Flow,
    Reach,
    Reaches,
    is_getattr,
    merged,
)

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
        "at", "copyto", "delattr", "delitem", "fill_diagonal", "heapify", "heappop", "heappush",
        "heappushpop", "heapreplace", "insort", "insort_left", "insort_right", "next", "place", "put",
        "putmask", "setattr", "setitem", "shuffle",
    }
)  # fmt: skip
"""Functions that change their first argument."""

IN_PLACE = frozenset(
    f"{before}i{name}{before}"
    for before in ("", "__")
    for name in (
        "add", "and", "concat", "floordiv", "lshift", "matmul", "mod", "mul", "or", "pow", "rshift", "sub",
        "truediv", "xor",
    )
)  # fmt: skip
"""Functions and methods that do what `+=` and its like do."""

REBOUND, STORED, IN_PLACE_CHANGE = "", "=", "+="

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
    """A chain of attributes that is read of a name, and how it is called there.

    `given` tells whether it has arguments besides names and None, `seeded` whether a seed is among them by
    its name; `texts` are those that are strings, `arguments` the chains of those that are names.
    """

    name: str
    attributes: Chain
    given: bool = False
    seeded: bool = False
    texts: Chain = ()
    arguments: tuple[Chain, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """A change of what a name leads to: of itself (no attributes), or of what its attributes are.

    `attributes` are the steps of a reach. `method` is the method that is taken of it, `=` if an item or an
    attribute is assigned or deleted, `+=` if it is changed in place where its kind allows that, empty if the
    name is bound anew; `function` the chain of a function that it is handed to as its `parameter`, by number
    or name.
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
        The changes of what they are given.
    returned
        What the function's answer may lead to.
    """

    reads: frozenset[Read]
    changes: frozenset[Change]
    parameters: Chain
    changed: frozenset[Change]
    returned: Reaches = NONE

    def rebinds(self, name: str) -> bool:
        """Whether a name, or an item of what it leads to, is assigned."""
        return any(
            change.name == name
            and change.method in (REBOUND, STORED)
            and not change.function
            and set(change.attributes) <= {ITEM, SLICE}
            for change in self.changes
        )


def effects_of(node: Function | ast.ClassDef) -> Effects:
    """Return the effects of a function, those within it included; of a class, those of its methods."""
    walk = _Walk()
    if isinstance(node, ast.ClassDef):
        for statement in node.body:
            walk.scope([statement], frozenset(), {})
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
    body: list[ast.AST] = [*node.body] if isinstance(node.body, list) else [node.body]
    # A parameter stands for itself, also where the function binds it anew later.
    walk.scope(body, frozenset(), {})
    if isinstance(node, ast.Lambda):
        walk.returned = walk.answer
    return walk.effects(tuple(argument.arg for argument in [*ordered, *arguments.kwonlyargs]))


@dataclass(slots=True)
class _Walk:
    """One walk through a function and those within it."""

    reads: set[Read] = field(default_factory=set)
    changes: set[Change] = field(default_factory=set)
    changed: set[Change] = field(default_factory=set)
    returned: Reaches = NONE
    answer: Reaches = NONE
    parameters: set[str] = field(default_factory=set)
    defaults: set[str] = field(default_factory=set)

    def effects(self, parameters: Chain) -> Effects:
        return Effects(
            frozenset(self.reads), frozenset(self.changes), parameters, frozenset(self.changed), self.returned
        )

    def scope(self, body: list[ast.AST], outer: frozenset[str], around: Environment) -> None:
        """Walk through one scope.

        `outer` are the names of the scopes around it within the function, `around` what they reach.
        """
        nodes = list(_of_scope(body))
        lent: set[str] = set()
        for node in nodes:
            if isinstance(node, ast.Global):
                lent.update(node.names)
            elif isinstance(node, ast.Nonlocal):
                lent.update(name for name in node.names if name not in outer)
        bindings = Counter(name for node in nodes for name in _bound_by(node))
        own = set(bindings) - lent
        aliases: dict[str, tuple[str, Chain]] = {}
        values: dict[str, list[ast.AST]] = {}
        for node in nodes:
            for target, value in _assigned(node):
                values.setdefault(target, []).append(value)
                # A name that is bound again to something else may be that.
                if target in own and bindings[target] == 1 and (chain := _chain(value)) is not None:
                    aliases[target] = chain
        bound = set(outer - lent) | own
        empty = {name for name in own if name in values and all(map(_is_none, values[name]))}
        resolve = _Resolver(bound, aliases)
        inner = {id(part) for node in nodes for part in _inner(node)}
        for node in nodes:
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) and node.id in lent:
                self.changes.add(Change(node.id))
            if isinstance(node, ast.Call):
                self._read_call(node, resolve, empty)
            if id(node) not in inner and (found := resolve(node)) is not None:
                self._read(Read(*found))
        start = {name: reaches for name, reaches in around.items() if name not in lent}
        if not outer:
            start |= {name: frozenset({Reach(name)}) for name in self.parameters}
        start |= {name: NONE for name in own if outer or name not in self.parameters}
        flow = Flow(self._visit, start)
        flow.block(body)
        if not outer:
            self.returned |= flow.returned
            self.answer = flow.of(body[-1]) if body else NONE
        met = merged(start, merged(flow.environment, flow.met))
        for node in nodes:
            if isinstance(node, Function):
                names = {argument.arg for argument in _arguments(node.args)} - {"cls"}
                within: list[ast.AST] = [*node.body] if isinstance(node.body, list) else [node.body]
                # The scope of a method at the top of a class has no names around it.
                held = frozenset(bound | names) or frozenset({""})
                self.scope(within, held, met | dict.fromkeys(names, NONE))
            elif isinstance(node, ast.ClassDef):
                for statement in node.body:
                    self.scope([statement], frozenset(bound) or frozenset({""}), met)

    def _visit(self, node: ast.AST, reach: Callable[[ast.AST], Reaches]) -> None:
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            self._change(reach(node.value), STORED)
            if _is_class(node.value):
                self.changes.add(Change("type(self)"))
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            self._change(reach(node.target), IN_PLACE_CHANGE)
        elif isinstance(node, ast.Attribute) and node.attr in MUTATORS:
            # Whoever takes the method calls it, here or where it is handed to.
            self._change(reach(node.value), node.attr)
        elif isinstance(node, ast.Attribute) and node.attr in IN_PLACE:
            self._change(reach(node.value), IN_PLACE_CHANGE)
        elif isinstance(node, ast.Call):
            self._call(node, reach)

    def _call(self, call: ast.Call, reach: Callable[[ast.AST], Reaches]) -> None:
        function = call.func
        named = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if is_getattr(call) and isinstance(call.args[1], ast.Constant) and call.args[1].value in MUTATORS:
            self._change(reach(call.args[0]), str(call.args[1].value))
        if call.args and named in IN_PLACE:
            self._change(reach(call.args[0]), IN_PLACE_CHANGE)
        elif call.args and (named in CHANGE_FIRST or _unbound_mutator(function)):
            self._change(reach(call.args[0]), STORED)
        for keyword in call.keywords:
            if keyword.arg == "out":
                self._change(reach(keyword.value), STORED)
        handed = [(str(number), argument) for number, argument in enumerate(call.args)]
        handed += [(keyword.arg, keyword.value) for keyword in call.keywords if keyword.arg]
        callees = [(each.name, *each.steps) for each in reach(function) if not each.level]
        for parameter, argument in handed:
            for each in reach(argument):
                if not each.level:
                    self.changes |= {
                        Change(each.name, each.steps, STORED, callee, parameter) for callee in callees
                    }

    def _read_call(self, call: ast.Call, resolve: "_Resolver", empty: set[str]) -> None:
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
        self._read(Read(*callee, given, seeded, tuple(texts), tuple(arguments)))

    def _read(self, read: Read) -> None:
        if read.name not in self.parameters or read.name in self.defaults:
            self.reads.add(read)

    def _change(self, reaches: Reaches, method: str) -> None:
        for each in reaches:
            if each.level:
                continue  # it is new
            change = Change(each.name, each.steps, method)
            if each.name in self.parameters:
                self.changed.add(change)
                if each.name not in self.defaults and each.name != "cls":
                    continue
            self.changes.add(change)


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
    """Yield the parts of a node that are read with it, not by themselves."""
    if isinstance(node, ast.Attribute | ast.Subscript | ast.Starred | ast.NamedExpr):
        yield node.value
    elif isinstance(node, ast.Call):
        yield node.func
        if is_getattr(node):
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
