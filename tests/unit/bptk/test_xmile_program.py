"""A program of BPTK-Py on a model of Stella, as it is written there: hares and the lynxes that hunt them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perdure.bptk import bptk

MODEL = Path(__file__).parents[2] / "fixtures/sd_models/samples/bpowers-hares_and_lynxes_modules/model.stmx"
STARVING = [[0.0, 1.0], [50.0, 0.25], [100.0, 0.05]]
DEFINITION = {
    "source": "simulation_models/hares.stmx",
    "model": "simulation_models/hares",  # where BPTK-Py writes the Python that it makes of the source
    "base_constants": {"lynxes.birthFraction": 0.25},
    "scenarios": {
        "base": {},
        "unhunted": {"constants": {"sizeOfOneTimeLynxHarvest": 0}},
        "thriving": {"constants": {"hares.birthFraction": "1+1/4", "lynxes.lynxes": 1250}},
        "starving": {"constants": {"area": 800}, "points": {"lynxes.deathFraction": STARVING}},
    },
}
STOCKS = ["hares.hares", "lynxes.lynxes"]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bptk:
    for folder in ("simulation_models", "scenarios"):
        (tmp_path / folder).mkdir()
    (tmp_path / "simulation_models" / "hares.stmx").write_bytes(MODEL.read_bytes())
    (tmp_path / "scenarios" / "hares.json").write_text(json.dumps({"smHares": DEFINITION}))
    monkeypatch.chdir(tmp_path)
    return bptk()


def expected(
    *, harvest: float = 100.0, area: float = 1000.0, deaths: Any = None, lynxes_stay: bool = False
) -> dict[str, list[float]]:
    """Return the stocks at each half unit of time, by Euler's method, as the equations of the file say."""
    if deaths is None:
        deaths = [[10.0 * n, np.exp(-n / 2)] for n in range(11)]
    densities, fractions = zip(*deaths, strict=True)
    hares, lynxes = 50_000.0, 1250.0
    found: dict[str, list[float]] = {name: [] for name in STOCKS}
    for n in range(25):
        for name, value in zip(STOCKS, (hares, lynxes), strict=True):
            found[name].append(value)
        density = hares / area
        killed = lynxes * min(max(density, 0.0), 500.0)
        hunted = harvest / 0.5 if n == 8 else 0.0  # at the time 4, within one step
        gained = lynxes * (0.25 - np.interp(density, densities, fractions)) - hunted
        hares += 0.5 * (1.25 * hares - killed)
        lynxes += 0.0 if lynxes_stay else 0.5 * gained
    return found


SCENARIOS: dict[str, dict[str, Any]] = {
    "base": {},
    "unhunted": {"harvest": 0.0},
    "thriving": {"lynxes_stay": True},
    "starving": {"area": 800.0, "deaths": STARVING},
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_constants_and_points_of_a_scenario_override_variables_of_the_file(made: bptk, scenario: str) -> None:
    frame: Any = made.run_scenarios(scenarios=[scenario], scenario_managers=["smHares"], equations=STOCKS)
    assert frame.index.tolist() == [0.5 * n for n in range(25)]
    for name, values in expected(**SCENARIOS[scenario]).items():
        assert frame[name].tolist() == pytest.approx(values, rel=1e-9), name


def test_plots_give_a_data_frame_with_a_column_for_each_scenario(made: bptk) -> None:
    frame: Any = made.plot_scenarios(
        scenarios="base,unhunted",
        scenario_managers="smHares",
        equations="lynxes.lynxes",
        series_names={"smHares_base_lynxes.lynxes": "hunted", "smHares_unhunted_lynxes.lynxes": "left alone"},
        return_df=True,
    )
    assert frame["hunted"].tolist() == pytest.approx(expected()["lynxes.lynxes"], rel=1e-9)
    assert frame["left alone"].tolist() == pytest.approx(expected(harvest=0.0)["lynxes.lynxes"], rel=1e-9)


def test_a_session_steps_as_the_run_does_until_a_step_sets_something(made: bptk) -> None:
    made.begin_session(scenarios=["base"], scenario_managers=["smHares"], equations=STOCKS, dt=0.5)
    lynxes = expected()["lynxes.lynxes"]
    for n in range(9):
        step: Any = made.run_step(flat=True)
        assert step["smHares"]["base"]["lynxes.lynxes"] == pytest.approx(lynxes[n], rel=1e-9)
    settings = {"smHares": {"base": {"points": {"lynxes.deathFraction": [[0.0, 0.0], [1000.0, 0.0]]}}}}
    made.run_step(settings=settings)
    made.run_step()
    results: Any = made.session_results(index_by_time=False)
    found = results["smHares"]["base"]["equations"]["lynxes.lynxes"]
    assert [*found] == [0.5 * n for n in range(11)]
    # Nobody dies from the time 4.5 on.
    assert found[5.0] == pytest.approx(found[4.5] * (1.0 + 0.5 * 0.25), rel=1e-9)
    made.end_session()


def test_a_session_steps_by_one_unless_it_says_otherwise(made: bptk) -> None:
    made.begin_session(scenarios=["unhunted"], scenario_managers=["smHares"], equations=["hares.hares"])
    taken: list[Any] = [made.run_step() for _ in range(14)]
    hares = expected(harvest=0.0)["hares.hares"]
    values = [step["smHares"]["unhunted"]["hares.hares"] for step in taken[:13]]
    assert values == [{float(n): pytest.approx(hares[2 * n], rel=1e-9)} for n in range(13)]
    assert taken[13] == {"msg": "Stoptime reached"}
