"""Elements of a hybrid model that nothing else affects have the same bits as in system dynamics."""

import pytest

from perdure.bptk import Model
from perdure.bptk import sd_functions as sd
from perdure.engines.system_dynamics import Model as SystemDynamics
from perdure.errors import EvaluationFailed, MissingEquation, UnknownElement


def everything() -> Model:
    """Return a model with every kind of state."""
    model = Model(0.0, 12.0, 0.25, "everything")
    level, flow, noise = model.stock("level"), model.flow("flow"), model.converter("noise")
    rate, lag = model.constant("rate"), model.constant("lag")
    model.points["curve"] = [[0.0, 0.0], [5.0, 3.0], [10.0, 1.0]]
    rate.equation, lag.equation = 0.3, 2.0
    level.initial_value = rate * 5.0
    level.equation = flow - level * 0.1
    noise.equation = sd.normal(0.0, 1.0) + sd.gamma(2.0, 0.5)
    flow.equation = noise + rate * level + sd.pulse(model, 2.0, 1.0, 1.5)
    model.converter("shape").equation = sd.lookup(level, "curve")
    model.converter("own").equation = sd.lookup(level, [(0.0, 1.0), (4.0, 9.0)])
    model.converter("late").equation = sd.delay(model, level, 1.25, 0.5)
    model.converter("later").equation = sd.delay(model, noise, lag, 1.0)
    model.converter("soon").equation = sd.delay(model, level, 0.6)
    model.converter("calm").equation = sd.smooth(model, level, 3.0, 10.0)
    model.converter("tendency").equation = sd.trend(model, level, 4.0, 10.0)
    square = model.function("square", lambda view, t, x: x * x + t + view.dt)
    model.converter("squared").equation = sd.If(level > 1.0, square(level), sd.max(level, 0.5) ** 2.0)
    vector = model.stock("vector")
    vector.setup_vector(3, [1.0, 2.0, 3.0])
    for i in range(3):
        vector[i].equation = level * float(i)
    model.converter("total").equation = vector.arr_sum()
    return model


NAMES = (
    "level", "flow", "noise", "shape", "own", "late", "later", "soon", "calm", "tendency", "squared", "total",
    "vector[2]",
)  # fmt: skip


def test_the_same_bits_as_in_system_dynamics() -> None:
    model = everything()
    compiled = SystemDynamics.simulate(model, NAMES)
    model.keep_values()
    kept = model.simulate(NAMES)
    assert {name: list(kept[name]) for name in NAMES} == {name: list(compiled[name]) for name in NAMES}
    for name in NAMES:
        assert model.evaluate_equation(name, 12.0) == list(compiled[name])[-1]


def test_a_long_run_that_nobody_has_stepped_needs_no_deep_recursion() -> None:
    model = Model(0.0, 5000.0, 1.0, "long")
    stock, flow = model.stock("stock"), model.flow("flow")
    stock.initial_value, stock.equation, flow.equation = 1.0, flow, stock * 0.001
    model.keep_values()
    assert model.evaluate_equation("stock", 5000.0) == pytest.approx(1.001**5000)


def test_what_cannot_be_evaluated_is_named() -> None:
    model = Model(0.0, 3.0, 1.0, "wrong")
    model.keep_values()
    one, other = model.converter("one"), model.converter("other")
    one.equation, other.equation = other * 1.0, one * 1.0
    model.converter("divided").equation = 1.0 / (sd.time() - 1.0)
    model.converter("empty")
    model.converter("reading").equation = model.converter("empty") * 2.0
    with pytest.raises(EvaluationFailed, match="circle"):
        model.evaluate_equation("one", 0.0)
    with pytest.raises(EvaluationFailed, match="division by zero"):
        model.evaluate_equation("divided", 1.0)
    with pytest.raises(MissingEquation):
        model.evaluate_equation("reading", 0.0)
    with pytest.raises(UnknownElement):
        model.evaluate_equation("nothing", 0.0)
