"""The engines of experiments: which kinds there are, and how one is made from its configuration.

What only some kinds need is imported when one of them is made: a simulation server is to be there at once.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from perdure.drivers.experiments.configuration import EngineConfiguration
from perdure.engines.base import Asking, Engine, Observable
from perdure.engines.python_script import PySimEngine, PythonJsonEngine
from perdure.engines.python_script.simulators import SIMULATORS
from perdure.errors import Refused
from perdure.state.codec import State

__all__ = ["OWN_KINDS", "engine_kinds", "make_engine", "packages_of", "start_outputs"]

_GROUP = "perdure.engines"
_PORT = ("time", "finished", "initialize", "validate", "step", "snapshot", "restore", "close")


def _system_dynamics(*given: Any) -> Engine:
    from perdure.engines.system_dynamics import SystemDynamicsEngine

    return SystemDynamicsEngine(*given)


_OURS: Mapping[str, Callable[..., Any]] = {
    "python_json": PythonJsonEngine,
    "py_sim": PySimEngine,
    "system_dynamics": _system_dynamics,
}
OWN_KINDS = frozenset(_OURS)
"""The kinds of engines that every installation of Perdure has."""


class _Kinds(Mapping[str, Callable[..., Any]]):
    """Ours, and those of other packages, which are looked for when a name isn't one of ours."""

    @cached_property
    def _others(self) -> Mapping[str, Callable[..., Any]]:
        from importlib.metadata import entry_points

        entries = entry_points(group=_GROUP)
        return {entry.name: _loading(entry) for entry in entries if entry.name not in _OURS}

    def __getitem__(self, name: str) -> Callable[..., Any]:
        return _OURS[name] if name in _OURS else self._others[name]

    def __iter__(self) -> Iterator[str]:
        yield from (*_OURS, *self._others)

    def __len__(self) -> int:
        return len(_OURS) + len(self._others)


def engine_kinds() -> Mapping[str, Callable[..., Any]]:
    """Return how each kind of engine is made: ours, and those of the entry-point group ``perdure.engines``.

    Another package's engine is a class, or function, without arguments.
    """
    return _Kinds()


def packages_of(engine: EngineConfiguration) -> list[str]:
    """Return the packages that an engine's numbers depend on: its simulator, or what brings its kind."""
    from importlib.metadata import entry_points

    if engine.type in OWN_KINDS:
        return [] if engine.simulator is None else [SIMULATORS[engine.simulator]]
    points = entry_points(group=_GROUP, name=engine.type)
    return [point.dist.name for point in points if point.dist is not None]


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
    match configuration.type:
        case "python_json" | "py_sim":
            engine: Engine = _OURS[configuration.type]()
            times = {"timestep": timestep, "exact_timestep": configuration.timestep}
            config = _script_config(configuration, folder, seed) | times
        case "system_dynamics":
            from perdure.scenarios.files import load_model

            assert configuration.model is not None
            model = load_model(configuration.model, folder)
            model.fingerprint()  # which refuses what a resume couldn't repeat
            engine = _system_dynamics(model)
            draws = {"seed": seed & ((1 << 64) - 1), "stream": configuration.name}
            config = draws | configuration.extra | {"timestep": timestep}
        case kind:
            engine = engine_kinds()[kind]()
            config = {"seed": seed, **configuration.extra, "timestep": timestep}
    if answers is not None and isinstance(engine, Asking):
        engine.give_answers(answers)
    engine.initialize(config)
    return engine


def start_outputs(engine: Engine) -> dict[str, Any]:
    """Return what a freshly made engine answers at its start; if it can't tell, its first step does."""
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


def _loading(entry: Any) -> Callable[..., Any]:
    def make() -> Any:
        made = entry.load()()
        # Of its type, since an engine that isn't initialised has no time yet.
        lacking = [name for name in _PORT if not hasattr(type(made), name)]
        if lacking:
            raise Refused(
                f"The engine {entry.name!r} of {entry.value} lacks {', '.join(lacking)} of the engine port."
            )
        return made

    return make
