"""Cells computed together by NumPy have the bits that they have one by one, and their errors name them."""

import math
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.xmile_models import aux, model_of

from perdure.engines.system_dynamics import Model, SystemDynamicsEngine, simulate
from perdure.engines.system_dynamics import functions as sd
from perdure.engines.system_dynamics.compiling import families
from perdure.engines.system_dynamics.compiling.compiler import compile_program
from perdure.errors import EvaluationFailed
from perdure.testing.engines import EngineConformance

ALONE = 10**9
SPECIAL = [0.0, -0.0, math.inf, -math.inf, math.nan, 1e308, -1e308, 5e-324, 0.5, -0.5, 2.0, -3.0, 7.25]
numbers = st.sampled_from(SPECIAL) | st.floats(-9.0, 9.0)
positive = st.sampled_from([0.5, 1.0, 3.0])


@contextmanager
def least_cells(count: int) -> Iterator[None]:
    """Compute together from so many cells on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(families, "LEAST_CELLS", count)
        yield


def bits(value: float) -> bytes:
    return b"nan" if math.isnan(value) else struct.pack("<d", value)


def outcome(make: Callable[[], Model], config: dict[str, Any], count: int) -> Any:
    with least_cells(count):
        try:
            _, values = simulate(make(), config)
        except EvaluationFailed as error:
            return str(error).partition(" at t=")[2]
    return {name: [*map(bits, column)] for name, column in values.items()}


@st.composite
def equations(draw: st.DrawFn, depth: int = 3) -> Callable[[dict[str, Any]], Any]:
    """A function from what there is, by name, to an expression over it."""
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        name = draw(st.sampled_from(["s", "v", "w", "k", "n", "time", "shifted", "reversed"]))
        value = draw(numbers)
        return lambda known: value if name == "n" else known[name]
    a, b, c = (draw(equations(depth - 1)) for _ in range(3))
    kind = draw(st.sampled_from(KINDS))
    operate = OPERATIONS[kind]
    return lambda known: operate(a(known), b(known), c(known))


OPERATIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "+": lambda a, b, c: as_part(a) + b,
    "-": lambda a, b, c: as_part(a) - b,
    "*": lambda a, b, c: as_part(a) * b,
    "/": lambda a, b, c: as_part(a) / (1.5 + sd.abs(b)),
    "/ may fail": lambda a, b, c: as_part(a) / b,
    "%": lambda a, b, c: as_part(a) % (0.75 + sd.abs(b)),
    "if": lambda a, b, c: sd.If(as_part(a) > b, b, c),
    "guard": lambda a, b, c: sd.If(as_part(a) == 0.0, c, as_part(b) / a),
    "and": lambda a, b, c: sd.And(as_part(a) >= b, as_part(b) != c),
    "or": lambda a, b, c: sd.Or(as_part(a) < b, sd.Not(c)),
    "max": lambda a, b, c: sd.max(a, b),
    "min": lambda a, b, c: sd.min(a, b),
    "negate": lambda a, b, c: -as_part(a),
    "abs": lambda a, b, c: sd.abs(a),
    "sqrt": lambda a, b, c: sd.sqrt(a),
    "floor": lambda a, b, c: sd.floor(a),
    "ceil": lambda a, b, c: sd.ceil(a),
    "step": lambda a, b, c: sd.step(a, b),
    "lookup": lambda a, b, c: sd.lookup(a, "curve"),
    "own lookup": lambda a, b, c: sd.lookup(a, ((-1.0, 2.0), (3.0, -4.0))),
    "exp": lambda a, b, c: sd.exp(a),
    "ln": lambda a, b, c: sd.ln(a),
    "sin": lambda a, b, c: sd.sin(a),
    "power": lambda a, b, c: as_part(a) ** 2.0,
    "powers": lambda a, b, c: sd.abs(a) ** sd.min(2.0, sd.max(0.5, b)),
    "uniform": lambda a, b, c: sd.uniform(a, b),
}
KINDS = list(OPERATIONS)


def as_part(value: Any) -> Any:
    return sd.max(value, value) if isinstance(value, float) else value


@st.composite
def makers(draw: st.DrawFn) -> Callable[[], Model]:
    size = draw(st.integers(3, 6))
    cells = st.lists(numbers, min_size=size, max_size=size)
    starts, values = draw(cells), [x if math.isfinite(x) else 0.0 for x in draw(cells)]
    w, net, inflow = draw(equations()), draw(equations()), draw(equations(2))
    first, period = draw(st.booleans()), draw(positive)
    floors = draw(st.sampled_from([range(0), range(size), range(1, size)]))

    def make() -> Model:
        model = Model(starttime=0.0, stoptime=2.0, dt=0.5, name="random")
        model.points["curve"] = [[-2.0, 1.0], [0.0, -1.0], [5.0, 3.0]]
        k = model.constant("k")
        k.equation = 1.25
        s, v = model.stock("s"), model.constant("v")
        s.setup_vector(size, starts)
        v.setup_vector(size, values)
        known: dict[str, Any] = {"s": s, "v": v, "w": v, "k": k, "time": sd.time()}
        for name, order in (("shifted", [*range(1, size), 0]), ("reversed", [*reversed(range(size))])):
            known[name] = model.converter(name)
            known[name].setup_vector(size)
            for i, j in enumerate(order):
                known[name][i] = s[j] + 0.0
        known["w"] = model.converter("w")
        known["w"].equation = as_part(w(known | {"w": v})) * 1.0 + v * 0.0
        flow = model.flow("flow")
        flow.equation = as_part(inflow(known)) + s * 0.0
        s.equation = flow - as_part(net(known)) + sd.smooth(model, s, period, 1.0)
        for i in floors:
            s[i].non_negative = True
        if first:
            s[0].equation = k - flow[1]
        for name in ("sum", "prod", "mean", "max", "min"):
            model.converter(name).equation = getattr(known["w"], f"arr_{name}")()
        model.converter("dot").equation = s.dot(v)
        return model

    return make


@given(make=makers(), method=st.sampled_from(["euler", "rk4"]), few=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_cells_have_the_same_bits_together_and_alone(
    make: Callable[[], Model], method: str, few: bool
) -> None:
    config: dict[str, Any] = {"method": method, **({"outputs": ["w[1]", "sum"]} if few else {})}
    assert outcome(make, config, 2) == outcome(make, config, ALONE)


def chain(size: int) -> Model:
    model = Model(starttime=0.0, stoptime=4.0, dt=0.5, name="chain")
    level, flow = model.stock("level"), model.flow("flow")
    delay, share = model.constant("delay"), model.constant("share")
    delay.setup_vector(size, [1.0 + 0.5 * i for i in range(size)])
    share.equation = 0.5
    level.setup_vector(size, [float(i) for i in range(size)])
    flow.equation = level / delay
    level[0] = share - flow[0]
    for i in range(1, size):
        level[i] = flow[i - 1] - flow[i]
    model.converter("late").equation = sd.delay(model, flow, 1.0) + sd.delay(model, level, delay, 0.0)
    model.converter("total").equation = level.arr_sum()
    return model


def test_a_chain_is_computed_together_and_alone_where_only_a_cell_is_asked_for() -> None:
    size = 80
    compiled = compile_program(chain(size).program(), "euler", ["level[3]"], ())
    assert compiled.vectorized and len(compiled.names.state.names) == 1
    config = {"outputs": ["level[79]", "flow[5]", "late[7]", "total"]}
    assert outcome(lambda: chain(size), config, 64) == outcome(lambda: chain(size), config, ALONE)
    assert not compile_program(chain(40).program(), "euler", [], ()).vectorized


@pytest.mark.parametrize("method", ["euler", "rk4"])
def test_a_chain_of_cells_that_are_computed_together_obeys_the_law(method: str) -> None:
    model = chain(70)
    inputs: list[dict[str, Any]] = [{} for _ in range(9)]
    inputs[3] = {"constants": {"delay[65]": 2.0, "share": 0.75}}
    refused = [{"constants": {"delay": 1.0}}]
    EngineConformance(lambda: SystemDynamicsEngine(model), {"method": method}, inputs, refused).check()


@pytest.mark.parametrize("least", [2, ALONE])
@pytest.mark.parametrize(
    ("equation", "reason"),
    [
        (lambda s, v, k: s / v, "division by zero"),
        (lambda s, v, k: s % v, "division by zero"),
        (lambda s, v, k: sd.If(s > 0.0, s / v, 0.0), "division by zero"),
        (lambda s, v, k: sd.If(v > 1.5, 0.0, sd.If(v > -1.0, k / v, 0.0)), "division by zero"),
        (lambda s, v, k: sd.If(v == 0.0, s / (k - k), 0.0), "division by zero"),
        (lambda s, v, k: (v + 1e200 * (v == 0.0)) ** 2.0, "too large for a float"),
    ],
)
def test_an_error_names_the_cell_and_the_time(least: int, equation: Callable[..., Any], reason: str) -> None:
    model = Model(starttime=0.0, stoptime=4.0, dt=1.0, name="m")
    s, v, k = model.stock("s"), model.converter("v"), model.constant("k")
    k.equation = 1.0
    s.setup_vector(5, 1.0)
    v.setup_vector(5, 1.0)
    for i in range(5):
        v[i] = 3.0 - sd.time() if i == 3 else 1.0 + sd.time()
    model.converter("c").equation = equation(s, v, k)
    with least_cells(least), pytest.raises(EvaluationFailed, match=rf"'c\[3\]' .* t=3.0: .*{reason}"):
        simulate(model, {"outputs": ["c[0]", "c[3]"]})


def test_what_a_branch_that_is_not_chosen_would_raise_is_not_raised() -> None:
    model = Model(starttime=0.0, stoptime=1.0, dt=1.0, name="m")
    v = model.constant("v")
    v.setup_vector(4, [0.0, 1.0, 2.0, 0.0])
    k = model.constant("k")
    k.equation = 0.0
    model.converter("a").equation = sd.If(v != 0.0, 6.0 / v, 9.0)
    model.converter("b").equation = sd.If(v > 5.0, v / k, 1.0 / (k + 1.0))
    model.converter("c").equation = sd.If(v > 5.0, 1.0 / k, v)
    model.converter("d").equation = sd.Or(v == 0.0, 1.0 / v > 0.75)
    with least_cells(2):
        _, values = simulate(model, {})
    last = {name: [values[f"{name}[{i}]"][-1] for i in range(4)] for name in "abcd"}
    assert last == {
        "a": [9.0, 6.0, 3.0, 9.0],
        "b": [1.0] * 4,
        "c": [0.0, 1.0, 2.0, 0.0],
        "d": [1.0, 1.0, 0.0, 1.0],
    }


def test_cells_of_a_file_are_computed_together_too(tmp_path: Path) -> None:
    cells = '<dimensions><dim name="d"/></dimensions>'
    variables = f"""<stock name="s">{cells}<eqn>d*2</eqn><inflow>g</inflow><outflow>f</outflow></stock>
    <flow name="f">{cells}<eqn>s/tau + SMTH1(s, 3)*0.01</eqn></flow>
    <flow name="g">{cells}<eqn>MAX(s*0.01, 0.5)</eqn></flow>"""
    variables += aux("tau", "5") + aux("total", "SUM(s)")
    dimensions = '<dimensions><dim name="d" size="80"/></dimensions>'
    model = model_of(tmp_path, variables, before=dimensions)
    assert compile_program(model.program(), "euler", ["total"], ()).vectorized
    together = outcome(lambda: model_of(tmp_path, variables, before=dimensions), {}, 64)
    assert together == outcome(lambda: model_of(tmp_path, variables, before=dimensions), {}, ALONE)
