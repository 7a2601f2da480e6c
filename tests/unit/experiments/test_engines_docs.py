"""docs/experiments-engines.md lists every key of the configuration, and what scripts can import."""

import re
from pathlib import Path

import pytest

from perdure.drivers.experiments import decorators
from perdure.drivers.experiments.schema import ENGINE, SIMULATION, Key
from perdure.engines.kinds import engine_kinds
from perdure.engines.python_script.modules import registered

PAGE = (Path(__file__).parents[3] / "docs" / "experiments-engines.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("schema", [SIMULATION, ENGINE], ids=["simulation", "engine"])
def test_every_key_has_a_row(schema: dict[str, Key]) -> None:
    named = {name for row in ROWS for name in re.findall(r"`(\w+)`", row.split(" | ")[0])}
    assert set(schema) <= named


def test_every_default_of_an_engine_is_the_documented_one() -> None:
    defaults = {
        name: row.split(" | ")[1]
        for row in ROWS
        for name in re.findall(r"`(\w+)`", row.split(" | ")[0])
        if len(row.split(" | ")) > 2
    }
    assert defaults["EngineTimestep"] == f"`{ENGINE['EngineTimestep'].default}`"
    assert defaults["TimeUnit"] == f"`{ENGINE['TimeUnit'].default}`"
    assert defaults["SimulationTimeout"] == f"`{SIMULATION['SimulationTimeout'].default}`"
    assert defaults["EngineCommandTimeout"] == f"`{ENGINE['EngineCommandTimeout'].default:g}`"


def test_every_name_of_nrp_core_is_on_the_page() -> None:
    assert decorators.definition_of(object()) is None
    for module in registered().values():
        for name in getattr(module, "__all__", ()):
            assert f"`{name}`" in PAGE or name in PAGE, name


def test_every_kind_of_engine_of_ours_has_a_row() -> None:
    for kind in ("python_json", "py_sim", "system_dynamics"):
        assert kind in engine_kinds()
        assert any(row.startswith(f"| `{kind}` |") for row in ROWS)
