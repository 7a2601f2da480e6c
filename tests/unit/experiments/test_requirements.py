"""What runs of experiments need: engines and packages, and the same versions once they have begun."""

from fractions import Fraction
from importlib import metadata
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from perdure.drivers.computed_by import ComputedBy
from perdure.drivers.experiments import requirements
from perdure.drivers.experiments.configuration import EngineConfiguration
from perdure.drivers.experiments.engines import packages_of
from perdure.drivers.experiments.requirements import lacks, needs
from perdure.drivers.experiments.spec import ExperimentSpec
from perdure.state.codec import encode

PLAIN: dict[str, Any] = {
    "experiment": "pendulum",
    "version": 1,
    "configuration": "simulation_config.json",
    "script": None,
    "seed": 1,
    "sim_id": 7,
}
SPEC = ExperimentSpec(**PLAIN, sha256="a" * 64, packages=("msgspec", "no-such-simulator"))


def test_a_spec_of_a_released_version_needs_nothing() -> None:
    spec = ExperimentSpec.from_blob(encode({**PLAIN, "exact_times": True}, schema=2))
    assert spec == ExperimentSpec(**PLAIN, exact_times=True)
    assert (needs(spec), lacks("")) == ("", "")
    assert requirements.computed_by(spec).packages.keys() == {"numpy"}


def test_a_new_run_needs_what_its_host_has_in_any_version(monkeypatch: pytest.MonkeyPatch) -> None:
    assert needs(SPEC) == '{"packages":{"msgspec":""}}'
    monkeypatch.setattr(metadata, "version", lambda name: "99.0")
    assert lacks('{"packages":{"msgspec":""}}') == ""


def test_a_run_that_has_begun_needs_the_same_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = requirements.computed_by(SPEC).to_text()
    assert ComputedBy.from_text(begun).packages.keys() == {"msgspec", "numpy"}
    assert lacks(begun) == ""
    monkeypatch.setattr(requirements, "python_version", lambda: "4.0")
    assert "this server has Python 4.0" in lacks(begun)
    monkeypatch.setattr(metadata, "version", lambda name: "99.0")
    assert "this server has msgspec 99.0, numpy 99.0, Python 4.0" in lacks(begun)


def test_runs_of_different_experiments_are_bound_to_the_same() -> None:
    other = ExperimentSpec(**PLAIN, sha256="b" * 64, packages=SPEC.packages)
    assert requirements.computed_by(SPEC).to_text() == requirements.computed_by(other).to_text()


def test_engines_and_packages_that_are_missing_are_named() -> None:
    text = ComputedBy(engines=("py_sim", "spiking"), packages={"no-such-simulator": ""}).to_text()
    assert lacks(text) == (
        "It needs the engine 'spiking' and the package 'no-such-simulator'. Install that on this server, or "
        "stop the run."
    )


def engine(type: str, simulator: str | None = None) -> EngineConfiguration:
    return EngineConfiguration(name="it", type=type, timestep=Fraction(1, 100), simulator=simulator)


def test_the_numbers_of_an_engine_depend_on_its_simulator_or_on_the_package_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brought = EntryPoint("spiking", "spiking:Engine", "perdure.engines")
    vars(brought)["dist"] = metadata.distribution("msgspec")
    monkeypatch.setattr(metadata, "entry_points", lambda **wanted: EntryPoints([brought]).select(**wanted))
    assert packages_of(engine("py_sim", "Mujoco")) == ["mujoco"]
    assert packages_of(engine("py_sim", "OpenAI")) == ["gymnasium"]
    assert packages_of(engine("python_json")) == packages_of(engine("system_dynamics")) == []
    assert packages_of(engine("spiking")) == ["msgspec"]
