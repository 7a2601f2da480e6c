"""Legacy sessions: the data of BPTK-Py of 2022, 2.1, 3.0 and 3.2, converted into one form.

Their logs have three shapes. *By step*: time → manager → scenario → …; a step without settings has null. *By
scenario* (compressed, up to 3.0.2): manager → scenario → … → list, without times. *With steps* (compressed,
from 3.0.3): the same with a list of the times; a value that some steps lack has the indices of its steps.
`rebuild` makes sessions of them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from perdure.errors import CorruptBlob

__all__ = ["LegacySession", "Settings"]

Settings = dict[str, dict[str, dict[str, dict[str, Any]]]]
"""Manager → scenario → ``constants`` and ``points`` → name → value."""

Results = dict[tuple[str, str, str], float]
"""(manager, scenario, equation) → value."""

WITH_STEPS = "steps-v2"
NEAR = 1e-6  # of dt; times with a smaller difference are the same step


class LegacySession(msgspec.Struct, frozen=True, kw_only=True):
    """A session of BPTK-Py.

    Attributes
    ----------
    managers, scenarios, equations
        Their names.
    begun_with
        The settings of ``begin-session``.
    starttime, dt
        Its start and the interval between its steps, in the model's unit.
    settings
        The settings of each step.
    results
        The results of each step.
    """

    managers: list[str]
    scenarios: list[str]
    equations: list[str]
    begun_with: Settings
    starttime: float
    dt: float
    settings: list[Settings]
    results: list[Results]

    @classmethod
    def parse(cls, state: Any) -> "LegacySession":
        """Convert a state of BPTK-Py into a session.

        Raise `CorruptBlob` with the reason if that is impossible.
        """
        try:
            managers = _names(state, "scenario_managers")
            starttime, dt = float(state["starttime"]), float(state["dt"])
            results = _results(state["results_log"], managers)
            count = len(results) if isinstance(results, list) else len(results[0])
            times = [starttime + number * dt for number in range(count)]
            if isinstance(results, tuple):
                given, results = results
                # BPTK-Py sums dt, so that its times may be slightly off.
                if any(abs(time - exact) > NEAR * dt for time, exact in zip(given, times, strict=True)):
                    raise CorruptBlob(reason="its results are not of one step after the other")
                times = given
            if abs(float(state["step"]) - (starttime + count * dt)) > NEAR * dt:
                raise CorruptBlob(
                    reason=f"its next step is {state['step']}, which doesn't follow from {count} results"
                )
            return cls(
                managers=managers,
                scenarios=_names(state, "scenarios"),
                equations=_names(state, "equations"),
                begun_with=_checked(state.get("settings")),
                starttime=starttime,
                dt=dt,
                settings=_settings(state["settings_log"], managers, times),
                results=results,
            )
        except (KeyError, TypeError, AttributeError, ValueError, IndexError, RecursionError) as error:
            raise CorruptBlob(reason=f"it is no session of BPTK-Py that can be read: {error!r}") from error


def _names(state: Mapping[str, Any], key: str) -> list[str]:
    names = state[key]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{key} is {names!r:.80}")
    return names


def _by_step(log: Mapping[str, Any], managers: list[str]) -> bool:
    """Return whether a log's keys are times and not managers."""
    return not all(key in managers for key in log)


def _results(log: Any, managers: list[str]) -> tuple[list[float], list[Results]] | list[Results]:
    """Return each step's results, with the steps' times if the log has them."""
    if log.get("__format__") == WITH_STEPS:
        times = [float(time) for time in log["steps"]]
        columns = {
            place: dict(zip(*_places(values, len(times)), strict=True))
            for place, values in _columns(log["data"])
        }
        steps: list[Results] = [
            {place: float(values[at]) for place, values in columns.items() if at in values}
            for at in range(len(times))
        ]
        return times, steps
    if _by_step(log, managers):
        ordered = sorted(log, key=float)
        return [float(time) for time in ordered], [
            {
                (manager, scenario, equation): float(next(iter(value.values())))
                for manager, scenarios in log[time].items()
                for scenario, equations in scenarios.items()
                for equation, value in equations.items()
            }
            for time in ordered
        ]
    lists = dict(_columns(log))
    count = max((len(values) for values in lists.values()), default=0)
    if any(len(values) != count for values in lists.values()):
        raise CorruptBlob(reason="its compressed results don't say at which steps they were returned")
    return [{place: float(values[at]) for place, values in lists.items()} for at in range(count)]


def _settings(log: Any, managers: list[str], times: list[float]) -> list[Settings]:
    """Return each step's settings."""
    if log.get("__format__") == WITH_STEPS:
        index = _indices([float(time) for time in log["steps"]], times)
        return _spread(log["data"], times, lambda values: _at(values, index))
    if _by_step(log, managers):
        settings: list[Settings] = [{} for _ in times]
        for at, given in zip(_indices([float(time) for time in log], times), log.values(), strict=True):
            settings[at] = _checked(given)
        return settings

    def at_every_step(values: Any) -> Iterator[tuple[int, Any]]:
        if len(values) != len(times):
            raise CorruptBlob(reason="its compressed settings don't say at which steps they were given")
        return enumerate(values)

    return _spread(log, times, at_every_step)


def _checked(given: Any) -> Settings:
    """Return settings with null as nothing; anything but a mapping of mappings raises `AttributeError`."""
    return {
        manager: {
            scenario: {kind: dict((values or {}).items()) for kind, values in (kinds or {}).items()}
            for scenario, kinds in (scenarios or {}).items()
        }
        for manager, scenarios in (given or {}).items()
    }


def _spread(data: Any, times: list[float], places: Any) -> list[Settings]:
    """Return each step's settings from lists of values by name; a function returns the steps of each list."""
    settings: list[Settings] = [{} for _ in times]
    for manager, scenarios in data.items():
        for scenario, kinds in scenarios.items():
            for kind, names in kinds.items():
                for name, values in names.items():
                    for at, value in places(values):
                        of_step = settings[at].setdefault(manager, {}).setdefault(scenario, {})
                        of_step.setdefault(kind, {})[name] = value
    return settings


def _at(values: Any, index: list[int]) -> Iterator[tuple[int, Any]]:
    """Yield the values of one name with their steps."""
    places, found = _places(values, len(index))
    return iter([(index[place], value) for place, value in zip(places, found, strict=True)])


def _places(values: Any, count: int) -> tuple[list[int], list[Any]]:
    """Return the steps of the values of one name, and the values."""
    if isinstance(values, dict):
        return values["at"], values["values"]
    if len(values) != count:
        raise CorruptBlob(reason="its compressed logs have lists of another length than there are steps")
    return list(range(count)), values


def _columns(data: Any) -> Iterator[tuple[tuple[str, str, str], Any]]:
    for manager, scenarios in data.items():
        for scenario, equations in scenarios.items():
            for equation, values in equations.items():
                yield (manager, scenario, equation), values


def _indices(given: list[float], times: list[float]) -> list[int]:
    """Return the indices of the steps with these times."""
    index = {time: at for at, time in enumerate(times)}
    for time in given:
        if time not in index:
            raise CorruptBlob(reason=f"it has settings for the time {time}, but no results")
    return [index[time] for time in given]
