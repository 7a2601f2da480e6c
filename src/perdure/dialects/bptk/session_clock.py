"""The session clock: how far a session's answers are apart unless its client says so."""

from collections.abc import Iterable

from perdure.engines.system_dynamics import RunSpecs
from perdure.errors import InvalidRunSpecs
from perdure.scenarios import Scenario

__all__ = ["session_dt"]

SESSION_DT = 1.0


def session_dt(scenarios: Iterable[Scenario]) -> float | None:
    """Return 1.0, as in BPTK, where that is a multiple of every scenario's dt; else None: each its own dt."""
    for scenario in scenarios:
        config = scenario.config((), seed=0)
        try:
            RunSpecs(config["starttime"], config["stoptime"], config["dt"], timestep=SESSION_DT)
        except InvalidRunSpecs:
            return None
    return SESSION_DT
