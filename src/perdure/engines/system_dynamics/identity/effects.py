"""Effects: what the code of a function does besides returning a value, as far as its syntax shows.

It changes what outlives a call (a global, an outer variable, a value that such a name leads to), calls
functions, and reads names. `calls` and `purity` find out the values of these names.
"""

import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from perdure.engines.system_dynamics.identity.reaches import (
    ANY,
    ITEM,
    NONE,
    SLICE,
    Environment,
    Flow,
    Reach,
    ReachedCall,
    Reaches,
    inner_name,
    is_getattr,
    merged,
)
from perdure.engines.system_dynamics.identity.reads import Chain, Read, reads_of

__all__ = ["Change", "Effects", "Signature", "effects_of"]

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
"""Functions and methods that work like `+=` and similar operators."""

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


@dataclass(frozen=True, slots=True)
class Change:
    """A change of what a reach leads to.

    `method` is the name of the method that is read; `=` if an item or an attribute is assigned or deleted;
    `+=` if the value is changed in place where its type allows that; empty if the name is rebound.
    """

    reach: Reach
    method: str = ""

    @property
    def shown(self) -> str:
        """Roughly the code for what is changed."""
        reach, steps = self.reach, list(self.reach.steps)
        while isinstance(reach.origin, ReachedCall):
            reach = reach.origin.function
            steps = [*reach.steps, *steps]
        return ".".join((reach.origin, *(step for step in steps if step.isidentifier())))


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of a function, as reaches name them, and what it may return.

    `positional` are the parameters by number, `named` those by the name that callers write; `rest` and
    `others` take further arguments, by number and by name.
    """

    positional: Chain = ()
    named: Mapping[str, str] = field(default_factory=dict)
    rest: str = ""
    others: str = ""
    returned: Reaches = NONE

    def taking(self, given: str) -> Iterator[tuple[str, int]]:
        """Yield the parameters that take an argument (by number, name or ANY), and in how many containers."""
        rest = [(self.rest, 1)] if self.rest else []
        others = [(self.others, 1)] if self.others else []
        if given == ANY:
            yield from ((name, 0) for name in self.named.values())
            yield from rest + others
        elif given.isdigit():
            yield from [(name, 0) for name in self.positional[int(given) :][:1]] or rest
        else:
            yield from [(self.named[given], 0)] if given in self.named else others


@dataclass(frozen=True, slots=True)
class Effects:
    """What a function reads, changes and calls, including the functions nested in it.

    Attributes
    ----------
    reads
        Reads of names that aren't the function's own.
    changes
        Changes of what may outlive a call, including parameters.
    calls
        All calls, with their arguments.
    signature
        Of the function.
    inner
        Signatures of the nested functions, by the names that reaches have for them.
    parameters
        The names that reaches have for the parameters of all these functions.
    """

    reads: frozenset[Read]
    changes: frozenset[Change]
    calls: frozenset[ReachedCall]
    signature: Signature
    inner: Mapping[str, Signature]
    parameters: frozenset[str]

    def rebinds(self, name: str) -> bool:
        """Whether a name, or an item of its value, is assigned."""
        return any(
            change.reach.origin == name
            and change.method in (REBOUND, STORED)
            and set(change.reach.steps) <= {ITEM, SLICE}
            for change in self.changes
        )


def effects_of(node: Function | ast.ClassDef) -> Effects:
    """Return the effects of a function with its nested ones, or of the methods of a class."""
    walk = _Walk()
    signature = Signature()
    if isinstance(node, ast.ClassDef):
        for statement in node.body:
            walk.scope([statement], frozenset(), {}, {})
    else:
        # A default is created once: it outlives a call, and may be changed unless it is a constant.
        walk.defaults = {
            name for name, default in _defaults(node.args) if not isinstance(default, ast.Constant)
        }
        walk.own = {argument.arg for argument in _arguments(node.args)}
        given = {name: frozenset({Reach(name)}) for name in walk.own}
        # A parameter stands for itself, even if the function rebinds it later.
        signature = walk.function(node, "", frozenset(), {}, given)
    return Effects(
        frozenset(walk.reads),
        frozenset(walk.changes),
        frozenset(walk.calls),
        signature,
        walk.inner,
        frozenset(walk.parameters - {"cls"}),
    )


@dataclass(slots=True)
class _Walk:
    """One walk through a function and those nested in it."""

    reads: set[Read] = field(default_factory=set)
    changes: set[Change] = field(default_factory=set)
    calls: dict[ReachedCall, ReachedCall] = field(default_factory=dict)
    inner: dict[str, Signature] = field(default_factory=dict)
    parameters: set[str] = field(default_factory=set)
    own: set[str] = field(default_factory=set)
    defaults: set[str] = field(default_factory=set)

    def function(
        self, node: Function, prefix: str, outer: frozenset[str], around: Environment, given: Environment
    ) -> Signature:
        """Walk through a function whose parameters reach `given`; the prefix makes their names distinct."""
        body: list[ast.AST] = [*node.body] if isinstance(node.body, list) else [node.body]
        flow = self.scope(body, outer, around, given)
        arguments = node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        called = {argument.arg: f"{prefix}{argument.arg}" for argument in _arguments(arguments)}
        self.parameters.update(called.values())
        rest, others = (each.arg if each else "" for each in (arguments.vararg, arguments.kwarg))
        return Signature(
            tuple(called[argument.arg] for argument in positional),
            {name: each for name, each in called.items() if name not in (rest, others)},
            called.get(rest, ""),
            called.get(others, ""),
            flow.of(node.body) if isinstance(node, ast.Lambda) else flow.returned,
        )

    def scope(
        self, body: list[ast.AST], outer: frozenset[str], around: Environment, given: Environment
    ) -> Flow:
        """Walk through one scope.

        `outer` are the names of the enclosing scopes within the function, `around` what they reach, `given`
        what its parameters reach.
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
        bound = set(outer - lent) | own
        once = {name for name in own if bindings[name] == 1}
        self.reads.update(
            read
            for read in reads_of(nodes, bound, once)
            if read.name not in self.own or read.name in self.defaults
        )
        for node in nodes:
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) and node.id in lent:
                self.changes.add(Change(Reach(node.id)))
        start = {name: reaches for name, reaches in around.items() if name not in lent}
        start |= dict.fromkeys(own, NONE) | given
        flow = Flow(self._visit, self.calls, start)
        flow.block(body)
        met = merged(start, merged(flow.environment, flow.met))
        for node in nodes:
            if isinstance(node, Function):
                prefix = inner_name(node)
                names = {argument.arg for argument in _arguments(node.args)} - {"cls"}
                taken = {name: frozenset({Reach(f"{prefix}{name}")}) for name in names}
                for name, default in _defaults(node.args):
                    taken[name] = taken.get(name, NONE) | flow.of(default)
                self.inner[prefix] = self.function(node, prefix, frozenset(bound | names), met, taken)
            elif isinstance(node, ast.ClassDef):
                for statement in node.body:
                    self.scope([statement], frozenset(bound), met, {})
        return flow

    def _visit(self, node: ast.AST, flow: Flow) -> None:
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            self._change(flow.of(node.value), STORED)
            if _is_class(node.value):
                self.changes.add(Change(Reach("type(self)"), STORED))
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            self._change(flow.of(node.target), IN_PLACE_CHANGE)
        elif isinstance(node, ast.Attribute) and node.attr in MUTATORS:
            # Reading the method counts as calling it, here or where it is passed to.
            self._change(flow.of(node.value), node.attr)
        elif isinstance(node, ast.Attribute) and node.attr in IN_PLACE:
            self._change(flow.of(node.value), IN_PLACE_CHANGE)
        elif isinstance(node, ast.Call):
            flow.of(node)  # notes the call
            self._change_arguments(node, flow)

    def _change_arguments(self, call: ast.Call, flow: Flow) -> None:
        function = call.func
        named = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if is_getattr(call) and isinstance(call.args[1], ast.Constant) and call.args[1].value in MUTATORS:
            self._change(flow.of(call.args[0]), str(call.args[1].value))
        if call.args and named in IN_PLACE:
            self._change(flow.of(call.args[0]), IN_PLACE_CHANGE)
        elif call.args and (named in CHANGE_FIRST or _unbound_mutator(function)):
            self._change(flow.of(call.args[0]), STORED)
        for keyword in call.keywords:
            if keyword.arg == "out":
                self._change(flow.of(keyword.value), STORED)

    def _change(self, reaches: Reaches, method: str) -> None:
        self.changes |= {Change(each, method) for each in reaches if not each.new}


def _is_class(node: ast.AST) -> bool:
    """Whether an expression is the class of a value: a class outlives the value."""
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


def _defaults(arguments: ast.arguments) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names of parameters with their defaults."""
    ordered = [*arguments.posonlyargs, *arguments.args]
    for argument, default in zip(reversed(ordered), reversed(arguments.defaults), strict=False):
        yield argument.arg, default
    for argument, found in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if found is not None:
            yield argument.arg, found


def _arguments(arguments: ast.arguments) -> Iterator[ast.arg]:
    yield from (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    yield from (each for each in (arguments.vararg, arguments.kwarg) if each is not None)
