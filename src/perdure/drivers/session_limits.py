"""The limits of sessions: how much one of them, and one request, may ask for."""

from collections.abc import Mapping, Sequence
from typing import Any

from perdure.errors import LimitExceeded, check_limit
from perdure.scenarios import Scenario
from perdure.settings import Settings

__all__ = ["check_forks", "check_run_steps", "check_session_limits", "check_step_limits"]


def check_session_limits(settings: Settings, scenarios: Sequence[Scenario]) -> None:
    """Raise `LimitExceeded` if a session has too many scenarios, or one of them too long a run."""
    check_limit("The scenarios of a session", len(scenarios), settings.max_scenarios, "PERDURE_MAX_SCENARIOS")
    for scenario in scenarios:
        check_run_steps(settings, scenario.label, scenario.config([], seed=0))


def check_run_steps(settings: Settings, label: str, config: Mapping[str, Any]) -> None:
    """Raise `LimitExceeded` if the run of a scenario with this configuration is too long."""
    steps = (config["stoptime"] - config["starttime"]) / config["dt"]
    if steps > settings.max_run_steps:
        raise LimitExceeded(
            what=f"The steps of dt of {label}",
            limit=settings.max_run_steps,
            value=round(steps),
            setting="PERDURE_MAX_RUN_STEPS",
        )


def check_forks(settings: Settings, forks: int) -> None:
    """Raise `LimitExceeded` if a request asks for too many forks."""
    check_limit(
        "The forks of a request", forks, settings.max_forks_per_request, "PERDURE_MAX_FORKS_PER_REQUEST"
    )


def check_step_limits(settings: Settings, steps: int, values_per_step: int) -> None:
    """Raise `LimitExceeded` if a request asks for too many steps, or too many values in all."""
    check_limit(
        "The steps of a request", steps, settings.max_steps_per_request, "PERDURE_MAX_STEPS_PER_REQUEST"
    )
    check_limit(
        "The values of an answer (steps × outputs)",
        steps * values_per_step,
        settings.max_values_per_request,
        "PERDURE_MAX_VALUES_PER_REQUEST",
    )
