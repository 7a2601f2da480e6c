"""States that were stored in the form of Perdure 0.1 are restored, and go on with the same numbers."""

import copy
from pathlib import Path
from typing import Any

import pytest
from tests.support.kept_things import DEFINITION, Collection

from perdure.engines.agents.engine import AgentEngine
from perdure.errors import InvalidState
from perdure.scenarios.agent_model import AgentModel
from perdure.state.codec import decode, encode

FORMER = Path(__file__).with_name("former_state.bin")


def begun() -> AgentEngine:
    engine = AgentModel(Collection, "collection").make_engine_here()
    times = {"starttime": 0.0, "stoptime": 8.0, "dt": 1.0}
    outputs = ["level", "agents/keeper/idle/size/total"]
    definition = copy.deepcopy(DEFINITION)
    engine.initialize({**times, "outputs": outputs, "definition": definition, "seed": 3, "stream": "c"})
    return engine


def former() -> Any:
    return decode(FORMER.read_bytes())


def test_a_former_state_goes_on_like_the_run_that_it_was_taken_of() -> None:
    run, restored = begun(), begun()
    for _ in range(3):
        run.step({})
    restored.restore(former())
    assert encode(restored.snapshot()) == encode(run.snapshot())
    for _ in range(5):
        assert restored.step({}) == run.step({})
    first, same = restored.model.agents[0], run.model.agents[0]
    assert repr(first.heard) == repr(same.heard)
    assert first.grid.tobytes() == same.grid.tobytes()
    assert first.place == same.place
    assert first.draws.spawn(1)[0].random() == same.draws.spawn(1)[0].random()


def test_what_was_one_object_is_one_object_again() -> None:
    engine = begun()
    engine.restore(former())
    first, second, _ = engine.model.agents
    assert second.friend is first
    assert first.basket[2] is first.basket and first.place.held is first.basket[1]
    assert first.objects[1] is first.queue
    assert first.view.base is first.grid
    assert first.read.__self__ is first.note and first.own_draw.__self__ is first.dice
    assert first.by_label["x"].label == "new"
    assert engine.model.scheduler is not None and engine.model.agent(0) is first


def test_a_state_that_is_in_no_known_form_is_refused() -> None:
    state = former()
    state["model"]["agents"][0]["columns"]["words"] = ["data", [["nothing", 0]]]
    with pytest.raises(InvalidState, match="no kind of value 'nothing'"):
        begun().restore(state)
