"""The law of engines on random models: however a run is cut, resumed or batched, it has the same bits."""

from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from perdure.engines.system_dynamics import Expression, Model, SystemDynamicsEngine, simulate
from perdure.engines.system_dynamics import functions as sd
from perdure.errors import EvaluationFailed
from perdure.state.codec import encode
from perdure.testing.engines import EngineConformance

numbers = st.floats(-20.0, 20.0, allow_nan=False).map(lambda x: round(x, 3))
positive = st.floats(0.1, 5.0).map(lambda x: round(x, 3))


@dataclass
class Case:
    model: Model
    config: dict[str, Any]
    inputs: list[dict[str, Any]]

    def engine(self) -> SystemDynamicsEngine:
        return SystemDynamicsEngine(self.model)


@st.composite
def expressions(draw: st.DrawFn, model: Model, known: list[Expression], depth: int = 3) -> Any:
    """An expression over `known`, bounded so that the run stays finite."""

    def part() -> Any:
        return draw(expressions(model, known, depth - 1))

    if depth == 0:
        return draw(st.sampled_from(known) | numbers)
    duration = st.sampled_from([0.25, 0.6, 1.0, 1.3, 3.0, 0.0])
    kind = draw(st.sampled_from(KINDS))
    match kind:
        case "leaf":
            return draw(st.sampled_from(known) | numbers)
        case "+":
            return part() + draw(st.sampled_from(known))
        case "-":
            return draw(st.sampled_from(known)) - part()
        case "*":
            return part() * sd.sin(part())
        case "/":
            return draw(st.sampled_from(known)) / (1.5 + sd.cos(part()))
        case "min":
            return sd.min(part(), part())
        case "if":
            return sd.If(sd.And(draw(st.sampled_from(known)) > part(), sd.time() > 0.5), part(), part())
        case "lookup":
            return sd.lookup(part(), draw(st.sampled_from(["curve", ((-1.0, 2.0), (3.0, -4.0))])))
        case "fixed delay":
            initial = [draw(numbers | st.sampled_from(known))] if draw(st.booleans()) else []
            return sd.delay(model, part(), draw(duration), *initial)
        case "variable delay":
            length = sd.max(0.0, sd.min(2.0, part()))
            return sd.delay(model, part(), length, *([draw(numbers)] if draw(st.booleans()) else []))
        case "smooth":
            return sd.smooth(model, part(), draw(positive), draw(numbers))
        case "trend":
            return sd.max(-9.0, sd.min(9.0, sd.trend(model, 2.0 + sd.sin(part()), draw(positive), 1.0)))
        case "pulse":
            return sd.pulse(model, draw(numbers), 0.5, draw(st.sampled_from([0.0, 0.75])))
        case "random":
            law = draw(st.sampled_from([sd.normal, sd.uniform, sd.gamma, sd.beta, sd.weibull]))
            return law(draw(positive), draw(positive))
        case "count":
            return sd.min(50.0, draw(st.sampled_from([sd.poisson, sd.exprnd, sd.montecarlo]))(draw(positive)))
        case _:
            return model.function("mix", mix)(part(), 1.0)


KINDS = [
    "leaf", "+", "-", "*", "/", "min", "if", "lookup", "fixed delay", "variable delay", "smooth", "trend",
    "pulse", "random", "count", "function",
]  # fmt: skip


def mix(view: Any, t: float, x: float, y: float) -> float:
    return (x + y * t) / (1.0 + view.dt)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    model = Model(draw(st.sampled_from([0.0, -3.0, 0.1])), 0.0, draw(st.sampled_from([0.25, 0.1])), "random")
    model.points["curve"] = [[-5.0, 1.0], [0.0, 0.0], [0.0, 2.0], [8.0, -3.0]]
    constants = [model.constant(f"constant {i}") for i in range(2)]
    for constant in constants:
        constant.equation = draw(numbers)
    stocks = [model.stock(f"stock {i}") for i in range(draw(st.integers(1, 3)))]
    known: list[Expression] = [*constants, *stocks, sd.time()]
    for i in range(draw(st.integers(1, 4))):
        make = draw(st.sampled_from([model.flow, model.biflow, model.converter]))
        element = make(f"element {i}")
        element.equation = draw(expressions(model, known))
        known.append(element)
    for stock in stocks:
        # Of a bounded value, and falling back to zero, so that stocks stay within reach.
        stock.equation = sd.max(-50.0, sd.min(50.0, draw(st.sampled_from(known)) * 1.0)) - 0.3 * stock
        stock.initial_value = draw(numbers | st.sampled_from([*constants, sd.starttime(model) + 1.0]))
    multiple = draw(st.sampled_from([1, 1, 2, 3]))
    answers = draw(st.integers(1, 7))
    model.stoptime = model.starttime + model.dt * multiple * answers
    overrides = st.fixed_dictionaries(
        {},
        optional={
            "constants": st.dictionaries(st.sampled_from(["constant 0", "constant 1"]), numbers),
            "points": st.just({"curve": [[0.0, -2.0], [1.0, 5.0]]}),
        },
    )
    config = {
        "outputs": list(model.elements),
        "timestep": model.dt * multiple,
        "method": draw(st.sampled_from(["euler", "rk4"])),
        "seed": draw(st.integers(0, 2**64 - 1)),
        "stream": draw(st.text(max_size=3)),
    }
    return Case(
        model, config, draw(st.lists(overrides | st.just({}), min_size=answers + 1, max_size=answers + 1))
    )


SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck))


@given(cases())
@settings(SLOW, max_examples=120)
def test_a_run_resumed_at_any_step_goes_on_with_the_same_bits(case: Case) -> None:
    try:
        EngineConformance(case.engine, case.config, case.inputs).check()
    except EvaluationFailed:
        assume(False)


@given(cases())
@settings(SLOW, max_examples=120)
def test_steps_and_a_whole_run_have_the_same_bits(case: Case) -> None:
    engine = case.engine()
    try:
        engine.initialize(case.config)
        steps = []
        times = []
        while not engine.finished:
            steps.append(engine.step({}))
            times.append(engine.time)
        run_times, columns = simulate(case.model, case.config)
    except EvaluationFailed:
        assume(False)
    assert run_times == times
    stepped = {name: [step[name] for step in steps] for name in columns}
    assert encode(columns) == encode(stepped)


@given(cases(), st.data())
@settings(SLOW, max_examples=60)
def test_an_answer_does_not_depend_on_the_other_outputs(case: Case, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(case.config["outputs"]), min_size=1, unique=True))
    try:
        _, everything = simulate(case.model, case.config)
    except EvaluationFailed:
        assume(False)
    _, some = simulate(case.model, {**case.config, "outputs": chosen})
    assert encode(some) == encode({name: everything[name] for name in chosen})


@given(cases())
@settings(SLOW, max_examples=60)
def test_single_values_agree_with_a_run_under_the_same_seed(case: Case) -> None:
    config = {"outputs": case.config["outputs"]}
    try:
        times, columns = simulate(case.model, config)
    except EvaluationFailed:
        assume(False)
    name = config["outputs"][-1]
    assert encode([case.model.evaluate_equation(name, t) for t in times]) == encode(columns[name])


def test_a_snapshot_stays_small_however_long_the_run() -> None:
    model = Model(0.0, 5000.0, 1.0)
    level = model.stock("level")
    level.equation = sd.normal(0.0, 1.0)
    model.converter("average").equation = sd.smooth(model, sd.delay(model, level, 3.0, 0.0), 5.0, 0.0)
    engine = SystemDynamicsEngine(model)
    engine.initialize({})
    sizes = []
    while not engine.finished:
        engine.step({})
        sizes.append(len(encode(engine.snapshot())))
    assert max(sizes[10:]) <= sizes[10] + 8
