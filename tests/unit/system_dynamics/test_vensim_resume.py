"""The law of engines for Vensim's models: resumed at any step, they go on with the same bits."""

from pathlib import Path
from typing import Any

import pytest

from perdure.engines.system_dynamics import Model, SystemDynamicsEngine

MODELS = Path(__file__).parents[2] / "fixtures/vensim_models"


@pytest.mark.parametrize("method", ["euler", "rk4"])
@pytest.mark.parametrize("name", ["delays", "allocation", "active_initial", "inputs", "subscripts"])
def test_a_model_resumed_at_every_step_goes_on_with_the_same_bits(name, method):
    model = Model.from_vensim(MODELS / f"{name}.mdl")
    config = {"outputs": list(model.elements), "method": method}

    def begun() -> SystemDynamicsEngine:
        engine = SystemDynamicsEngine(model)
        engine.initialize(config)
        return engine

    engine = begun()
    states: list[Any] = []
    answers = []
    while not engine.finished:
        states.append(engine.snapshot())
        answers.append(bits(engine.step({})))
    assert len(answers) > 4
    for n in range(len(states)):
        resumed = begun()
        resumed.restore(states[n])
        assert [bits(resumed.step({})) for _ in states[n:]] == answers[n:]


def bits(answer: Any) -> dict[str, str]:
    return {name: float(value).hex() for name, value in answer.items()}
