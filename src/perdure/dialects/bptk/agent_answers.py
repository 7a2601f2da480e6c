"""The shape of what a session answers of agents: type → state → time → value, as that of ``/run``."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from perdure.dialects.bptk.session_clock import time_text
from perdure.engines.agents.outputs import AgentOutput, parsed

__all__ = ["agent_time", "is_of_agents", "merged", "of_step"]

_parsed = lru_cache(maxsize=4096)(parsed)


def is_of_agents(name: str) -> bool:
    """Return whether an output concerns agents."""
    return _parsed(name) is not None


def agent_time(time: float, digits: int) -> str:
    """Return a time as a key, as that of ``/run``: without decimals if all steps are at whole times.

    >>> agent_time(2.0, 0), agent_time(2.0, 1)
    ('2', '2.0')
    """
    return str(round(time)) if digits == 0 else time_text(time, digits)


def of_step(names: Sequence[str], values: Sequence[Any], time: str | float | None) -> dict[str, Any]:
    """Return what a step answers of agents, by type.

    Parameters
    ----------
    names, values
        Outputs; those of elements are passed over.
    time
        The step's time; None leaves times out.
    """
    tree: dict[str, Any] = {}
    for name, value in zip(names, values, strict=True):
        output = _parsed(name)
        if output is not None:
            _place(tree.setdefault(output.kind, {}), output, value, time)
    return tree


def merged(steps: Sequence[Mapping[str, Any]], *, flat: bool) -> dict[str, Any]:
    """Return what several steps answered of agents, each as of `of_step` with its time.

    Where nobody was in a state, it has 0. Of each agent, the last values are given.
    """
    tree: dict[str, Any] = {}
    for step in steps:
        for kind, states in step.items():
            for state, given in states.items():
                there = tree.setdefault(kind, {})
                if state == "instances":
                    there[state] = given
                else:
                    _merge(there.setdefault(state, {}), given)
    for kind, states in tree.items():
        counts = [
            series for state, series in states.items() if state != "instances" and "properties" not in series
        ]
        times = [time for step in steps for time in _times(step.get(kind, {}))]
        for series in counts:
            full = {time: series.get(time, 0) for time in dict.fromkeys(times)}
            series.clear()
            series.update(full)
    return _without_times(tree) if flat else tree


def _times(states: Mapping[str, Any]) -> list[Any]:
    return [
        time
        for state, series in states.items()
        if state != "instances" and "properties" not in series
        for time in series
    ]


def _merge(into: dict[str, Any], given: Mapping[str, Any]) -> None:
    for key, value in given.items():
        if isinstance(value, Mapping):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


def _without_times(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        if key == "instances"
        else (
            _without_times(value)
            if any(isinstance(each, Mapping) for each in value.values())
            else list(value.values())
        )
        for key, value in tree.items()
    }


def _place(states: dict[str, Any], output: AgentOutput, value: Any, time: str | float | None) -> None:
    def at(number: Any) -> Any:
        return number if time is None else {time: number}

    if output.state is None and output.name is not None:
        instances = states.setdefault("instances", {})
        for number, given in value.items():
            instances.setdefault(number, {})[output.name] = given
    elif output.state is None:
        states.update({state: at(count) for state, count in value.items()})
    elif output.name is None:
        states[output.state] = at(value)
    else:
        properties = states.setdefault(output.state, {}).setdefault("properties", {})
        properties.setdefault(output.name, {})[output.statistic] = at(value)
