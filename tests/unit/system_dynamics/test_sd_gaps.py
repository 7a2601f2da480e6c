"""Gaps: what a model leaves open is an error of what needs it, and may be filled by a scenario."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.engines.system_dynamics import Model, SystemDynamicsEngine, simulate
from perdure.engines.system_dynamics import functions as sd
from perdure.errors import InvalidOverride, MissingEquation, ModelError, UnknownElement
from perdure.scenarios import Catalogue


def columns(model: Model, *names: str, **config: Any) -> list[list[float]]:
    _, values = simulate(model, {"outputs": list(names), **config})
    return [values[name] for name in names]


def unfinished() -> Model:
    """Make a model of which one half is done."""
    model = Model(starttime=0.0, stoptime=3.0, dt=1.0, name="unfinished")
    level, inflow = model.stock("level"), model.flow("inflow")
    level.initial_value = 1.0
    level.equation = inflow
    inflow.equation = 2.0 * model.constant("one")
    model.constant("one").equation = 1.0
    open_, rate = model.converter("open"), model.constant("rate")
    model.converter("reads").equation = open_ + 1.0
    model.stock("pool").equation = level * rate
    model.converter("past").equation = sd.delay(model, rate, 1.0, level)
    model.converter("slow").equation = sd.smooth(model, level, rate, 0.0)
    model.converter("starts").equation = sd.delay(model, level, 1.0, rate)
    model.converter("lasts").equation = sd.delay(model, level, rate, 0.0)
    model.stock("begins").initial_value = rate
    model.converter("drawn").equation = sd.lookup(level, "curve")
    model.converter("both").equation = model.converter("past") + model.converter("drawn")
    return model


def test_what_needs_nothing_that_is_missing_runs() -> None:
    model = unfinished()
    assert columns(model, "level", "inflow") == [[1.0, 3.0, 5.0, 7.0], [2.0] * 4]
    assert model.stock("level")(2.0) == 5.0
    assert list(model.simulate("level")["level"]) == [1.0, 3.0, 5.0, 7.0]


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("open", "'open'"),
        ("reads", "'open'"),
        ("rate", "'rate'"),
        *((name, "'rate'") for name in ("pool", "past", "slow", "starts", "lasts", "begins", "both")),
    ],
)
def test_what_needs_a_missing_equation_names_it(name: str, missing: str) -> None:
    with pytest.raises(MissingEquation, match=rf"^No equation is given for {missing};"):
        columns(unfinished(), "level", name)
    with pytest.raises(MissingEquation):
        unfinished().evaluate_equation(name, 1.0)


def test_what_needs_missing_points_names_them() -> None:
    with pytest.raises(UnknownElement, match="The lookup in 'drawn' uses 'curve'"):
        columns(unfinished(), "drawn")
    with pytest.raises(UnknownElement, match="'curve'"):
        columns(unfinished(), "both", constants={"rate": 1.0})


def test_what_a_run_fills_is_there() -> None:
    model = unfinished()
    assert columns(
        model, "rate", "pool", "past", "slow", "starts", "lasts", "begins", constants={"rate": 2.0}
    ) == [
        [2.0, 2.0, 2.0, 2.0],
        [0.0, 2.0, 8.0, 18.0],
        [1.0, 2.0, 2.0, 2.0],
        [0.0, 0.5, 1.75, 3.375],
        [2.0, 1.0, 3.0, 5.0],
        [0.0, 0.0, 1.0, 3.0],
        [2.0, 2.0, 2.0, 2.0],
    ]
    table = [[0.0, 0.0], [10.0, 100.0]]
    both = columns(model, "drawn", "both", constants={"rate": 2.0}, points={"curve": table})
    assert both == [[10.0, 30.0, 50.0, 70.0], [11.0, 32.0, 52.0, 72.0]]
    with pytest.raises(MissingEquation, match="'open'"):
        columns(model, "reads", constants={"rate": 2.0}, points={"curve": table})


def test_a_converter_without_an_equation_is_filled_as_a_constant_is() -> None:
    assert columns(unfinished(), "reads", constants={"open": 2.0}) == [[3.0] * 4]
    with pytest.raises(InvalidOverride, match="it is a converter with a formula"):
        columns(unfinished(), "reads", constants={"reads": 2.0})


def test_a_filled_run_is_saved_and_restored() -> None:
    config = {
        "outputs": ["both", "pool"],
        "constants": {"rate": 2.0},
        "points": {"curve": [[0, 0], [10, 100]]},
    }
    first, second = SystemDynamicsEngine(unfinished()), SystemDynamicsEngine(unfinished())
    first.initialize(config), second.initialize(config)
    first.step({}), first.step({"constants": {"rate": 3.0}, "points": {"curve": [[0, 1], [10, 101]]}})
    second.restore(first.snapshot())
    assert first.step({}) == second.step({}) == {"both": 54.0, "pool": 11.0}


def test_filling_a_gap_gives_the_bits_of_a_model_without_one() -> None:
    complete = unfinished()
    complete.constant("rate").equation = 2.0
    names = ("pool", "past", "slow", "starts", "lasts", "begins")
    assert columns(complete, *names) == columns(unfinished(), *names, constants={"rate": 2.0})
    assert complete.fingerprint() != unfinished().fingerprint()


@given(st.sets(st.integers(0, 5)), st.integers(0, 5))
def test_an_element_runs_if_all_it_reads_have_equations(without: set[int], asked: int) -> None:
    model = Model(starttime=0.0, stoptime=1.0, dt=1.0, name="chain")
    for n in range(6):
        if n not in without:
            model.converter(f"c{n}").equation = 1.0 + (model.converter(f"c{n - 1}") if n else 0.0)
        else:
            model.converter(f"c{n}")
    needed = {n for n in without if n <= asked}
    if not needed:
        assert columns(model, f"c{asked}") == [[asked + 1.0] * 2]
        return
    with pytest.raises(MissingEquation) as missing:
        columns(model, f"c{asked}")
    # The nearest one stops the search: it reads nothing further.
    assert missing.value.values["names"] == f"'c{max(needed)}'"


@pytest.mark.parametrize("base", [{"curve": [[0.0, 0.0], [4.0, 8.0]]}, {"curve": np.array([[0, 0], [4, 8]])}])
@pytest.mark.parametrize("own", [None, [], (), np.zeros((0, 2))], ids=repr)
def test_a_table_may_be_only_in_base_points(base: Mapping[str, Any], own: Any) -> None:
    model = unfinished()
    if own is not None:
        model.points["curve"] = own
    catalogue = Catalogue()
    catalogue.register_scenario_manager({"m": {"model": model, "base_points": base, "scenarios": {"s": {}}}})
    assert bulk(catalogue, "drawn") == {"s": [2.0, 6.0, 8.0, 8.0]}


def bulk(catalogue: Catalogue, name: str, **more: Any) -> dict[str, list[float]]:
    found = catalogue.run_scenarios(equations=name, return_format="dict", **more)
    assert isinstance(found, dict)
    return {key: list(s["equations"][name].values()) for key, s in found["m"].items()}


def test_an_empty_table_is_filled_by_a_scenario() -> None:
    catalogue = Catalogue()
    catalogue.register_scenario_manager(
        {
            "m": {
                "model": unfinished(),
                "base_points": {"curve": []},
                "scenarios": {"base": {}, "s": {"points": {"curve": [[0.0, 5.0]]}}},
            }
        }
    )
    assert bulk(catalogue, "drawn", scenarios="s") == {"s": [5.0] * 4}
    with pytest.raises(UnknownElement, match="'curve'"):
        bulk(catalogue, "drawn", scenarios="base")
    assert bulk(catalogue, "level", scenarios="base") == {"base": [1.0, 3.0, 5.0, 7.0]}


def test_a_constant_without_an_equation_is_filled_by_a_scenario() -> None:
    catalogue = Catalogue()
    scenarios = {"base": {}, "s": {"constants": {"rate": np.float32(2.0)}}}
    catalogue.register_model(unfinished(), "m", scenarios)
    assert bulk(catalogue, "pool", scenarios="s") == {"s": [0.0, 2.0, 8.0, 18.0]}
    with pytest.raises(MissingEquation, match="'rate'"):
        bulk(catalogue, "pool", scenarios="base")
    problems = catalogue.manager("m").problems
    assert "lacks an equation or a value of 'open', 'rate'" in problems[0]
    assert "lacks points of 'curve'" in problems[1]


@pytest.mark.parametrize(
    "make",
    [np.array, lambda table: [np.array(pair) for pair in table], lambda table: np.array(table, dtype=int)],
    ids=["array", "list of arrays", "integers"],
)
def test_points_may_be_arrays_of_numpy(make: Callable[[Any], Any]) -> None:
    table = make([[0.0, 0.0], [4.0, 8.0]])
    model = unfinished()
    model.points["curve"] = table
    model.converter("own").equation = sd.lookup(model.stock("level"), table)
    assert columns(model, "drawn", "own") == [[2.0, 6.0, 8.0, 8.0]] * 2
    assert columns(model, "drawn", points={"curve": make([[0.0, 1.0], [4.0, 1.0]])}) == [[1.0] * 4]


@pytest.mark.parametrize("table", [np.zeros(3), np.zeros((2, 3)), np.array([["a", "b"]])], ids=repr)
def test_arrays_that_are_no_points_are_refused(table: Any) -> None:
    model = unfinished()
    with pytest.raises(InvalidOverride, match="'curve'"):
        columns(model, "drawn", points={"curve": table})
    model.points["curve"] = table
    with pytest.raises(ModelError, match="'curve'"):
        columns(model, "drawn")
