"""The session clock: start and stop of a session, the time of its next answer, and the text of times.

A time is written as in BPTK: the shortest text of a float, with no more decimals than the start and the
interval of answers have.
"""

from collections.abc import Iterable
from typing import NamedTuple

from perdure.drivers.session_spec import SessionSpec
from perdure.engines.run_specs import decimals
from perdure.engines.system_dynamics import RunSpecs
from perdure.errors import InvalidRunSpecs
from perdure.scenarios import Scenario

__all__ = ["Bounds", "bounds", "digits_of", "next_time", "session_dt", "time_text"]

SESSION_DT = 1.0


class Bounds(NamedTuple):
    """Start and stop of a session, and the interval between answers, in the model's unit."""

    starttime: float
    stoptime: float
    dt: float


def session_dt(scenarios: Iterable[Scenario]) -> float | None:
    """Return 1.0, as in BPTK, if that is a multiple of every scenario's dt.

    Else None: each uses its own dt.
    """
    for scenario in scenarios:
        config = scenario.config((), seed=0)
        try:
            RunSpecs(config["starttime"], config["stoptime"], config["dt"], timestep=SESSION_DT)
        except InvalidRunSpecs:
            return None
    return SESSION_DT


def bounds(spec: SessionSpec) -> Bounds:
    """Return a session's bounds, as in BPTK: from the latest start to the earliest stop of its scenarios."""
    configs = [part.config for part in spec.scenarios]
    latest = max(configs, key=lambda config: float(config["starttime"]))
    return Bounds(
        starttime=float(latest["starttime"]),
        stoptime=float(min(config["stoptime"] for config in configs)),
        dt=float(latest.get("timestep") or latest["dt"]),
    )


def next_time(spec: SessionSpec, position: int) -> float:
    """Return the time of a session's next answer after the given number of steps."""
    starttime, _, dt = bounds(spec)
    return round(starttime + position * dt, decimals(starttime, dt))


def digits_of(spec: SessionSpec) -> list[int]:
    """Return the number of decimals in the times of each scenario."""
    return [part.decimals for part in spec.scenarios]


def time_text(time: float, digits: int) -> str:
    """Return a time as a key of an answer.

    >>> time_text(0.1 + 0.2, 1), time_text(2.0, 0)
    ('0.3', '2.0')
    """
    return repr(round(time, digits))
