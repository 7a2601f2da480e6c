"""The models of the page on Mesa and SimPy are served as it says, and experiments have them, too."""

import re
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from perdure.drivers.experiments.configuration import read
from perdure.drivers.experiments.engines import make_engine, packages_of, start_outputs
from perdure.engines.kinds import engine_kinds
from perdure.engines.stepped import SteppedEngine
from perdure.scenarios import Catalogue, EngineModel

PAGE = (Path(__file__).parents[3] / "docs" / "mesa-simpy.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
NAMES = ("wealth", "served", "bank", "bank_served")
TIMES = {"starttime": 0.0, "timestep": 1.0, "dt": 1.0, "seed": 7, "stream": "s", "constants": {}}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder with the files of the page, where Python finds them."""
    for name, code in zip(NAMES, CODE, strict=True):
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in NAMES:
        sys.modules.pop(name, None)


def answers(model: EngineModel, steps: list[dict[str, Any]], **inputs: Any) -> list[Any]:
    """Return the answers of a model's engine, which is stepped in this process."""
    engine = SteppedEngine(model.name, engine_kinds()[str(model.engine)], model.config, model.inputs)
    with closing(engine):
        engine.initialize(
            {**TIMES, "stoptime": model.stoptime, "outputs": [*model.outputs], "inputs": inputs}
        )
        return [engine.step({"inputs": given}) for given in steps]


def test_the_mesa_model_of_the_page_is_served(folder: Path) -> None:
    from served import catalogue, wealth  # type: ignore[import-not-found]

    few = answers(wealth, [{}, {}, {"gift": 2}, {}])
    assert [answer["Citizen"] for answer in few] == [20] * 4
    assert few[0]["richest"] == 1
    assert few[-1]["richest"] > 2
    assert answers(wealth, [{}], citizens=200)[0]["Citizen"] == 200
    assert wealth.isolated
    assert isinstance(catalogue, Catalogue)


def test_the_simpy_model_of_the_page_is_served(folder: Path) -> None:
    from bank_served import model  # type: ignore[import-not-found]

    found = answers(model, [{}, *[{}] * 30, {"customers_per_minute": 20.0}, *[{}] * 9], clerks=1)
    assert found[0] == {"served": 0, "waiting": 0}
    assert found[-1]["served"] > 5
    assert found[-1]["waiting"] > 50


@pytest.mark.parametrize(
    ("kind", "model", "port"), [("mesa", "wealth:Wealth", "richest"), ("simpy", "bank:Bank", "served")]
)
def test_an_experiment_has_such_an_engine(folder: Path, kind: str, model: str, port: str) -> None:
    engine: dict[str, Any] = {
        "EngineName": "one",
        "EngineType": kind,
        "EngineTimestep": 0.5,
        "EngineExtraConfigs": {"model": model},
    }
    (configured,) = read({"EngineConfigs": [engine]}, engine_kinds()).engines
    assert packages_of(configured) == [kind]
    with closing(make_engine(configured, folder, 3)) as made:
        first = start_outputs(made)
        assert first[port] is not None
        made.step({})
        assert made.time == 0.5
