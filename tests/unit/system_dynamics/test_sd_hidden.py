"""Hidden variables, memories, formulas and the ways to read a table, which models from files use."""

import math

import pytest

from perdure.engines.system_dynamics import Model, SystemDynamicsEngine, simulate
from perdure.engines.system_dynamics import functions as sd
from perdure.engines.system_dynamics.compiling.formulas import FORMULAS
from perdure.engines.system_dynamics.expression import Hidden, Memory, Number, Operation, Recall, Reference
from perdure.engines.system_dynamics.points import point_table


def internal_return(method_of_payment: float = -100.0) -> Model:
    """A stream of payments with its internal rate of return, and a hidden stock that adds them up."""
    model = Model(starttime=0.0, stoptime=5.0, dt=1.0, name="returns")
    payment = model.converter("payment")
    payment.equation = sd.If(sd.time() > 0.0, Number(30.0), Number(method_of_payment))
    stream = Memory("@stream 1 of rate", "stream", inputs=(payment,), initials=())
    model.converter("rate").equation = Recall(stream, "internal_return", (payment, Number(-1.0)))
    balance = Hidden("@balance", "stock", payment + 0.0 * Reference("@balance"), Number(0.0))
    model.converter("balance").equation = balance + 0.0 * balance
    return model


def test_a_memory_and_a_hidden_stock_give_their_values() -> None:
    times, columns = simulate(internal_return(), {})
    assert times == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert columns["balance"] == [0.0, -100.0, -70.0, -40.0, -10.0, 20.0]
    assert columns["rate"][:1] == [-1.0]
    worth = sum(payment / (1.0 + columns["rate"][-1]) ** n for n, payment in enumerate([-100.0] + [30.0] * 5))
    assert worth == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("method", ["euler", "rk4"])
def test_a_model_with_a_memory_goes_on_with_the_same_bits_from_every_step(method: str) -> None:
    model = internal_return()
    engine = SystemDynamicsEngine(model)
    engine.initialize({"method": method})
    states, answers = [engine.snapshot()], []
    while not engine.finished:
        answers.append(engine.step({}))
        states.append(engine.snapshot())
    for n, state in enumerate(states):
        resumed = SystemDynamicsEngine(model)
        resumed.initialize({"method": method})
        resumed.restore(state)
        rest = []
        while not resumed.finished:
            rest.append(resumed.step({}))
        assert rest == answers[n:]
        assert resumed.snapshot() == states[-1]


def test_a_memory_counts_in_the_identity_of_a_model() -> None:
    assert internal_return().fingerprint() == internal_return().fingerprint()
    assert internal_return().fingerprint() != internal_return(-90.0).fingerprint()


def test_a_converter_with_a_value_at_the_start_breaks_a_circle_of_initial_values() -> None:
    model = Model(starttime=0.0, stoptime=1.0, dt=1.0, name="active")
    level, target = model.stock("level"), model.converter("target")
    level.initial_value = target
    level.equation = Number(1.0)
    target.equation = Hidden("@active target", "converter", level * 2.0, Number(5.0))
    assert simulate(model, {})[1] == {"level": [5.0, 6.0], "target": [10.0, 12.0]}


POINTS = ((0.0, 0.0), (1.0, 10.0), (2.0, 30.0))


@pytest.mark.parametrize(
    ("kind", "answers"),
    [
        ("continuous", [0.0, 5.0, 10.0, 30.0]),
        ("extrapolate", [-10.0, 5.0, 10.0, 50.0]),
        ("discrete", [0.0, 0.0, 10.0, 30.0]),
        ("next", [0.0, 10.0, 10.0, 30.0]),
        ("raw", [math.nan, math.nan, 10.0, math.nan]),
        ("slope", [0.0, 10.0, 15.0, 0.0]),
        ("slope_extrapolate", [10.0, 10.0, 15.0, 20.0]),
        ("slope_within", [math.nan, 10.0, 15.0, math.nan]),
        ("within", [math.nan, 5.0, 10.0, math.nan]),
        ("area", [0.0, 1.25, 5.0, 55.0]),
    ],
)
def test_points_are_read_in_several_ways(kind: str, answers: list[float]) -> None:
    table = point_table(POINTS, kind)  # type: ignore[arg-type]
    assert [table(x) for x in (-1.0, 0.5, 1.0, 3.0)] == pytest.approx(answers, nan_ok=True)


def test_the_inverse_of_points_is_the_first_place_of_a_value() -> None:
    table = point_table(((0.0, 0.0), (1.0, 10.0), (2.0, 0.0)), "inverse")
    assert [table(y) for y in (5.0, 10.0, 99.0)] == [0.5, 1.0, 1.0]


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("sign", (-2.0,), -1.0),
        ("divided", (1.0, 0.0, 7.0), 7.0),
        ("root", (27.0, 3.0), 3.0),
        ("root", (-8.0, 3.0), -2.0),
        ("logarithm", (8.0, 2.0), 3.0),
        ("payment", (0.1, 10.0, 1000.0, 0.0), -162.745395),
        ("payment", (0.0, 10.0, 1000.0, 0.0), -100.0),
        ("payment", (0.1, 10.0, 1000.0, 5.0), -163.059122),
        ("future_value", (0.1, 10.0, -100.0, 0.0), 1593.74246),
        ("present_value", (0.1, 10.0, -100.0, 0.0), 614.456711),
        ("deviation", (10.0, 3.0, 2.0), 3.559026),
        ("position_of", (2.0, 10.0, 3.0, 2.0), 2.0),
        ("chosen", (3.0, 10.0, 3.0, 2.0), 2.0),
        ("chosen", (4.0, 10.0, 3.0, 2.0), 0.0),
        ("interpolated", (0.25, 0.0, 10.0, 30.0), 5.0),
    ],
)
def test_formulas(name: str, arguments: tuple[float, ...], answer: float) -> None:
    model = Model(starttime=0.0, stoptime=1.0, dt=1.0, name="formula")
    model.converter("y").equation = Operation(name, tuple(map(Number, arguments)))
    assert FORMULAS[name](*arguments) == pytest.approx(answer, rel=1e-6)
    assert model.evaluate_equation("y", 0.0) == FORMULAS[name](*arguments)
