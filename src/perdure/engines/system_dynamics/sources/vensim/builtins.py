"""The functions of the form that Vensim files call: some as in XMILE, some with a meaning of their own.

Source: the function reference of Vensim's documentation.
"""

from perdure.engines.system_dynamics.expression import (
    Expression,
    Hidden,
    Memory,
    Number,
    Operation,
    Recall,
    Reference,
)
from perdure.engines.system_dynamics.sources import form
from perdure.engines.system_dynamics.sources.builtins import XMILE, seeded
from perdure.engines.system_dynamics.sources.equations import Builtin, Context, Functions
from perdure.engines.system_dynamics.sources.problems import Unservable
from perdure.engines.system_dynamics.sources.vensim.functions import NA

__all__ = ["VENSIM"]

Nodes = tuple[form.Node, ...]


def _curve(kind: str) -> Builtin:
    return Builtin(2, 2, lambda c, a: c.curve(a[0], c.value(a[1]), kind))


def _with_gaps(kind: str) -> Builtin:
    """A curve that has no value at some places, where it is :NA:."""

    def make(c: Context, a: Nodes) -> Expression:
        value = c.variable("datum", c.curve(a[0], c.value(a[1]), kind))
        return Operation("if", (Operation("equal", (value, value)), value, Number(NA)))

    return Builtin(2, 2, make)


def _remembered(kind: str, inputs: int, initials: int) -> Builtin:
    """A memory; the arguments are what it reads at each step, and then what it begins with."""

    def make(c: Context, a: Nodes) -> Expression:
        values = c.values(a)
        memory = Memory(c.hidden_name(kind), kind, values[:inputs], values[inputs:])
        return Recall(memory, "last")

    return Builtin(inputs + initials, inputs + initials, make)


def _material(c: Context, a: Nodes) -> Expression:
    value, time, initial, missing = c.values(a)
    memory = Memory(c.hidden_name("material"), "material", (value, time), (time, initial))
    return Recall(memory, "arriving", (missing,))


def _information(c: Context, a: Nodes) -> Expression:
    value, time, initial = c.values(a)
    memory = Memory(c.hidden_name("information"), "information", (value, time), (time, initial))
    return Recall(memory, "last")


def _delay_n(c: Context, a: Nodes) -> Expression:
    value, time, order, initial = c.values(a)
    time = c.variable("time", time)
    return Recall(Memory(c.hidden_name("delay"), "delay_n", (value, time), (time, order, initial)), "last")


def _smooth_n(c: Context, a: Nodes) -> Expression:
    value, time, order, initial = c.values(a)
    return Recall(Memory(c.hidden_name("smooth"), "smooth_n", (value, time), (order, initial)), "last")


def _sample(c: Context, a: Nodes) -> Expression:
    """SAMPLE IF TRUE: the value when the condition held last; it is kept by a memory of itself."""
    condition, value, initial = c.values(a)
    name = c.hidden_name("sample")
    memory = Memory(f"{name} kept", "held", (Reference(name),), (initial,))
    return Hidden(name, "converter", Operation("if", (condition, value, Recall(memory, "last"))))


def _average(c: Context, value: Expression, time: Expression, initial: Expression) -> Expression:
    name = c.hidden_name("average")
    return Hidden(name, "stock", (value - Reference(name)) / time, initial)


def _trend(c: Context, a: Nodes) -> Expression:
    value, time, initial = (c.variable("input", each) for each in c.values(a))
    average = _average(c, value, time, value / (1.0 + initial * time))
    return Operation("xidz", (value - average, time * Operation("abs", (average,)), Number(0.0)))


def _forecast(c: Context, a: Nodes) -> Expression:
    value, time, horizon, initial = (c.variable("input", each) for each in c.values(a))
    average = _average(c, value, time, value / (1.0 + initial))
    return value * (1.0 + Operation("xidz", (value - average, time * average, Number(0.0))) * horizon)


def _worth(c: Context, a: Nodes) -> Expression:
    """NPV, whose last argument scales the payments."""
    return XMILE["npv"].make(c, a[:3]) * c.value(a[3])


def _vector(operator: str, scalars: int) -> Builtin:
    """An operator of `vectors`: numbers, and then whole arrays."""

    def make(c: Context, a: Nodes) -> Expression:
        arrays = [value for node in a[scalars:] for value in c.each(node)]
        return Operation(operator, (*c.values(a[:scalars]), *arrays))

    return Builtin(scalars + 1, None, make)


def _select(c: Context, a: Nodes) -> Expression:
    """Go through the selection and the values side by side."""
    selection, values = [], []
    for chosen, _ in c.each_with_elements(form.Operation("add", (a[3], a[4]))):
        cell = c.at(chosen)
        selection.append(cell.value(a[3]))
        values.append(cell.value(a[4]))
    return Operation("vector_select", (*c.values(a[:3]), *selection, *values))


def _market_price(c: Context, a: Nodes) -> Expression:
    """FIND MARKET PRICE: the demands with their profiles, and the supplies with theirs."""
    demands, profiles, supplies, offers = (c.each(node) for node in a)
    if len(profiles) != 4 * len(demands) or len(offers) != 4 * len(supplies):
        raise Unservable("FIND MARKET PRICE takes quantities, and a profile of four numbers for each")
    return Operation("market_price", (Number(float(len(demands))), *demands, *profiles, *supplies, *offers))


VENSIM: Functions = {
    **{
        name: XMILE[name]
        for name in ("delay1", "delay3", "init", "lookup", "max", "min", "prod", "smth1", "smth3")
    },
    "sum": XMILE["sum"],
    "@seeded": Builtin(2, 2, lambda c, a: seeded(*c.values(a))),
    # History
    "delay_fixed": _remembered("pipeline", 1, 2),
    "delay_information": Builtin(3, 3, _information),
    "delay_material": Builtin(4, 4, _material),
    "delay_n": Builtin(4, 4, _delay_n),
    "forecast": Builtin(4, 4, _forecast),
    "npv": Builtin(4, 4, _worth),
    "sample_if_true": Builtin(3, 3, _sample),
    "smooth_n": Builtin(4, 4, _smooth_n),
    "trend": Builtin(3, 3, _trend),
    # Lookups
    "lookup_area": _curve("area"),
    "lookup_discrete": _curve("discrete"),
    "lookup_extrapolate": _curve("extrapolate"),
    "lookup_inverse": _curve("inverse"),
    "lookup_next": _curve("next"),
    "lookup_raw": _with_gaps("raw"),
    "lookup_slope": _curve("slope"),
    "lookup_slope_extrapolate": _curve("slope_extrapolate"),
    "lookup_slope_within": _with_gaps("slope_within"),
    "lookup_within": _with_gaps("within"),
    # Arrays
    "allocate_available": _vector("allocate_available", 2),
    "allocate_by_priority": _vector("allocate_by_priority", 3),
    "element_at": _vector("element_at", 1),
    "find_market_price": Builtin(4, 4, _market_price),
    "inverse": _vector("inverse", 1),
    "share_at_price": _vector("share_at_price", 1),
    "sort_order": _vector("sort_order", 2),
    "sort_rank": _vector("sort_rank", 2),
    "vector_select": Builtin(5, 5, _select, aggregates=True),
}
"""The functions by canonical name; `functions` and `expressions` make the calls."""
