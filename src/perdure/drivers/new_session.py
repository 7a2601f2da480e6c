"""The spec of a new session, made of a request, the catalogue and the settings."""

from collections.abc import Mapping
from typing import Any

from perdure.drivers.seeds import chosen_seed
from perdure.drivers.session_limits import check_session_limits
from perdure.drivers.session_requests import NewSession
from perdure.drivers.session_spec import ScenarioSpec, SessionSpec
from perdure.errors import InvalidScenario
from perdure.numerics import Numerics
from perdure.scenarios import Catalogue, Scenario
from perdure.scenarios.catalogue import check_outputs
from perdure.scenarios.model import ServedModel, overridden
from perdure.settings import Settings

__all__ = ["new_session_spec"]


def new_session_spec(
    request: NewSession, catalogue: Catalogue, settings: Settings, numerics: Numerics
) -> SessionSpec:
    """Return the spec of a new session.

    Raises
    ------
    InvalidScenario, ScenarioNotFound, OutputNotFound
        If the request is wrong.
    LimitExceeded
        If it asks for too much.
    """
    scenarios = _selected(request, catalogue)
    check_session_limits(settings, scenarios)
    known = sorted({name for scenario in scenarios for name in scenario.elements})
    outputs = list(dict.fromkeys(request.outputs)) or known
    seed = chosen_seed(request.seed)
    configs = [
        _beginning_with(
            scenario.model,
            request.settings.get(scenario.manager, {}).get(scenario.name, {}),
            scenario.config(outputs, seed=seed, timestep=request.dt),
        )
        for scenario in scenarios
    ]
    return SessionSpec(
        scenarios=[
            ScenarioSpec(
                manager=scenario.manager,
                scenario=scenario.name,
                model=scenario.model.name,
                fingerprint=scenario.fingerprint,
                outputs=config["outputs"],
                config=config,
            )
            for scenario, config in zip(scenarios, configs, strict=True)
        ],
        seed=seed,
        every=settings.savepoint_every,
        milestone=settings.savepoint_milestone,
        numerics=numerics.fingerprint,
    )


def _selected(request: NewSession, catalogue: Catalogue) -> list[Scenario]:
    chosen = [
        catalogue.scenario(manager, name)
        for manager, names in request.scenarios.items()
        for name in dict.fromkeys(names)
    ]
    if not chosen:
        raise InvalidScenario(reason="a session has at least one scenario")
    check_outputs(request.outputs, chosen)
    return chosen


def _beginning_with(
    model: ServedModel, settings: Mapping[str, Any], config: dict[str, Any]
) -> dict[str, Any]:
    """Return an engine's config with the settings that its session begins with."""
    given = {kind: overridden(model, kind, config.get(kind, {}), values) for kind, values in settings.items()}
    return {**config, **given}
