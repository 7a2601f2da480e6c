"""Times that are shown have the decimals of their grid, wherever they are shown; no value changes."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.api.app import create_app
from perdure.bptk import Model, bptk
from perdure.bptk import sd_functions as sd
from perdure.dialects.bptk.client import BptkClient, InProcess
from perdure.engines.run_specs import decimals
from perdure.engines.system_dynamics import simulate
from perdure.errors import EvaluationFailed
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore

GRID = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
COARSE = [0.0, 0.3, 0.6, 0.9]
BITS = [n * 0.1 for n in range(10)]


def clock(stoptime: float = 0.9) -> Model:
    """Return a model whose value is the time, to the bit."""
    model = Model(starttime=0.0, stoptime=stoptime, dt=0.1, name="clock")
    model.converter("now").equation = sd.time()
    return model


@pytest.fixture
def catalogue() -> Catalogue:
    made = Catalogue()
    made.register_model(clock(), scenario={"fine": {}, "coarse": {"runspecs": {"dt": 0.3}}})
    return made


@pytest.fixture
def client(catalogue: Catalogue) -> Iterator[BptkClient]:
    given: dict[str, Any] = {}
    with BptkClient(InProcess(create_app(MemoryStore(), catalogue, Settings(**given)))) as made:
        yield made


def test_an_index_of_a_frame_can_be_asked_for_its_times(catalogue: Catalogue) -> None:
    frame: Any = catalogue.run_scenarios(scenarios="fine", return_format="df")
    assert list(frame.index) == GRID
    assert frame.loc[0.3, "now"] == BITS[3] == 0.30000000000000004
    direct = clock().simulate("now")
    assert list(direct.index) == GRID
    assert list(direct["now"]) == BITS
    plotted: Any = clock().converter("now").plot(return_df=True)
    assert list(plotted.index) == GRID
    assert list(plotted["now"]) == BITS


def test_scenarios_of_different_dt_join_in_one_frame(catalogue: Catalogue) -> None:
    frame: Any = catalogue.run_scenarios(return_format="df")
    assert list(frame.index) == GRID
    assert list(frame["smClock_coarse_now"].dropna().index) == COARSE


def test_dicts_and_json_show_the_same_times(catalogue: Catalogue) -> None:
    tree: Any = catalogue.run_scenarios(scenarios="fine", return_format="dict")
    assert tree["smClock"]["fine"]["equations"]["now"] == dict(zip(GRID, BITS, strict=True))
    text: Any = catalogue.run_scenarios(scenarios="fine", return_format="json")
    assert list(json.loads(text)["smClock"]["fine"]["equations"]["now"]) == [repr(t) for t in GRID]


def test_a_session_in_this_process_shows_them() -> None:
    made = bptk()
    made.register_model(clock())
    made.begin_session(scenarios=["base"], scenario_managers=["smClock"], equations=["now"], dt=0.1)
    steps = [made.run_step() for _ in GRID]
    assert steps == [
        {"smClock": {"base": {"now": {shown: bits}}}} for shown, bits in zip(GRID, BITS, strict=True)
    ]
    assert list(made.session_results()) == GRID
    by_name = made.session_results(index_by_time=False)
    assert list(by_name["smClock"]["base"]["equations"]["now"]) == GRID
    made.destroy()


def test_a_session_of_the_native_api_shows_them_in_steps_log_results_and_csv(client: BptkClient) -> None:
    body = {"kind": "session", "scenarios": {"smClock": ["fine", "coarse"]}}
    run = client.post("/runs", json=body).get_json()["id"]
    steps = client.post(f"/runs/{run}/steps", json={"steps": 10}).get_json()["steps"]
    shown = [step["results"]["smClock"]["fine"] for step in steps]
    assert [one["time"] for one in shown] == GRID
    assert [one["values"]["now"] for one in shown] == BITS
    log = client.get(f"/runs/{run}/steps").get_json()["steps"]
    assert [step["results"]["smClock"]["fine"]["time"] for step in log] == GRID
    results = client.get(f"/runs/{run}/results").get_json()["results"]["smClock"]
    assert (results["fine"]["time"], results["coarse"]["time"]) == (GRID, COARSE)
    lines = csv.DictReader(io.StringIO(client.get(f"/runs/{run}/results?format=csv").data.decode()))
    assert [line["time"] for line in lines if line["scenario"] == "fine"] == [repr(t) for t in GRID]


def test_an_error_names_the_time_as_it_is_shown() -> None:
    model = clock()
    model.converter("pole").equation = 1.0 / sd.If(sd.time() > 0.25, 0.0, 1.0)
    with pytest.raises(EvaluationFailed) as failed:
        model.simulate("pole")
    assert failed.value.values["time"] == 0.3


@given(
    start=st.decimals(-50, 50, places=2),
    dt=st.decimals("0.001", 3, places=3),
    steps=st.integers(0, 60),
)
def test_shown_times_are_the_grid_in_decimal_arithmetic(start: Any, dt: Any, steps: int) -> None:
    model = Model(starttime=float(start), stoptime=float(start + steps * dt), dt=float(dt), name="grid")
    model.converter("now").equation = sd.time()
    frame = model.simulate("now")
    assert list(frame.index) == [float(start + n * dt) for n in range(steps + 1)]
    times, values = simulate(model, {"outputs": ["now"]})
    assert list(frame["now"]) == values["now"] == times  # unrounded
    assert frame.index.is_unique


@pytest.mark.parametrize(("numbers", "places"), [((0.0, 0.1), 1), ((1.25, 1.0), 2), ((0.0, 1 / 3), 16)])
def test_a_grid_has_the_decimals_of_its_start_and_its_dt(numbers: tuple[float, float], places: int) -> None:
    assert decimals(*numbers) == places
