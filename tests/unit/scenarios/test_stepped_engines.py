"""Any engine as a session steps it: the law of engines, the grid of times, and what it is given."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.any_engines import Reading, Sealed, Summing

from perdure.engines.base import Engine
from perdure.engines.stepped import SteppedEngine
from perdure.errors import EngineFinished, EvaluationFailed, InvalidOverride, InvalidState, ReplayMismatch
from perdure.state.codec import decode, encode
from perdure.testing.engines import EngineConformance

INPUTS = ("rate", "note")
OUTPUTS = ["total", "given"]


class Showing(Summing):
    """One that can tell its outputs before it is stepped."""

    def outputs(self) -> dict[str, Any]:
        return {"total": self.total, "given": {}}


def config(**given: Any) -> dict[str, Any]:
    times = {"starttime": 2.0, "stoptime": 12.0, "dt": 0.5}
    values = {"outputs": OUTPUTS, "constants": {}, "points": {}, "inputs": {"rate": 1.0}}
    return {**times, **values, "seed": 1, "stream": "4:sumbase", **given}


def made(engine: Any = Summing, **given: Any) -> SteppedEngine:
    stepped = SteppedEngine("sum", engine, {}, INPUTS)
    stepped.initialize(config(**given))
    return stepped


@pytest.mark.parametrize("engine", [Summing, Sealed, Reading, Showing])
@pytest.mark.parametrize("timestep", [0.5, 1.0])
def test_it_obeys_the_law_of_engines(engine: Any, timestep: float) -> None:
    inputs: list[dict[str, Any]] = [{}, {"constants": {"rate": 2.0}}, {}, {"inputs": {"note": [1, "a"]}}, {}]
    refused = [{"constants": {"rat": 1.0}}, {"inputs": {"rate": "much"}}, {"points": {"rate": []}}]
    outputs = ["total"] if engine is Reading else OUTPUTS
    EngineConformance(
        lambda: SteppedEngine("sum", engine, {}, INPUTS),
        config(timestep=timestep, outputs=outputs),
        inputs,
        refused,
    ).check()


@given(
    dt=st.sampled_from([0.1, 0.25, 1.0]),
    multiple=st.integers(1, 4),
    steps=st.integers(1, 12),
    rates=st.lists(st.one_of(st.none(), st.floats(-5.0, 5.0)), min_size=12, max_size=12),
    engine=st.sampled_from([Summing, Sealed, Showing]),
    cut=st.integers(0, 12),
)
@settings(max_examples=60, deadline=None)
def test_times_are_the_grids_and_a_restored_engine_goes_on_with_the_same_bits(
    dt: float, multiple: int, steps: int, rates: list[float | None], engine: Any, cut: int
) -> None:
    times = {"starttime": 0.3, "stoptime": 0.3 + 11 * multiple * dt, "dt": dt, "timestep": multiple * dt}
    stepped = made(engine, **times)
    answered, state = [], encode(stepped.snapshot())
    for number in range(steps):
        if number == cut:
            state = encode(stepped.snapshot())
        rate = rates[number]
        answered.append(encode(stepped.step({} if rate is None else {"constants": {"rate": rate}})))
        assert stepped.time == 0.3 + number * multiple * dt
    begin = cut if cut < steps else 0
    again = made(engine, **times)
    again.restore(decode(state))
    for number in range(begin, steps):
        rate = rates[number]
        assert encode(again.step({} if rate is None else {"constants": {"rate": rate}})) == answered[number]
    assert encode(again.snapshot()) == encode(stepped.snapshot())


def test_the_first_step_answers_the_start_and_what_is_set_holds_from_then_on() -> None:
    stepped = made(timestep=1.0)
    assert stepped.step({"constants": {"rate": 3.0}})["total"] == 0.0
    assert (stepped.time, stepped.step({})["total"], stepped.time) == (2.0, 3.0, 3.0)


def test_an_engine_that_shows_its_start_gets_what_is_set_with_it_in_its_next_step() -> None:
    stepped = made(Showing)
    assert stepped.step({"inputs": {"note": "early"}}) == {"total": 0.0, "given": {}}
    restored = made(Showing)
    restored.restore(decode(encode(stepped.snapshot())))
    for each in (stepped, restored):
        assert each.step({})["given"] == {"rate": 1.0, "note": "early"}


def test_it_ends_at_the_stop_time_or_when_its_engine_does() -> None:
    stepped = made(stoptime=3.0)
    for _ in range(3):
        assert not stepped.finished
        stepped.step({})
    assert stepped.finished
    with pytest.raises(EngineFinished):
        stepped.step({})
    early = SteppedEngine("sum", Summing, {"last": 2}, INPUTS)
    early.initialize(config())
    early.step({})
    early.step({})
    assert early.finished


def test_an_engine_that_reads_a_clock_is_answered_as_it_was() -> None:
    stepped = made(Reading, outputs=["passed"])
    logged = []
    for _ in range(3):
        answer = stepped.step({})
        logged.append((stepped.take_answers(), answer))
    state = decode(encode(stepped.snapshot()))
    again, restored = made(Reading, outputs=["passed"]), made(Reading, outputs=["passed"])
    for answers, answer in logged:
        again.give_answers(decode(encode(answers)))
        assert again.step({}) == answer
        assert again.take_answers() == answers
    restored.restore(state)
    last = stepped.step({})
    given = stepped.take_answers()
    restored.give_answers(given)
    assert restored.step({}) == last


def test_a_sealed_engine_that_answers_otherwise_now_is_not_gone_on_with() -> None:
    stepped = made(Sealed)
    stepped.step({})
    stepped.step({})
    state = stepped.snapshot()
    other = SteppedEngine("sum", Sealed, {"begin": 1.0}, INPUTS)
    other.initialize(config())
    with pytest.raises(ReplayMismatch, match="the model 'sum'"):
        other.restore(state)


def test_a_sealed_engine_needs_no_more_room_for_steps_in_which_nothing_is_set() -> None:
    stepped = made(Sealed, stoptime=1000.0)
    sizes = []
    for _ in range(3):
        for _ in range(100):
            stepped.step({})
        sizes.append(len(encode(stepped.snapshot())))
    assert sizes[2] <= sizes[0] + 8


class Failing(Summing):
    def step(self, inputs: Any) -> Any:
        if self.steps == 2:
            raise ZeroDivisionError("division by zero")
        return super().step(inputs)


def test_what_an_engine_raises_says_which_model_and_when() -> None:
    stepped = made(Failing)
    stepped.step({})
    stepped.step({})
    with pytest.raises(EvaluationFailed, match=r"'sum' can't be evaluated at t=3\.0: ZeroDivisionError"):
        stepped.step({})


class Quitting(Summing):
    def step(self, inputs: Any) -> Any:
        raise SystemExit(3)


class Vague(Summing):
    def step(self, inputs: Any) -> Any:
        return None


class Unsure(Summing):
    @property
    def finished(self) -> bool:
        raise ZeroDivisionError("division by zero")

    @finished.setter
    def finished(self, value: bool) -> None: ...


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        (Quitting, r"t=2\.0: SystemExit: 3"),
        (Vague, r"t=2\.0: TypeError: the engine answers None, not a mapping of names to outputs"),
        (Unsure, r"t=2\.5: ZeroDivisionError"),
    ],
)
def test_an_engine_that_exits_or_answers_no_outputs_or_cannot_say_whether_it_is_finished_is_an_error(
    engine: Any, says: str
) -> None:
    stepped = made(engine)
    with pytest.raises(EvaluationFailed, match=says):
        stepped.step({})
        assert stepped.finished is None


class Consuming(Sealed):
    """One that changes what it is given."""

    def initialize(self, config: Any) -> None:
        super().initialize(config)
        self.total = config["begins"].pop()

    def step(self, inputs: Any) -> Any:
        notes = inputs.get("note") or []
        self.total += sum(notes)
        notes.clear()
        return super().step({"rate": inputs.pop("rate", 0.0)})


def test_an_engine_that_changes_what_it_is_given_is_restored_and_made_again() -> None:
    stepped = SteppedEngine("sum", Consuming, {"begins": [1.0, 2.0]}, INPUTS)
    for _ in range(2):
        stepped.initialize(config(inputs={"note": [5.0]}))
        assert stepped.step({})["total"] == 7.0
    assert stepped.step({"inputs": {"note": [1.0, 2.0]}, "constants": {"rate": 4.0}})["total"] == 12.0
    restored = SteppedEngine("sum", Consuming, {"begins": [1.0, 2.0]}, INPUTS)
    restored.initialize(config(inputs={"note": [5.0]}))
    restored.restore(decode(encode(stepped.snapshot())))
    assert restored.step({})["total"] == stepped.step({})["total"] == 12.0


def test_an_output_that_the_engine_lacks_is_an_error() -> None:
    with pytest.raises(EvaluationFailed, match=r"'nothing' .* the engine of 'sum' doesn't answer it"):
        made(outputs=["nothing"]).step({})


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"constants": {"rat": 1.0}}, r"no such input\. Did you mean 'rate'"),
        ({"constants": {"rate": "fast"}}, "a constant is a finite number"),
        ({"constants": {"rate": 1.0}, "inputs": {"rate": 2.0}}, "it is set twice"),
        ({"points": {"rate": []}}, "a step takes constants and inputs"),
        ({"inputs": [1]}, "a mapping of names to values"),
    ],
)
def test_what_is_wrong_with_settings_is_said_before_anything_changes(inputs: Any, says: str) -> None:
    stepped = made()
    before = encode(stepped.snapshot())
    for method in (stepped.validate, stepped.step):
        with pytest.raises(InvalidOverride, match=says):
            method(inputs)
    assert encode(stepped.snapshot()) == before


def test_a_state_of_something_else_is_refused() -> None:
    engine: Engine = made()
    with pytest.raises(InvalidState):
        engine.restore({"stocks": {}})
