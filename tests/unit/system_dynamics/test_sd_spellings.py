"""Elements of a model from a file are found by any spelling of their names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.sd_models import ROOT

from perdure.engines.system_dynamics import Model, SystemDynamicsEngine, simulate
from perdure.engines.system_dynamics.spellings import AnySpelling, canonical, spelling_of
from perdure.errors import InvalidOverride, UnknownElement
from perdure.scenarios.catalogue import Catalogue

TEACUP = ROOT / "samples/teacup/teacup.mdl"
CUBES = ROOT.parent / "vensim_models/subscripts.mdl"


@pytest.fixture(scope="module")
def teacup() -> Model:
    return Model.from_vensim(TEACUP)


@given(st.lists(st.sampled_from(["a b", "A_B", "c", "C[x,y]", "größe"]), unique=True), st.data())
def test_a_name_is_its_own_spelling_and_shared_ones_are_none(names, data):
    spelled = spelling_of(names)
    for name in names:
        assert spelled(name) == name
        other = data.draw(st.sampled_from([name.upper(), name.replace(" ", "_"), f"  {name} "]))
        alike = [each for each in names if canonical(each) == canonical(name)]
        assert spelled(other) in (name, other) if len(alike) == 1 else spelled(other) in (*names, other)


def test_blanks_beside_brackets_and_commas_do_not_count():
    spelled = spelling_of(["stock A[north,the young]"])
    assert spelled("Stock_a[ North , The_Young ]") == "stock A[north,the young]"
    assert "STOCK A[north, the young]" in AnySpelling(["stock A[north,the young]"], spelled)
    assert "stock A[south]" not in AnySpelling(["stock A[north,the young]"], spelled)


def test_an_engine_answers_by_the_names_that_it_is_asked_for(teacup):
    config = {"outputs": ["teacup_temperature", "ROOM temperature"], "constants": {"room_temperature": 10}}
    engine = SystemDynamicsEngine(teacup)
    engine.initialize(config)
    assert engine.step({}) == {"teacup_temperature": 180.0, "ROOM temperature": 10.0}
    assert engine.step({"constants": {"Room_Temperature": 20}})["ROOM temperature"] == 20.0
    again = SystemDynamicsEngine(teacup)
    again.initialize(config)
    again.restore(engine.snapshot())
    assert again.step({}) == engine.step({})
    assert [*simulate(teacup, config)[1]] == config["outputs"]


def test_a_model_is_read_by_any_spelling(teacup):
    assert teacup.evaluate_equation("TEACUP_temperature", 0.0) == 180.0
    assert [*teacup.simulate(["teacup_temperature"])] == ["teacup_temperature"]
    cubes = Model.from_vensim(CUBES)
    assert (
        cubes.simulate(["C[ D1, d2 ]"])["C[ D1, d2 ]"].tolist()
        == cubes.simulate(["c[d1,d2]"])["c[d1,d2]"].tolist()
    )
    with pytest.raises(UnknownElement, match="teacup_warmth"):
        teacup.simulate(["teacup_warmth"])


def test_models_of_python_have_one_spelling():
    model = Model(stoptime=1.0)
    model.constant("Room Temperature").equation = 1.0
    with pytest.raises(UnknownElement):
        model.simulate(["room_temperature"])


def test_scenarios_set_and_ask_by_any_spelling(teacup):
    catalogue = Catalogue()
    catalogue.register_model(teacup, "tea")
    catalogue.register_scenarios({"cold": {"constants": {"ROOM_temperature": 1.5}}}, "tea")
    scenario = catalogue.scenario("tea", "cold")
    assert scenario.problems == ()
    assert "teacup_temperature" in scenario.elements
    config = scenario.config(["teacup_temperature", "room temperature"], seed=0)
    answer = scenario.start(config).step({})
    assert answer == {"teacup_temperature": 180.0, "room temperature": 1.5}


def test_an_element_that_is_added_has_its_own_value_though_it_is_a_spelling_of_another(teacup):
    model = Model.from_vensim(TEACUP)
    model.converter("room_temperature").equation = 99.0
    assert model.evaluate_equation("room_temperature", 0.0) == 99.0
    assert model.evaluate_equation("Room Temperature", 0.0) == 70.0
    model.converter("Warm Hands").equation = 1.0
    assert model.evaluate_equation("WARM_hands", 0.0) == 1.0
    with pytest.raises(UnknownElement):
        model.evaluate_equation("ROOM_TEMPERATURE", 0.0)
    assert teacup.evaluate_equation("room_temperature", 0.0) == 70.0


TWICE = {"room_temperature": 10, "Room Temperature": 20}


def test_one_constant_by_two_spellings_is_refused(teacup):
    refused = "'Room Temperature' can't be set to 20: 'room_temperature' is the same name"
    with pytest.raises(InvalidOverride, match=refused):
        simulate(teacup, {"outputs": ["teacup temperature"], "constants": TWICE})
    engine = SystemDynamicsEngine(teacup)
    engine.initialize({"outputs": ["teacup temperature"]})
    with pytest.raises(InvalidOverride, match=refused):
        engine.step({"constants": TWICE})
    catalogue = Catalogue()
    catalogue.register_model(teacup, "tea")
    with pytest.raises(InvalidOverride, match=refused):
        catalogue.register_scenarios({"cold": {"constants": TWICE}}, "tea")


def test_a_scenario_replaces_a_constant_of_its_manager_by_any_spelling(tmp_path):
    managers = {
        "tea": {
            "source": str(TEACUP),
            "base_constants": {"Room Temperature": 20},
            "scenarios": {"cold": {"constants": {"room_temperature": 10}}, "warm": {}},
        }
    }
    catalogue = Catalogue()
    catalogue.register_scenario_manager(managers, folder=tmp_path)
    for name, value in (("cold", 10), ("warm", 20)):
        config = catalogue.scenario("tea", name).config(["Room Temperature"], seed=0)
        assert config["constants"] == {"Room Temperature": value}
