"""Execution of a model in a request: it is run in several scenarios, and nothing is stored."""

from collections.abc import Mapping
from typing import Any

from perdure.dialects.bptk.bulk import RUN_SPECS, check_runs, series
from perdure.dialects.bptk.mistakes import BptkError
from perdure.engines.system_dynamics import Model
from perdure.errors import check_limit
from perdure.scenarios.system_dynamics import SystemDynamicsModel
from perdure.settings import Settings

__all__ = ["execute"]


def execute(body: Mapping[str, Any], settings: Settings) -> dict[str, dict[str, dict[str, float]]]:
    """Run the JSON model of a body; blocking.

    Returns
    -------
    dict
        Scenario → equation → time → value; without scenarios there is one, ``default``.

    Raises
    ------
    BptkError, ModelError
        If something is missing or wrong.
    LimitExceeded
        If a limit is exceeded.
    """
    for key in ("model", "equations"):
        if key not in body:
            raise BptkError(400, f"missing required field: {key}")
    equations = body["equations"]
    if not isinstance(equations, list) or not equations or not all(isinstance(e, str) for e in equations):
        raise BptkError(400, "equations must be a non-empty list")
    scenarios = body.get("scenarios", {"default": {}})
    if not isinstance(scenarios, dict) or not all(isinstance(one, dict) for one in scenarios.values()):
        raise BptkError(400, "scenarios must be an object of objects")
    check_limit("The scenarios of a request", len(scenarios), settings.max_scenarios, "PERDURE_MAX_SCENARIOS")
    model = Model.from_json(body["model"])
    for name in equations:
        model.known(name, "The list of equations")
    configs = {name: _config(model, given, equations) for name, given in scenarios.items()}
    made = SystemDynamicsModel(model)
    check_runs(settings, {name: (made, config) for name, config in configs.items()})
    return {name: series(made, config) for name, config in configs.items()}


def _config(model: Model, given: Mapping[str, Any], equations: list[str]) -> dict[str, Any]:
    """Return the engine's config for one scenario."""
    run_specs = _part(given, "runspecs")
    times = {name: run_specs.get(name, getattr(model, name)) for name in RUN_SPECS}
    return {
        **times,
        "timestep": model.timestep(times["dt"]),
        "constants": _part(given, "constants"),
        "points": _part(given, "points"),
        "outputs": list(dict.fromkeys(equations)),
    }


def _part(given: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = given.get(key) or {}
    if not isinstance(part, dict):
        raise BptkError(400, f"{key} of a scenario must be an object")
    return part
