"""Reaches: the values outside a call that an expression may refer to, followed through a body in order.

After `x = L if a else M`, `x` leads to L and M; a loop over `enumerate(L)` leads to the items of L; `list(L)`
is a new list of the items of L; and `f(L)` leads to what `f` returns for L. `calls` finds out which values
these are.
"""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = [
    "ANY",
    "ITEM",
    "NONE",
    "RESULT",
    "SLICE",
    "WRAP",
    "Environment",
    "Flow",
    "Reach",
    "ReachedCall",
    "Reaches",
    "inner_name",
    "is_getattr",
    "merged",
]

ITEM, SLICE, RESULT = "[]", "[:]", "()"
WRAP = "+[]"  # put into a new container
ANY = "*"  # any parameter

HANDED_ON = {
    "next": 0, "min": 0, "max": 0, "get": 0, "getitem": 0, "pop": 0, "popleft": 0, "setdefault": 0,
    "choice": 0, "reduce": 0, "__getitem__": 0, "__next__": 0,
    "iter": 1, "list": 1, "tuple": 1, "set": 1, "frozenset": 1, "dict": 1, "sorted": 1, "reversed": 1,
    "filter": 1, "deque": 1, "copy": 1, "values": 1, "chain": 1, "islice": 1, "cycle": 1, "takewhile": 1,
    "dropwhile": 1, "filterfalse": 1, "popitem": 1, "union": 1, "nlargest": 1, "nsmallest": 1, "__iter__": 1,
    "enumerate": 2, "zip": 2, "zip_longest": 2, "items": 2, "product": 2, "combinations": 2,
    "permutations": 2, "pairwise": 2, "batched": 2,
}  # fmt: skip
"""Functions whose results contain the items of their arguments, and the number of new containers."""

VIEWS = frozenset(
    {
        "asanyarray", "asarray", "ascontiguousarray", "asfortranarray", "atleast_1d", "atleast_2d",
        "atleast_3d", "broadcast_to", "diagonal", "expand_dims", "flipud", "fliplr", "memoryview", "moveaxis",
        "nditer", "ravel", "reshape", "rollaxis", "squeeze", "swapaxes", "transpose", "view",
    }
)  # fmt: skip
"""Functions whose results share the data of their arguments."""


ADDED = {
    "add": 0, "append": 0, "appendleft": 0, "insert": 0, "setdefault": 0, "put": 0, "__setitem__": 0,
    "extend": 1, "extendleft": 1, "update": 1,
}  # fmt: skip
"""Methods that put their arguments, or the items of these, into a container."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What is reached from a name, or from the result of a call, by steps.

    A step is an attribute, ITEM, SLICE, or WRAP.
    """

    origin: "str | ReachedCall"
    steps: tuple[str, ...] = ()

    @property
    def new(self) -> bool:
        """Whether it is a new container, with any contents."""
        return self.steps[-1:] == (WRAP,)

    @property
    def named(self) -> bool:
        """Whether it is the value of a name, or an attribute of it."""
        return isinstance(self.origin, str) and not {ITEM, SLICE, WRAP}.intersection(self.steps)

    def item(self) -> "Reach":
        return Reach(self.origin, self.steps[:-1]) if self.new else self.step(ITEM)

    def attribute(self, name: str) -> "Reach":
        return Reach(self.origin, self.steps[:-1]) if self.new else self.step(name)

    def part(self) -> "Reach":
        return self if self.new else self.step(SLICE)

    def within(self, levels: int) -> "Reach":
        return Reach(self.origin, self.steps + (WRAP,) * levels)

    def step(self, step: str) -> "Reach":
        return Reach(self.origin, (*self.steps, step))


@dataclass(frozen=True, slots=True)
class ReachedCall:
    """A call of a function, and its arguments: by number, by name, or for ANY parameter."""

    function: Reach
    given: "frozenset[tuple[str, Reaches]]"


Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
Reaches = frozenset[Reach]
Environment = dict[str, Reaches]
NONE: Reaches = frozenset()


@dataclass(slots=True)
class Flow:
    """One walk through the statements of a scope.

    Attributes
    ----------
    visit
        Called with this walk and each node that may change something.
    calls
        The calls, each once, so that identity distinguishes them.
    environment
        What the names of the scope reach at this point; other names stand for themselves.
    met
        What the names ever reached, for nested functions.
    returned
        What the scope may return.
    """

    visit: "Callable[[ast.AST, Flow], None]"
    calls: dict[ReachedCall, ReachedCall]
    environment: Environment
    met: Environment = field(default_factory=dict)
    returned: Reaches = NONE

    def block(self, body: Iterable[ast.AST]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, node: ast.AST) -> None:
        if isinstance(node, ast.If):
            self._expression(node.test)
            self._either(node.body, node.orelse)
        elif isinstance(node, ast.For | ast.AsyncFor | ast.While):
            self._expression(node.test if isinstance(node, ast.While) else node.iter)
            # The second pass starts with what the first one assigned.
            for _ in range(2):
                if not isinstance(node, ast.While):
                    self._bind(node.target, _items(self.of(node.iter)))
                    self._expression(node.target)
                self._either(node.body, ())
            self._either(node.orelse, ())
        elif isinstance(node, ast.Try | ast.TryStar):
            self._either(node.body, ())
            for handler in node.handlers:
                self._either(handler.body, ())
            self._either(node.orelse, ())
            self.block(node.finalbody)
        elif isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                self._expression(item.context_expr)
                if item.optional_vars is not None:
                    self._bind(item.optional_vars, self.of(item.context_expr))
            self.block(node.body)
        elif isinstance(node, ast.Match):
            self._expression(node.subject)
            for case in node.cases:
                self._capture(case.pattern, self.of(node.subject))
                self._either([*([case.guard] if case.guard else []), *case.body], ())
        else:
            self._expression(node)

    def _either(self, one: Iterable[ast.AST], other: Iterable[ast.AST]) -> None:
        before = dict(self.environment)
        self.block(one)
        after, self.environment = self.environment, before
        self.block(other)
        for name, reaches in after.items():
            self.environment[name] = self.environment.get(name, NONE) | reaches

    def _expression(self, node: ast.AST) -> None:
        """Walk through an expression or a simple statement, its parts first."""
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self._bind(ast.Name(node.name), frozenset({Reach(inner_name(node))}))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            return
        if isinstance(node, Comprehension):
            for generator in node.generators:
                self._expression(generator.iter)
            with self._inside(node):
                self._parts(node)
        else:
            self._parts(node)
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._assign(target, node.value)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            self._assign(node.target, node.value)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            self._bind(node.target, self.of(node.target) | self.of(node.value))
        elif isinstance(node, ast.Return) and node.value is not None:
            self.returned |= self.of(node.value)
        elif isinstance(node, ast.Yield) and node.value is not None:
            self.returned |= _within(self.of(node.value))
        elif isinstance(node, ast.YieldFrom):
            self.returned |= _within(_items(self.of(node.value)))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ADDED:
            added = self._all([*node.args, *(keyword.value for keyword in node.keywords)])
            self._hold(node.func.value, _items(added) if ADDED[node.func.attr] else added)

    def _parts(self, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            self._expression(child)
        self.visit(node, self)

    @contextmanager
    def _inside(self, node: Comprehension) -> Iterator[None]:
        """Bind the variables of a comprehension, which are its own: names outside of it keep their values."""
        targets = [each for generator in node.generators for each in ast.walk(generator.target)]
        names = {each.id for each in targets if isinstance(each, ast.Name)}
        before = {name: self.environment[name] for name in names & self.environment.keys()}
        for generator in node.generators:
            self._bind(generator.target, _items(self.of(generator.iter)))
        yield
        self.environment |= before

    def _assign(self, target: ast.AST, value: ast.AST) -> None:
        both = isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List)
        if both and not any(
            isinstance(each, ast.Starred) for each in (*_elements(target), *_elements(value))
        ):
            reached = [self.of(each) for each in _elements(value)]
            for each, reaches in zip(_elements(target), reached, strict=False):
                self._bind(each, reaches)
        else:
            self._bind(target, self.of(value))

    def _bind(self, target: ast.AST, reaches: Reaches) -> None:
        if isinstance(target, ast.Name):
            if target.id in self.environment:
                self.environment[target.id] = reaches
                self.met[target.id] = self.met.get(target.id, NONE) | reaches
        elif isinstance(target, ast.Starred):
            self._bind(target.value, _within(reaches))
        elif isinstance(target, ast.Subscript | ast.Attribute):
            self._hold(target.value, reaches)
        else:
            for each in _elements(target):
                self._bind(each, _items(reaches))

    def _hold(self, container: ast.AST, reaches: Reaches) -> None:
        """Let the value of a name, and the values within it, contain something from now on."""
        held = _within(reaches)
        while isinstance(container, ast.Subscript | ast.Attribute):
            container, held = container.value, _within(held)
        if isinstance(container, ast.Name) and container.id in self.environment:
            self._bind(container, self.environment[container.id] | held)

    def _capture(self, pattern: ast.AST, reaches: Reaches) -> None:
        if isinstance(pattern, ast.MatchAs | ast.MatchStar) and pattern.name:
            self._bind(ast.Name(pattern.name), reaches)
        # A pattern captures the subject, nested patterns capture its items.
        same = isinstance(pattern, ast.MatchAs | ast.MatchOr)
        for child in ast.iter_child_nodes(pattern):
            self._capture(child, reaches if same else _items(reaches))

    def of(self, node: ast.AST) -> Reaches:
        """Return what an expression may reach."""
        match node:
            case ast.Name():
                return self.environment.get(node.id, frozenset({Reach(node.id)}))
            case ast.Attribute():
                return frozenset(each.attribute(node.attr) for each in self.of(node.value))
            case ast.Subscript():
                return _part(self.of(node.value), node.slice)
            case ast.Starred() | ast.NamedExpr():
                return self.of(node.value)
            case ast.IfExp():
                return self.of(node.body) | self.of(node.orelse)
            case ast.BoolOp():
                return self._all(node.values)
            case ast.List() | ast.Tuple() | ast.Set():
                return _within(frozenset(each for part in node.elts for each in self._element(part)))
            case ast.Dict():
                return _within(self._all(node.values))
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                with self._inside(node):
                    return _within(self.of(node.value if isinstance(node, ast.DictComp) else node.elt))
            case ast.BinOp():
                return _within(_items(self.of(node.left) | self.of(node.right)))
            case ast.Lambda():
                return frozenset({Reach(inner_name(node))})
            case ast.Call():
                return self._result(node)
        return NONE

    def _element(self, node: ast.AST) -> Reaches:
        return _items(self.of(node)) if isinstance(node, ast.Starred) else self.of(node)

    def _all(self, nodes: Iterable[ast.AST]) -> Reaches:
        return frozenset(each for node in nodes for each in self.of(node))

    def _result(self, call: ast.Call) -> Reaches:
        if is_getattr(call):
            name = call.args[1]
            assert isinstance(name, ast.Constant)
            read = frozenset(each.attribute(str(name.value)) for each in self.of(call.args[0]))
            return read | self._all(call.args[2:])
        function = call.func
        handed = list(self._handed(call))
        sources = frozenset(each for _, reaches in handed for each in reaches)
        if isinstance(function, ast.Attribute):
            named, owners = function.attr, self.of(function.value)
            callees = frozenset(each.attribute(named) for each in owners)
        else:
            named, owners = getattr(function, "id", ""), NONE
            callees = self.of(function)
        answers = {Reach(self._call(callee, handed)) for callee in callees if not callee.new}
        for number, (_, functions) in enumerate(handed):
            # A function that is passed as an argument is called with the other arguments, or their items.
            beside = frozenset(
                each for _, reaches in handed[:number] + handed[number + 1 :] for each in reaches
            )
            given = [(ANY, beside), (ANY, _items(beside))]
            levels = HANDED_ON.get(named, 1)
            answers |= {
                Reach(self._call(each, given)).within(levels) for each in functions if beside and each.named
            }
        if named in VIEWS:  # a comprehension makes a new list
            answers |= {each.part() for each in owners | sources}
        if named in HANDED_ON:
            answers |= {each.within(HANDED_ON[named]) for each in _items(owners | sources)}
            if HANDED_ON[named] == 0:  # `get` may return its default, `min` one of its arguments
                answers |= {each for _, reaches in handed[1:] for each in reaches}
        return frozenset(answers)

    def _call(self, function: Reach, given: Iterable[tuple[str, Reaches]]) -> ReachedCall:
        call = ReachedCall(function, frozenset(given))
        return self.calls.setdefault(call, call)

    def _handed(self, call: ast.Call) -> Iterator[tuple[str, Reaches]]:
        for number, argument in enumerate(call.args):
            if isinstance(argument, ast.Starred):
                yield ANY, _items(self.of(argument))
            else:
                yield str(number), self.of(argument)
        for keyword in call.keywords:
            reaches = self.of(keyword.value)
            yield (ANY, _items(reaches)) if keyword.arg is None else (keyword.arg, reaches)


def inner_name(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> str:
    """Return a unique name for a nested function."""
    return f"<{getattr(node, 'name', 'lambda')} {node.lineno}:{node.col_offset}>"


def is_getattr(node: ast.AST) -> bool:
    """Whether an expression reads an attribute by a literal name."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "getattr"
        and len(node.args) >= 2
        and isinstance(node.args[1], ast.Constant)
    )


def merged(one: Mapping[str, Reaches], other: Mapping[str, Reaches]) -> Environment:
    """Return what names may reach after either of two environments."""
    return {name: one.get(name, NONE) | other.get(name, NONE) for name in {*one, *other}}


def _elements(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.Tuple | ast.List):
        yield from node.elts


def _items(reaches: Reaches) -> Reaches:
    return frozenset(each.item() for each in reaches)


def _within(reaches: Reaches) -> Reaches:
    return frozenset(each.within(1) for each in reaches)


def _part(reaches: Reaches, index: ast.AST) -> Reaches:
    parts = index.elts if isinstance(index, ast.Tuple) else [index]
    if not any(isinstance(part, ast.Slice) for part in parts):
        return _items(reaches)
    # A slice of an array shares its data, one of a list is a new list.
    return frozenset(each.part() for each in reaches) | _within(_items(reaches))
