"""The engines of experiments: how one is made from its configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perdure.drivers.experiments.configuration import EngineConfiguration
from perdure.engines.base import Asking, Engine, Observable
from perdure.engines.kinds import LIBRARIES, OWN_KINDS, engine_kinds, new_engine, packages_of_kind
from perdure.engines.python_script.simulators import SIMULATORS
from perdure.state.codec import State

__all__ = ["make_engine", "make_isolated", "packages_of", "start_outputs"]


def packages_of(engine: EngineConfiguration) -> list[str]:
    """Return the packages that an engine's numbers depend on: its simulator, or what brings its kind."""
    if engine.type in LIBRARIES:
        return [LIBRARIES[engine.type]]
    if engine.type in OWN_KINDS:
        return [] if engine.simulator is None else [SIMULATORS[engine.simulator]]
    return list(packages_of_kind(engine.type))


def make_engine(configuration: EngineConfiguration, folder: Path, seed: int, answers: State = None) -> Engine:
    """Make an engine and put it at its start.

    Parameters
    ----------
    configuration
        The engine's.
    folder
        The experiment's.
    seed
        The run's; every engine has draws of its own by its name.
    answers
        What it was answered when it was at its start before.
    """
    timestep = float(configuration.timestep) / configuration.time_unit
    make = engine_kinds()[configuration.type]
    match configuration.type:
        case "python_json" | "py_sim":
            engine: Engine = make()
            times = {"timestep": timestep, "exact_timestep": configuration.timestep}
            config = _script_config(configuration, folder, seed) | times
        case "system_dynamics":
            from perdure.scenarios.files import load_system_dynamics

            assert configuration.model is not None
            model = load_system_dynamics(configuration.model, folder)
            model.fingerprint()  # which refuses what a resume couldn't repeat
            engine = make(model)
            draws = {"seed": seed & ((1 << 64) - 1), "stream": configuration.name}
            config = draws | configuration.extra | {"timestep": timestep}
        case "mesa" | "simpy":
            engine = make()
            own = {"seed": seed, "folder": str(folder), "name": configuration.name}
            config = own | configuration.extra | {"timestep": timestep}
        case kind:
            engine = new_engine(kind, make)
            config = {"seed": seed, **configuration.extra, "timestep": timestep}
    if answers is not None and isinstance(engine, Asking):
        engine.give_answers(answers)
    engine.initialize(config)
    return engine


def make_isolated(
    configuration: Any, folder: str, seed: int, config: Mapping[str, Any], answers: State
) -> tuple[Engine, dict[str, Any]]:
    """Make an engine in a process of its own, from plain data; return what it answers at its start, too."""
    engine = make_engine(EngineConfiguration.from_plain(configuration), Path(folder), seed, answers)
    return engine, start_outputs(engine)


def start_outputs(engine: Engine) -> dict[str, Any]:
    """Return the outputs of a new engine at its start, or of its first step if it isn't `Observable`."""
    return dict(engine.outputs() if isinstance(engine, Observable) else engine.step({}))


def _script_config(configuration: EngineConfiguration, folder: Path, seed: int) -> dict[str, Any]:
    own = {
        "EngineName": configuration.name,
        "EngineType": configuration.type,
        "EngineTimestep": float(configuration.timestep),
        "EngineCommandTimeout": configuration.command_timeout,
        "EngineExtraConfigs": configuration.extra,
        "PythonFileName": configuration.script,
        "Simulator": configuration.simulator,
        "WorldFileName": configuration.world,
    }
    simulator = {"simulator": configuration.simulator, "world": configuration.world}
    return {
        "folder": str(folder),
        "script": configuration.script,
        "name": configuration.name,
        "seed": seed,
        "configuration": {key: value for key, value in own.items() if value is not None},
        **(simulator if configuration.type == "py_sim" else {}),
    }
