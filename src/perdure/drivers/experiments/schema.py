"""The schema of `simulation_config.json`: its keys, what they may be, and their defaults.

The keys are those of nrp-core; `Isolated`, `TimeUnit`, `ModelFileName` and `Savepoint` are ours.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from perdure.errors import suggest
from perdure.run import is_unicode

__all__ = [
    "ENGINE",
    "FUNCTION",
    "LAUNCH",
    "MOST_PROBLEMS",
    "SAVEPOINT",
    "SIMULATION",
    "Key",
    "Problem",
    "checked",
    "concerns_display",
    "problem",
]

LONGEST = 9_000_000_000  # seconds of simulation time
MOST_KEPT = 1_000_000  # savepoints

DISPLAY = frozenset(
    (
        "visualizer",
        "visualization",
        "viewer",
        "gui",
        "headless",
        "render",
        "rendering",
        "rendermode",
        "display",
    )
)
"""Keys that only concern a display, in small letters and without underscores: they may be anywhere, and a
simulation server, which has no display, ignores them."""
MOST_PROBLEMS = 100  # problems of one configuration after which no more are looked for


class Problem(NamedTuple):
    """Something wrong in a configuration, and where, as a JSON path."""

    place: str
    reason: str


class Key(NamedTuple):
    """A key: what its value must be, its default, and how it is checked."""

    needs: str
    default: Any
    check: Callable[[Any], bool]
    required: bool = False


def checked(given: Any, place: str, keys: Mapping[str, Key], problems: list[Problem]) -> dict[str, Any]:
    """Return the values of all keys, with defaults; what is wrong is added to the problems, up to a limit."""
    values = {name: key.default for name, key in keys.items()}
    if not isinstance(given, Mapping):
        problems.append(Problem(place, f"it must be an object, not {given!r:.80}"))
        return values
    for name, value in given.items():
        if len(problems) >= MOST_PROBLEMS:
            return values
        key = keys.get(name)
        if concerns_display(name):
            continue
        if key is None:
            problems.append(problem(f"{place}.{name}", "there is no such key", name, keys))
        elif not key.check(value):
            problems.append(Problem(f"{place}.{name}", f"it must be {key.needs}, not {value!r:.80}"))
        else:
            values[name] = value
    for name, key in keys.items():
        if key.required and name not in given:
            problems.append(Problem(f"{place}.{name}", "it is required"))
    return values


def concerns_display(name: str) -> bool:
    """Return whether a key of this name only concerns a display."""
    return name.replace("_", "").lower() in DISPLAY


def problem(place: str, what: str, name: str, known: Iterable[str]) -> Problem:
    """Return a problem that suggests the nearest known name, or lists the known ones."""
    known = list(known)
    nearest = suggest(name, known)
    return Problem(place, f"{what}{'.' + nearest if nearest else '; known are ' + ', '.join(known)}")


def _number(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max  # neither NaN, nor an integer that no float can hold


def _text(default: str | None = None, *, required: bool = False) -> Key:
    def is_text(value: Any) -> bool:  # JSON can write halves of characters, which are none
        return isinstance(value, str) and is_unicode(value) and bool(value or default == "")

    return Key("a text", default, is_text, required)


def _flag(default: bool) -> Key:
    return Key("true or false", default, lambda value: isinstance(value, bool))


def _only(value: Any, why: str = "nothing else is supported") -> Key:
    shown = repr(value) if isinstance(value, str) else {(): "empty", None: "left out"}[value]
    return Key(f"{shown} ({why})", value, lambda given: given == value or (value == () and given == []))


def _objects() -> Key:
    return Key("a list", (), lambda value: isinstance(value, list))


def _time(what: str, check: Callable[[Any], bool], default: Any = None) -> Key:
    """Return a key for simulation time, which is counted in nanoseconds of 64 bits."""
    needs = f"{what}, in seconds, and at most {LONGEST:,}"
    return Key(needs, default, lambda value: _number(value) and check(value) and value <= LONGEST)


_POSITIVE = Key("a positive number", None, lambda value: _number(value) and value > 0)

SIMULATION: Mapping[str, Key] = {
    "SimulationName": _text(""),
    "SimulationDescription": _text(""),
    "SimulationLoop": _only("FTILoop"),
    "FTILoopType": _only("ORIGINAL"),
    "SimulationTimeout": _time("a number from 0 on", lambda value: value >= 0, 0),
    "SimulationTimestep": _time("a positive number", lambda value: value > 0),
    "DataPackProcessor": _only("tf", "computational graphs aren't supported"),
    "FunctionArgumentsPassingMethod": _only("value", "functions get copies"),
    "ProcessLauncherType": _only("Basic"),
    "EngineConfigs": _objects(),
    "ExternalProcesses": _only(()),
    "DataPackProcessingFunctions": _objects(),
    "StatusFunction": Key("an object", None, lambda value: isinstance(value, Mapping)),
    "ComputationalGraph": _only((), "computational graphs aren't supported"),
    "EventLoop": _only(None, "the event loop isn't supported"),
    "EventLoopTimeout": _only(None, "the event loop isn't supported"),
    "EventLoopTimestep": _only(None, "the event loop isn't supported"),
    "ROSNode": _only(None, "ROS isn't supported"),
    "ConnectROS": _only(None, "ROS isn't supported"),
    "MQTTNode": _only(None, "MQTT isn't supported"),
    "ConnectMQTT": _only(None, "MQTT isn't supported"),
    "Savepoint": Key("an object", {}, lambda value: isinstance(value, Mapping)),
}

ENGINE: Mapping[str, Key] = {
    "EngineName": _text(required=True),
    "EngineType": _text(required=True),
    "EngineTimestep": _time("a positive number", lambda value: value > 0, 0.01),
    "EngineCommandTimeout": Key("a number of seconds", 0.0, _number),
    "EngineExtraConfigs": Key("an object", {}, lambda value: isinstance(value, Mapping)),
    "EngineLaunchCommand": Key("an object", None, lambda value: isinstance(value, Mapping)),
    "EngineProcCmd": _only(None, "Perdure starts engines itself"),
    "EngineProcStartParams": _only((), "Perdure starts engines itself"),
    "EngineEnvParams": _only((), "Perdure starts engines itself"),
    # Addresses of engine servers, which there are none of: taken, and without effect.
    "ServerAddress": _text("localhost:9002"),
    "RegistrationServerAddress": _text("localhost:9001"),
    "PythonFileName": _text(),
    "Simulator": _text(),
    "WorldFileName": _text(),
    "ModelFileName": _text(),
    "Isolated": _flag(False),
    "TimeUnit": _POSITIVE._replace(default=1),
}

LAUNCH: Mapping[str, Key] = {"LaunchType": _only("BasicFork")}

FUNCTION: Mapping[str, Key] = {
    "Name": _text(required=True),
    "FileName": _text(required=True),
    "IsActive": _flag(True),
}

SAVEPOINT: Mapping[str, Key] = {
    "every": Key(
        f"a positive number, in seconds, and at most {LONGEST:,}, or null",
        None,
        lambda value: value is None or (_number(value) and 0 < value <= LONGEST),
    ),
    "keep": Key(
        f"a positive integer up to {MOST_KEPT:,}, or null",
        None,
        lambda value: value is None or (type(value) is int and 0 < value <= MOST_KEPT),
    ),
}
