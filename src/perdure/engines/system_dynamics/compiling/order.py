"""Order: the sequence in which variables are evaluated, and circles among them.

Within a step, a variable comes after those it reads; stocks and constants already have their values. At the
start time, stocks are variables too: they come after what their initial values read.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping

from perdure.engines.system_dynamics.compiling.program import (
    Code,
    Delay,
    Program,
    initial_name,
    recalled,
    references,
)
from perdure.errors import CircularDefinition

__all__ = ["initial_order", "step_order"]


def step_order(program: Program, broken: Collection[str]) -> list[str]:
    """Return flows, biflows and converters in the order in which a step evaluates them.

    `broken` are the delays that never read the current value of their input, and so break circles.

    Raises
    ------
    CircularDefinition
        With the shortest circle, if there is one.
    """

    def nodes(broken: Collection[str]) -> dict[str, list[str]]:
        return {
            name: _inputs(program, definition.code, broken)
            for name, definition in program.definitions.items()
            if definition.kind != "stock"
        }

    return _ordered(program, nodes, broken)


def initial_order(program: Program, broken: Collection[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Return what is evaluated before the first step, in order: initial values and all they need.

    The second result are the variables in circles that branches close, and those that need such variables,
    each with what it needs: which of them comes first depends on the branches that are chosen.

    Raises
    ------
    CircularDefinition
        With the shortest circle, if initial values depend on each other.
    """

    def nodes(broken: Collection[str]) -> dict[str, list[str]]:
        made: dict[str, list[str]] = {}
        for name, definition in {**program.definitions, **program.initials}.items():
            if initial_name(name) in program.initials:
                made[name] = [initial_name(name)]
            else:
                made[name] = _inputs(program, definition.code, broken) + _initials(program, definition.code)
        for memory in program.memories.values():
            made[memory.name] = list(memory.initials)
        roots = [*program.initials, *program.stocks, *program.memories]
        needed = closure(roots, lambda name: made.get(name, ()))
        return {name: made[name] for name in made if name in needed}

    try:
        return _ordered(program, nodes, broken), {}
    except CircularDefinition:
        graph = nodes(broken)
        opened = {name: _opened(program, name, graph) for name in graph}
        if opened == graph:
            raise
        order = _ordered(program, lambda _: opened, broken)
        first = _ready(graph)
        return (
            [*first, *(name for name in order if name not in set(first))],
            {name: opened[name] for name in order if name not in set(first)},
        )


def _opened(program: Program, name: str, graph: Mapping[str, list[str]]) -> list[str]:
    """Return what `name` reads at the start, except for reads within a branch that would close a circle.

    A branch that isn't chosen isn't evaluated, as in ``If(time() == 0, p, level)`` for the initial value of
    the level.
    """
    code = _code(program, name)
    maybe = set(references(code)) - _surely_read(code)
    return [
        read
        for read in graph[name]
        if read not in maybe or name not in closure([read], lambda each: graph.get(each, ()))
    ]


def _surely_read(code: Code) -> set[str]:
    """Return the variables that `code` reads whichever branches are chosen."""
    stack: list[set[str]] = []
    for operator, arity, data in code:
        parts = stack[len(stack) - arity :]
        del stack[len(stack) - arity :]
        read = {str(data)} if operator == "element" else set()
        stack.append(read.union(*(parts[:1] if operator in ("if", "and", "or") else parts)))
    return set[str]().union(*stack)


def _ordered(
    program: Program, nodes: Callable[[Collection[str]], dict[str, list[str]]], broken: Collection[str]
) -> list[str]:
    """Sort the nodes when `broken` delays break circles, and other delays do where necessary.

    Whether a delay with a variable duration reads the present is known only at run time. A delay that closes
    a circle is assumed not to read it; at run time, reading the missing value is an error.
    """
    graph = nodes(broken)
    try:
        return _sorted(program, graph)
    except CircularDefinition:
        closing = [
            delay
            for name in graph
            for delay in _delays(_code(program, name))
            if _may_break(program.delays[delay])
            and name in closure([program.delays[delay].input], lambda name: graph.get(name, ()))
        ]
        if not closing:
            raise
        return _sorted(program, nodes({*broken, *closing}))


def _may_break(delay: Delay) -> bool:
    return delay.duration is None and delay.initial is not None


def _code(program: Program, name: str) -> Code:
    if name in program.memories:
        return ()
    definition = program.initials.get(name) or program.definitions[name]
    return () if definition.kind == "stock" else definition.code


def closure(roots: Iterable[str], inputs: Callable[[str], Iterable[str]]) -> set[str]:
    """Return `roots` and everything they need, directly or indirectly."""
    found = set(roots)
    todo = list(found)
    while todo:
        for name in inputs(todo.pop()):
            if name not in found:
                found.add(name)
                todo.append(name)
    return found


def _delays(code: Code) -> list[str]:
    return [str(data) for operator, _, data in code if operator == "delay"]


def _initials(program: Program, code: Code) -> list[str]:
    """Return the initial values of the delays in `code`, and its memories, which begin with theirs."""
    memories = [recalled(i)[1] for i in code if i.operator == "recall"]
    return [initial for name in _delays(code) if (initial := program.delays[name].initial)] + memories


def _inputs(program: Program, code: Code, broken: Collection[str]) -> list[str]:
    """Return the variables whose present value `code` needs."""
    names = [name for name in references(code) if name not in program.constants]
    return names + [program.delays[delay].input for delay in _delays(code) if delay not in broken]


def _sorted(program: Program, nodes: Mapping[str, Collection[str]]) -> list[str]:
    """Sort topologically; names that aren't nodes already have their values."""
    result = _ready(nodes)
    if len(result) < len(nodes):
        done = set(result)
        rest = {name: {i for i in inputs if i in nodes and i not in done} for name, inputs in nodes.items()}
        circle = _owners(program, _shortest_circle({name: rest[name] for name in rest if name not in done}))
        raise CircularDefinition(circle=" → ".join([*circle, circle[0]]), names=circle)
    return result


def _ready(nodes: Mapping[str, Collection[str]]) -> list[str]:
    """Return, in topological order, what is in no circle and needs nothing that is (Kahn 1962)."""
    waiting = {name: sum(1 for i in set(inputs) if i in nodes) for name, inputs in nodes.items()}
    users: dict[str, list[str]] = {name: [] for name in nodes}
    for name, inputs in nodes.items():
        for i in set(inputs):
            if i in nodes:
                users[i].append(name)
    ready = deque(sorted(name for name, count in waiting.items() if count == 0))
    result: list[str] = []
    while ready:
        name = ready.popleft()
        result.append(name)
        for user in sorted(users[name]):
            waiting[user] -= 1
            if waiting[user] == 0:
                ready.append(user)
    return result


def _shortest_circle(graph: Mapping[str, Collection[str]]) -> list[str]:
    """Return a shortest circle of a graph that has one, each name followed by one that it reads.

    Once the circles through a name are known, the name is removed, and with it all names that are in no
    circle any more; so a single long circle costs one search.
    """
    reads = {name: set(inputs) for name, inputs in graph.items()}
    users: dict[str, set[str]] = {name: set() for name in reads}
    for name, inputs in reads.items():
        for i in inputs:
            users[i].add(name)

    def remove(names: list[str]) -> None:
        while names:
            name = names.pop()
            if name not in reads:
                continue
            for i in reads.pop(name):
                if i in users:
                    users[i].discard(name)
                    if not users[i]:
                        names.append(i)
            for user in users.pop(name):
                if user in reads:
                    reads[user].discard(name)
                    if not reads[user]:
                        names.append(user)

    remove([name for name in reads if not users[name]])
    best: list[str] = []
    for start in sorted(reads):
        if start not in reads:
            continue
        found = _circle_through(start, reads)
        if found and (not best or len(found) < len(best)):
            best = found
        remove([start])
    return best


def _circle_through(start: str, reads: Mapping[str, Collection[str]]) -> list[str]:
    """Return the shortest circle through `start`, or an empty list (breadth-first search)."""
    came_from: dict[str, str] = {}
    todo = deque([start])
    while todo:
        name = todo.popleft()
        for following in sorted(reads[name]):
            if following == start:
                path = [name]
                while path[-1] != start:
                    path.append(came_from[path[-1]])
                return path[::-1]
            if following not in came_from:
                came_from[following] = name
                todo.append(following)
    return []


def _owners(program: Program, circle: list[str]) -> list[str]:
    """Return the user's elements of a circle, in place of the hidden variables that belong to them."""
    owners: list[str] = []
    for name in circle:
        owner = program.owner(name)
        if not owners or owners[-1] != owner:
            owners.append(owner)
    if len(owners) > 1 and owners[0] == owners[-1]:
        owners.pop()
    return owners
