"""The configuration of an experiment: `simulation_config.json`, nrp-core's schema and our keys.

What is wrong, unknown or not supported is reported together, each with its place. Defaults are nrp-core's.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import msgspec

from perdure.drivers.experiments.schema import (
    ENGINE,
    FUNCTION,
    LAUNCH,
    MOST_PROBLEMS,
    SAVEPOINT,
    SIMULATION,
    Problem,
    checked,
    concerns_display,
)
from perdure.drivers.experiments.schema import problem as problem_at
from perdure.drivers.experiments.sources import Source, packs_of_script, wrong_names
from perdure.engines.python_script.simulators import SIMULATORS
from perdure.errors import InvalidConfiguration, suggest
from perdure.times import NANOSECOND, exact, nanoseconds

__all__ = [
    "Configuration",
    "EngineConfiguration",
    "FunctionFile",
    "SavepointSchedule",
    "Times",
    "load",
    "read",
]

Part = TypeVar("Part")

DEFAULT_TIMESTEP = 0.01  # s

Times = Callable[[float], Fraction]
"""How the seconds of a configuration are understood: `exact`, but for runs begun by earlier versions."""

_OF_NRP_CORE = (
    "datatransfer_grpc_engine",
    "edlut",
    "gazebo_grpc",
    "gazebo_json",
    "nest_json",
    "nest_server",
    "opensim",
    "python_grpc",
    "tvb",
    "unity",
)
_OWN_KEYS: Mapping[str, tuple[str, ...]] = {
    "python_json": ("PythonFileName",),
    "py_sim": ("PythonFileName", "Simulator", "WorldFileName"),
    "system_dynamics": ("ModelFileName",),
}
_SPECIAL = ("PythonFileName", "Simulator", "WorldFileName", "ModelFileName")


class EngineConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """One engine.

    Attributes
    ----------
    name, type
        What it is called, and which kind it is: ``python_json``, ``py_sim`` or a registered engine's name.
    timestep
        How far one of its steps goes, in seconds.
    isolated
        Whether it runs in a process of its own.
    command_timeout
        How many seconds of real time an isolated engine may take for a step; 0 for any.
    time_unit
        Seconds per unit of the engine's own time.
    script, model
        The file of a script, or of a system-dynamics model.
    simulator, world
        Of a ``py_sim`` engine.
    extra
        ``EngineExtraConfigs``: what a registered engine is initialised with, and a script may read.
    """

    name: str
    type: str
    timestep: Fraction
    isolated: bool = False
    command_timeout: float = 0.0
    time_unit: float = 1.0
    script: str | None = None
    model: str | None = None
    simulator: str | None = None
    world: str | None = None
    extra: dict[str, Any] = {}

    def to_plain(self) -> Any:
        """Return it as JSON."""
        return msgspec.to_builtins(self, enc_hook=str)

    @classmethod
    def from_plain(cls, plain: Any) -> "EngineConfiguration":
        """Return what `to_plain` was called of."""
        return msgspec.convert(plain, cls, dec_hook=lambda kind, text: kind(text))


class FunctionFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file with transceiver or preprocessing functions, or the status function."""

    name: str
    file: str


class SavepointSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """When savepoints are made: every so many simulated seconds (None: measured), and how many stay."""

    every: Fraction | None = None
    keep: int | None = None


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment.

    Attributes
    ----------
    timeout
        Simulation time at which it ends, in seconds; None for never.
    timestep
        The smallest time step of its engines, in seconds.
    ignored
        The places of keys that only concern a display, and are set.
    """

    name: str = ""
    description: str = ""
    timeout: Fraction | None = None
    timestep: Fraction
    engines: tuple[EngineConfiguration, ...] = ()
    functions: tuple[FunctionFile, ...] = ()
    status_function: FunctionFile | None = None
    savepoint: SavepointSchedule = SavepointSchedule()
    ignored: tuple[str, ...] = ()

    @property
    def files(self) -> Iterator[str]:
        """The files that it names, of scripts, models and functions."""
        for engine in self.engines:
            yield from filter(None, (engine.script, engine.model, engine.world))
        yield from (function.file for function in self.functions)
        if self.status_function is not None:
            yield self.status_function.file


def load(folder: Path, file: str, engines: Mapping[str, Any], times: Times = exact) -> Configuration:
    """Read an experiment's configuration from its folder.

    Parameters
    ----------
    folder
        The experiment's; the files that the configuration names must be in it.
    file
        The configuration's name, usually ``simulation_config.json``.
    engines
        The kinds of engines there are, by name.
    times
        How its seconds are understood.

    Raises
    ------
    InvalidConfiguration
        With everything that is wrong, and where.
    """
    try:
        data = json.loads((folder / file).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _invalid(file, [Problem("$", f"it can't be read: {reason}")]) from error
    return read(data, engines, folder=folder, file=file, times=times)


def read(
    data: Any,
    engines: Mapping[str, Any],
    *,
    folder: Path | None = None,
    file: str = "simulation_config.json",
    times: Times = exact,
) -> Configuration:
    """Return a configuration made of JSON data; as `load`, and files are looked for if a folder is given."""
    reader = _Reader(engines, folder, times)
    configuration = reader.configuration(data)
    if reader.problems:
        raise _invalid(file, reader.problems)
    return configuration


class _Reader:
    """Reads the parts of one configuration, and gathers what is wrong with all of them.

    A part that something is wrong with is None, so that what the others say is still checked.
    """

    def __init__(self, kinds: Mapping[str, Any], folder: Path | None, times: Times) -> None:
        self.problems: list[Problem] = []
        self._kinds = kinds
        self._folder = folder
        self._times = times

    def configuration(self, data: Any) -> Configuration:
        """Return the whole; it is of no use if there are problems."""
        values = checked(data, "$", SIMULATION, self.problems)
        engines = self._each(values, "EngineConfigs", self._engine)
        self._check_names(values["EngineConfigs"])
        functions = self._each(values, "DataPackProcessingFunctions", self._function)
        status = values["StatusFunction"]
        status_function = None if status is None else self._function(status, "$.StatusFunction")
        savepoint = self._savepoint(values["Savepoint"])
        if self._folder is not None:
            self.problems += _wrong_names(values, engines, self._folder)
        timestep = min((engine.timestep for engine in engines), default=None)
        given = values["SimulationTimestep"]
        asked = self._times(DEFAULT_TIMESTEP if given is None else given)
        all_known = len(engines) == len(values["EngineConfigs"])
        if given is not None and timestep and all_known and nanoseconds(asked) != nanoseconds(timestep):
            reason = f"it is {given:g}, but the smallest EngineTimestep is {float(timestep):g}; leave it out"
            self._add("$.SimulationTimestep", reason)
        return Configuration(
            name=values["SimulationName"],
            description=values["SimulationDescription"],
            timeout=self._times(values["SimulationTimeout"]) or None,
            timestep=timestep or asked,
            engines=engines,
            functions=functions,
            status_function=status_function,
            savepoint=savepoint,
            ignored=() if self.problems else _ignored(data),
        )

    def _add(self, place: str, reason: str) -> None:
        self.problems.append(Problem(place, reason))

    def _each(
        self, values: Mapping[str, Any], key: str, read: Callable[[Any, str], Part | None]
    ) -> tuple[Part, ...]:
        parts = [read(given, f"$.{key}[{i}]") for i, given in enumerate(values[key])]
        return tuple(part for part in parts if part is not None)

    def _engine(self, given: Any, place: str) -> EngineConfiguration | None:
        before = len(self.problems)
        values = checked(given, place, ENGINE, self.problems)
        kind = values["EngineType"]
        if kind in _OF_NRP_CORE:
            hint = "; take it out" if kind.startswith("datatransfer") else ""
            self._add(f"{place}.EngineType", f"nrp-core's {kind!r} isn't supported{hint}")
        elif kind is not None and kind not in self._kinds:
            what = f"there is no engine {kind!r}"
            self.problems.append(problem_at(f"{place}.EngineType", what, kind, self._kinds))
        elif kind is not None:
            self._check_own_keys(kind, given, values, place)
        if values["EngineLaunchCommand"] is not None:
            checked(values["EngineLaunchCommand"], f"{place}.EngineLaunchCommand", LAUNCH, self.problems)
        if values["EngineCommandTimeout"] > 0 and not values["Isolated"]:
            reason = 'only an engine with "Isolated": true can be timed out'
            self._add(f"{place}.EngineCommandTimeout", reason)
        timestep = self._times(values["EngineTimestep"])
        if timestep < NANOSECOND:
            self._add(f"{place}.EngineTimestep", "it is shorter than a nanosecond")
        if len(self.problems) > before:
            return None
        return EngineConfiguration(
            name=values["EngineName"],
            type=kind,
            timestep=timestep,
            isolated=values["Isolated"],
            command_timeout=max(0.0, float(values["EngineCommandTimeout"])),
            time_unit=float(values["TimeUnit"]),
            script=values["PythonFileName"],
            model=values["ModelFileName"],
            simulator=values["Simulator"],
            world=values["WorldFileName"],
            extra=values["EngineExtraConfigs"],
        )

    def _check_own_keys(
        self, kind: str, given: Mapping[str, Any], values: Mapping[str, Any], place: str
    ) -> None:
        """Check the keys that only some kinds of engine have."""
        own, simulator = _OWN_KEYS.get(kind, ()), values["Simulator"]
        for key in _SPECIAL:
            if key in given and key not in own:
                self._add(f"{place}.{key}", f"an engine of the type {kind!r} has no such key")
        if kind == "py_sim" and "Simulator" not in given:
            reason = f"nrp-core's default, Opensim, isn't supported; choose one of {', '.join(SIMULATORS)}"
            self._add(f"{place}.Simulator", reason)
        elif kind == "py_sim" and simulator not in (None, *SIMULATORS):
            what = f"the simulator {simulator!r} isn't supported"
            self.problems.append(problem_at(f"{place}.Simulator", what, simulator, SIMULATORS))
        for key in own:
            if key == "Simulator":
                continue
            if key not in given:
                self._add(f"{place}.{key}", "it is required")
            elif key != "WorldFileName" or simulator == "Mujoco":
                self._check_file(values[key], f"{place}.{key}")
        if "PythonFileName" in own and values["TimeUnit"] != 1:
            self._add(f"{place}.TimeUnit", "a script's time is in seconds; take it out")

    def _function(self, given: Any, place: str) -> FunctionFile | None:
        before = len(self.problems)
        values = checked(given, place, FUNCTION, self.problems)
        self._check_file(values["FileName"], f"{place}.FileName")
        if len(self.problems) > before or not values["IsActive"]:
            return None
        return FunctionFile(name=values["Name"], file=values["FileName"])

    def _savepoint(self, given: Any) -> SavepointSchedule:
        values = checked(given, "$.Savepoint", SAVEPOINT, self.problems)
        every = values["every"]
        return SavepointSchedule(
            every=None if every is None else max(NANOSECOND, self._times(every)), keep=values["keep"]
        )

    def _check_file(self, name: str | None, place: str) -> None:
        if name is None:
            return  # it is no text, or not there
        path = PurePosixPath(name)
        if not _is_within(path):
            self._add(place, f"{name!r} isn't within the experiment's folder")
        elif self._folder is not None and not (self._folder / path).is_file():
            files = (found for found in self._folder.rglob("*") if found.suffix == path.suffix)
            there = [str(found.relative_to(self._folder)) for found in sorted(files)]
            self._add(place, f"there is no file {name!r}.{suggest(name, there)}".rstrip("."))

    def _check_names(self, engines: Sequence[Any]) -> None:
        """Check that no two engines have one name, whatever else is wrong with them."""
        first: dict[str, int] = {}
        for i, given in enumerate(engines):
            name = given.get("EngineName") if isinstance(given, Mapping) else None
            if isinstance(name, str) and first.setdefault(name, i) != i:
                reason = f"$.EngineConfigs[{first[name]}] is called {name!r} already"
                self._add(f"$.EngineConfigs[{i}].EngineName", reason)


def _ignored(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the places of keys that only concern a display, but for those that want none."""
    parts = {"$": data} | {f"$.EngineConfigs[{i}]": it for i, it in enumerate(data.get("EngineConfigs", ()))}
    return tuple(
        f"{place}.{key}"
        for place, part in parts.items()
        for key, value in part.items()
        if concerns_display(key) and value
    )


def _wrong_names(
    values: Mapping[str, Any], engines: Sequence[EngineConfiguration], folder: Path
) -> list[Problem]:
    """Return what files with functions name wrongly; engines that something is wrong with have names too."""
    listed = values["DataPackProcessingFunctions"]
    given = {f"$.DataPackProcessingFunctions[{i}].FileName": it for i, it in enumerate(listed)}
    given["$.StatusFunction.FileName"] = values["StatusFunction"]
    sources: dict[str, Source] = {}
    for place, function in given.items():
        if isinstance(function, Mapping) and function.get("IsActive", True) is True:
            file = function.get("FileName")
            if isinstance(file, str) and _is_within(PurePosixPath(file)):
                sources.setdefault(file, Source(place, file))
    names = [it.get("EngineName") if isinstance(it, Mapping) else None for it in values["EngineConfigs"]]
    known: dict[str, Collection[str] | None] | None = None
    if all(isinstance(name, str) for name in names):
        known = {str(name): None for name in names}
        known |= {it.name: _packs(it, folder) for it in engines if names.count(it.name) == 1}
    return wrong_names(list(sources.values()), known, folder)


def _packs(engine: EngineConfiguration, folder: Path) -> Collection[str] | None:
    """Return the names of an engine's data packs, if they are known without starting it."""
    if engine.script is not None:
        return packs_of_script(folder, engine.script)
    outputs = engine.extra.get("outputs")
    if engine.type == "system_dynamics" and isinstance(outputs, list):
        return {it for it in outputs if isinstance(it, str)}
    return None


def _is_within(path: PurePosixPath) -> bool:
    return not path.is_absolute() and ".." not in path.parts


def _invalid(file: str, problems: list[Problem]) -> InvalidConfiguration:
    found = [f"{problem.place}: {problem.reason}" for problem in problems[:MOST_PROBLEMS]]
    summary = "; ".join([*found, "and more"] if len(problems) >= MOST_PROBLEMS else found)
    return InvalidConfiguration(
        file=file,
        summary=summary,
        problems=[{"place": problem.place, "reason": problem.reason} for problem in problems[:MOST_PROBLEMS]],
    )
