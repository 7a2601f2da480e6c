"""The engine behind its port: run specs, overrides, states."""

import math
from collections.abc import Mapping
from typing import Any

import pytest

from perdure.engines.base import Engine
from perdure.engines.system_dynamics import Model, RunSpecs, SystemDynamicsEngine, validate_inputs
from perdure.engines.system_dynamics import functions as sd
from perdure.errors import (
    EngineFinished,
    EvaluationFailed,
    InvalidOverride,
    InvalidRunSpecs,
    InvalidState,
    Refused,
    UnknownElement,
)
from perdure.testing.engines import EngineConformance


def growth() -> Model:
    model = Model(0.0, 4.0, 0.5, "growth")
    level, rate, price = model.stock("level"), model.constant("rate"), model.converter("price")
    level.equation = rate
    rate.equation = 2.0
    model.points["curve"] = [[0.0, 0.0], [10.0, 100.0]]
    price.equation = sd.lookup(level, "curve")
    return model


def engine(**config: Any) -> SystemDynamicsEngine:
    made = SystemDynamicsEngine(growth())
    made.initialize({"outputs": ["level", "price"], **config})
    return made


def test_it_is_an_engine_and_obeys_its_law() -> None:
    inputs = [{}, {"constants": {"rate": 4.0}}, {}, {"points": {"curve": [[0.0, 1.0]]}}, {}]
    assert isinstance(engine(), Engine)
    refused = [{"constants": {"rate": math.nan}}, {"points": {"curve": []}}, {"rate": 1.0}]
    EngineConformance(
        lambda: SystemDynamicsEngine(growth()), {"timestep": 1.0}, inputs, refused=refused
    ).check()


class Lenient(SystemDynamicsEngine):
    """Doesn't look at inputs before it steps."""

    def validate(self, inputs: Mapping[str, Any]) -> None:
        pass


class Severe(SystemDynamicsEngine):
    """Refuses beforehand what it would take."""

    def validate(self, inputs: Mapping[str, Any]) -> None:
        raise InvalidOverride(name="rate", value="4.0", reason="of no reason")


class Hasty(SystemDynamicsEngine):
    """Steps when it is only asked."""

    def validate(self, inputs: Mapping[str, Any]) -> None:
        self.step(inputs)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Lenient, "validate takes .* which must be refused"),
        (Severe, "refuses .* before step 0"),
        (Hasty, "validate changed the engine at step 0"),
    ],
)
def test_conformance_finds_an_engine_that_validates_otherwise_than_it_steps(
    kind: type[SystemDynamicsEngine], message: str
) -> None:
    def made() -> SystemDynamicsEngine:
        return kind(growth())

    inputs = [{"constants": {"rate": 4.0}}, {}]
    with pytest.raises(AssertionError, match=message):
        EngineConformance(made, {}, inputs, refused=[{"constants": {"rate": None}}]).check()


@pytest.mark.parametrize("inputs", [None, [], 0, "", {"constants": []}, {"points": {"curve": 1}}])
def test_validate_refuses_what_step_refuses_with_the_same_words(inputs: Any) -> None:
    e = engine()
    before = e.snapshot()
    with pytest.raises(InvalidOverride) as beforehand:
        e.validate(inputs)
    assert e.snapshot() == before
    with pytest.raises(InvalidOverride) as stepping:
        e.step(inputs)
    assert str(beforehand.value) == str(stepping.value)


def test_the_first_step_answers_the_start_and_each_further_one_the_next_time() -> None:
    e = engine(timestep=1.0)
    assert e.time == 0.0
    assert [e.step({})["level"] for _ in range(5)] == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert e.time == 4.0
    assert e.finished


def test_a_finished_engine_refuses_to_step() -> None:
    e = engine(stoptime=0.0)
    e.step({})
    assert e.finished
    with pytest.raises(EngineFinished, match=r"'growth' was stepped to its last time, 0.0"):
        e.step({})


def test_answers_stay_within_the_stop_time() -> None:
    e = engine(stoptime=2.4, timestep=1.0)
    assert [e.step({})["level"] for _ in range(3)] == [0.0, 2.0, 4.0]
    assert e.finished


def test_outputs_come_in_the_order_asked_for_as_floats() -> None:
    e = engine(outputs=["rate", "level", "rate"])
    answer = e.step({})
    assert list(answer) == ["rate", "level"]
    assert all(type(value) is float for value in answer.values())
    everything = SystemDynamicsEngine(growth())
    everything.initialize({})
    assert list(everything.step({})) == ["level", "rate", "price"]


def test_an_override_is_in_force_from_the_time_the_step_answers() -> None:
    for timestep, expected in ((0.5, [0.0, 1.0, 3.0, 5.0]), (1.0, [0.0, 2.0, 5.0 + 1.0, 10.0])):
        e = engine(timestep=timestep)
        got = [e.step({})["level"], e.step({"constants": {"rate": 4.0}})["level"]]
        got += [e.step({})["level"], e.step({})["level"]]
        assert got == expected


def test_an_overridden_constant_answers_its_new_value_at_once() -> None:
    e = engine(outputs=["rate"])
    e.step({})
    assert e.step({"constants": {"rate": 7}}) == {"rate": 7.0}
    assert e.step({}) == {"rate": 7.0}


def test_overridden_points_stay_in_force() -> None:
    e = engine(points={"curve": [[0.0, 5.0]]})
    assert e.step({})["price"] == 5.0
    assert e.step({"points": {"curve": [(0.0, 0.0), (1.0, 8.0)]}})["price"] == 8.0
    assert e.step({})["price"] == 8.0


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, True, "5", [1.0], None, {}, 1j, 10**400, b"1"]
)
def test_a_constant_that_is_no_finite_number_is_refused(value: Any) -> None:
    e = engine()
    with pytest.raises(InvalidOverride, match=r"'rate' can't be set to .*finite number"):
        e.step({"constants": {"rate": value}})
    with pytest.raises(InvalidOverride):
        engine(constants={"rate": value})
    assert e.step({}) == {"level": 0.0, "price": 0.0}


@pytest.mark.parametrize(
    "value",
    [[], None, "x", 5.0, [[1.0]], [[1.0, 2.0, 3.0]], [[1.0, "2"]], [[1.0, True]], [[math.nan, 1.0]],
     [1.0, 2.0], {"x": 1}, [[0.0, -1.7e308], [1e-3, 1.7e308]]],
)  # fmt: skip
def test_points_that_are_none_are_refused(value: Any) -> None:
    with pytest.raises(InvalidOverride, match="'curve' can't be set to"):
        engine().step({"points": {"curve": value}})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"constants": {"rat": 1.0}}, "no such constant. Did you mean 'rate'"),
        ({"constants": {"level": 1.0}}, "it is a stock; only constants, converters"),
        ({"constants": {3: 1.0}}, "no such constant"),
        ({"points": {"curv": [[0.0, 1.0]]}}, "no points of that name. Did you mean 'curve'"),
        ({"constants": [1.0]}, "must be a mapping"),
        ({"constant": {}}, "Did you mean 'constants'"),
        ([1], "must be a mapping"),
        ([], "must be a mapping"),
    ],
)
def test_what_can_not_be_overridden_is_refused_with_the_nearest_name(inputs: Any, message: str) -> None:
    with pytest.raises(InvalidOverride, match=message):
        engine().step(inputs)
    with pytest.raises(InvalidOverride, match=message):
        validate_inputs(growth(), inputs)


def test_a_converter_that_is_a_number_is_set_at_a_step_and_kept_in_savepoints() -> None:
    model = growth()
    number = model.converter("number")
    number.equation = 2
    model.converter("past").equation = sd.delay(model, number, model.dt, 0.0)
    config = {"outputs": ["number", "past"]}
    first, second = SystemDynamicsEngine(model), SystemDynamicsEngine(model)
    first.initialize(config), second.initialize(config)
    assert first.step({}) == {"number": 2.0, "past": 0.0}
    assert first.step({"constants": {"number": 7.0}}) == {"number": 7.0, "past": 2.0}
    second.restore(first.snapshot())
    assert first.step({}) == second.step({}) == {"number": 7.0, "past": 7.0}


def test_a_refused_input_changes_nothing() -> None:
    e, untouched = engine(), engine()
    e.step({}), untouched.step({})
    before = e.snapshot()
    with pytest.raises(InvalidOverride):
        e.step({"constants": {"rate": 9.0}, "points": {"curve": [["a", 1.0]]}})
    with pytest.raises(InvalidOverride):
        e.step({"points": {"curve": [[0.0, 1.0]]}, "constants": {"rate": math.nan}})
    assert e.snapshot() == before
    assert [e.step({}) for _ in range(3)] == [untouched.step({}) for _ in range(3)]


def test_a_number_out_of_range_after_an_override_is_an_evaluation_error() -> None:
    model = growth()
    model.converter("share").equation = 1.0 / model.constant("rate")
    e = SystemDynamicsEngine(model)
    e.initialize({"outputs": ["share"]})
    e.step({})
    with pytest.raises(EvaluationFailed, match=r"'share' can't be evaluated at t=0.5: division by zero"):
        e.step({"constants": {"rate": 0.0}})
    with pytest.raises(EvaluationFailed, match=r"t=0.5"):
        e.step({"constants": {"rate": 1.0}})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"dt": 0.0}, "dt must be positive"),
        ({"dt": -1.0}, "dt must be positive"),
        ({"dt": math.nan}, "dt must be a finite number"),
        ({"dt": "1"}, "dt must be a finite number"),
        ({"dt": True}, "dt must be a finite number"),
        ({"starttime": math.inf}, "starttime must be a finite number"),
        ({"stoptime": None}, "stoptime must be a finite number"),
        ({"starttime": 5.0}, "stoptime 4.0 is before starttime 5.0"),
        ({"timestep": 0.75}, "timestep 0.75 is not a multiple of dt 0.5"),
        ({"timestep": 0.0}, "not a multiple"),
        ({"timestep": -0.5}, "not a multiple"),
        ({"timestep": "1"}, "timestep must be a finite number"),
        ({"dt": 1e-16}, "they make 4e\\+16 steps; no more than 9007199254740992 can be counted"),
        ({"starttime": 1e20, "stoptime": 1e20}, "too small beside the times"),
        ({"starttime": -1e308, "stoptime": 1e308, "dt": 1.0}, "steps"),
        ({"method": "rk5"}, "method must be 'euler' or 'rk4'"),
        ({"method": None}, "method must be"),
        ({"seed": 1.5}, "the seed must be an integer"),
        ({"seed": True}, "the seed must be an integer"),
        ({"seed": 1 << 64}, "the seed must be an integer"),
        ({"stream": 3}, "the stream must be a string"),
        ({"outputs": "level"}, "outputs must be a list"),
        ({"output": []}, "'output' is not known. Did you mean 'outputs'"),
    ],
)
def test_a_wrong_config_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRunSpecs, match=f"run specs of 'growth' are wrong: .*{message}"):
        engine(**config)


def test_an_unknown_output_is_named_with_the_nearest_name() -> None:
    with pytest.raises(UnknownElement, match=r"'levle', .* Did you mean 'level'\?"):
        engine(outputs=["levle"])
    with pytest.raises(UnknownElement):
        engine(outputs=[["level"]])


def test_a_long_run_costs_nothing_before_it_is_stepped() -> None:
    # How long a run may be is a setting of the service, not of the engine.
    e = engine(dt=1e-12)
    assert e.step({}) == {"level": 0.0, "price": 0.0}
    assert RunSpecs(0.0, 4.0, 1e-12).last == 4_000_000_000_000


def test_an_engine_is_initialised_before_use_and_again_to_start_over() -> None:
    e = SystemDynamicsEngine(growth())
    with pytest.raises(Refused, match="initialize"):
        e.step({})
    e.initialize({"outputs": ["level"]})
    e.step({}), e.step({})
    e.initialize({"outputs": ["level"]})
    assert e.step({}) == {"level": 0.0}
    e.close()
    with pytest.raises(Refused):
        e.snapshot()


@pytest.mark.parametrize("dt", [0.1, 0.25, 1 / 3, 0.7, 1e-3])
def test_time_is_never_a_sum_of_steps(dt: float) -> None:
    specs = RunSpecs(-3.0, 7.0, dt)
    assert [specs.time(n) for n in range(specs.last + 1)] == [-3.0 + n * dt for n in range(specs.last + 1)]
    assert specs.time(specs.last) <= 7.0 + specs.tolerance < specs.time(specs.last + 1)


def test_a_multiple_of_dt_may_be_off_by_a_rounding_error() -> None:
    specs = RunSpecs(0.0, 1.0, 0.1, timestep=0.1 + 0.2)
    assert (specs.multiple, specs.last, specs.answers) == (3, 10, 4)


def state_of(e: SystemDynamicsEngine) -> dict[str, Any]:
    state = e.snapshot()
    assert isinstance(state, dict)
    return state


def delayed() -> SystemDynamicsEngine:
    model = growth()
    model.converter("past").equation = sd.delay(model, model.stock("level"), 1.0, 3.0)
    model.converter("far").equation = sd.delay(model, model.stock("level"), model.constant("rate"))
    e = SystemDynamicsEngine(model)
    e.initialize({"outputs": ["past"]})
    e.step({}), e.step({"constants": {"rate": 1.5}, "points": {"curve": [(1, 2)]}})
    return e


def test_a_snapshot_is_plain_data_under_names() -> None:
    assert state_of(delayed()) == {
        "step": 2,
        "stocks": {"level": 1.75},
        "delays": {
            "@delay 1 of past": {"initial": 3.0, "values": [0.0, 1.0]},
            "@delay 1 of far": {"initial": 0.0, "values": [0.0, 1.0]},
        },
        "constants": {"rate": 1.5},
        "points": {"curve": [[1.0, 2.0]]},
    }


def test_a_snapshot_does_not_alias_the_engine() -> None:
    e = delayed()
    state = state_of(e)
    state["stocks"]["level"] = 99.0
    state["delays"]["@delay 1 of past"]["values"][0] = 99.0
    state["constants"]["rate"] = 99.0
    assert state_of(e) != state
    fresh = delayed()
    assert state_of(fresh) == state_of(e)
    fresh.restore(state)
    state["stocks"]["level"] = 1.0
    assert state_of(fresh)["stocks"]["level"] == 99.0


def damage(state: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    *way, last = path
    part = state
    for key in way:
        part = part[key]
    if value is KeyError:
        del part[last]
    else:
        part[last] = value
    return state


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("step",), -1, "the step must be an integer"),
        (("step",), True, "the step must be an integer"),
        (("step",), 10, "the step must be an integer up to 9"),
        (("step",), 3, "must hold 3 values, not 2"),
        (("stocks", "level"), KeyError, "the stocks lack level"),
        (("stocks", "old"), 1.0, "the stocks hold old, which the model doesn't"),
        (("stocks", "level"), "1", "the stock 'level' must be a number"),
        (("stocks", "level"), True, "the stock 'level' must be a number"),
        (("stocks", "level"), 10**400, "too large"),
        (("stocks",), [1.0], "the stocks must be a mapping"),
        (("delays", "@delay 1 of past"), KeyError, "the delays lack @delay 1 of past"),
        (("delays", "@delay 1 of past", "values"), [1.0], "must hold 2 values, not 1"),
        (("delays", "@delay 1 of past", "values"), 1.0, "must be a list"),
        (("delays", "@delay 1 of past", "values", 0), None, "must be a number"),
        (("delays", "@delay 1 of past", "initial"), None, "lacks its initial value"),
        (("constants", "rat"), 1.0, "the model has no constants named rat"),
        (("constants",), None, "the constants must be a mapping"),
        (("points", "curve"), [], "the points 'curve' are wrong"),
        (("points", "x"), [[1.0, 2.0]], "the model has no points named x"),
        (("seed",), 1, "the state hold seed"),
        (("points",), KeyError, "the state lack points"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(
    path: Any, value: Any, message: str
) -> None:
    e = delayed()
    before = state_of(e)
    with pytest.raises(InvalidState, match=f"The state doesn't fit the model 'growth': .*{message}"):
        e.restore(damage(state_of(e), path, value))
    assert state_of(e) == before


def test_no_state_at_all_is_refused() -> None:
    with pytest.raises(InvalidState, match="must be a mapping"):
        delayed().restore(None)
