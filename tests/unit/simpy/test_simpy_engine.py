"""SimPy's models as engines: the law by replay, what may be set, what is answered and what is refused."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from perdure.engines.simpy import SimPyEngine
from perdure.engines.stepped import SteppedEngine
from perdure.errors import Invalid, NotSnapshotable, ScriptFailed
from perdure.testing.engines import EngineConformance

MODELS = Path(__file__).parents[2] / "fixtures" / "agents"


def config(model: str, folder: Path = MODELS, **settings: Any) -> dict[str, Any]:
    return {"model": model, "folder": str(folder), "timestep": 2.0, "seed": 5, **settings}


@contextmanager
def begun(settings: dict[str, Any], **inputs: Any) -> Iterator[SimPyEngine]:
    with closing(SimPyEngine()) as engine:
        engine.initialize(settings)
        engine.step(inputs)
        yield engine


@pytest.mark.parametrize("model", ["bank:Bank", "bank:as_function"])
def test_a_queue_goes_on_exactly_from_its_inputs(model: str) -> None:
    names = ["customers_per_minute"]
    settings = {"model": model, "folder": str(MODELS)}
    times = {"starttime": 0.0, "stoptime": 40.0, "dt": 2.0, "timestep": 2.0, "seed": 3, "stream": "s"}
    given = {**times, "outputs": ["served", "stay"], "inputs": {}, "constants": {}}
    inputs: list[dict[str, Any]] = [{}, {"inputs": {"customers_per_minute": 3.0}}, *[{}] * 6]
    make = lambda: SteppedEngine("bank", SimPyEngine, settings, names)  # noqa: E731
    EngineConformance(make, given, inputs, [{"inputs": {"unknown": 1.0}}]).check()


def test_its_processes_cannot_be_saved() -> None:
    with begun(config("bank:Bank")) as engine, pytest.raises(NotSnapshotable, match="are generators"):
        engine.snapshot()


def test_inputs_are_arguments_at_first_and_attributes_later() -> None:
    with begun(config("bank:Bank", arguments={"clerks": 1}), customers_per_minute=50.0) as engine:
        assert engine.time == 0.0
        assert engine.step({})["waiting"] > 20
        assert engine.time == 2.0
        engine.step({"customers_per_minute": 1e-9})
        with pytest.raises(Invalid, match=r"no attribute 'clerk'\. Did you mean 'clerks'\?"):
            engine.validate({"clerk": 3})


def test_a_model_without_events_is_finished() -> None:
    with begun(config("bank:launch")) as engine:
        assert not engine.finished
        assert engine.step({}) == {"stage": "countdown"}
        assert engine.step({}) == {"stage": "lifted off"}
        assert engine.finished


def test_an_error_in_a_process_has_its_line() -> None:
    with (
        begun(config("bank:failing")) as engine,
        pytest.raises(ScriptFailed, match=r"on the way to 2, at bank\.py, line \d+: ValueError: broken"),
    ):
        engine.step({})


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("bank:without", "needs a simpy.Environment, as its parameter or its attribute `env`, which is None"),
        ("bank:in_real_time", "needs a simpy.Environment"),
    ],
)
def test_a_model_needs_an_environment(model: str, says: str) -> None:
    with pytest.raises(ScriptFailed, match=says), begun(config(model)):
        pass
