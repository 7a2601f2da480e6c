"""Models over HTTP: which scenario managers are served, with their scenarios and elements."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from perdure.api.context import Serving
from perdure.engines.system_dynamics.expression import finite
from perdure.scenarios import Manager, Scenario
from perdure.scenarios.scenario import RUN_SPECS
from perdure.web.errors import error_responses

__all__ = ["router"]

Points = dict[str, list[list[float]]]

router = APIRouter(tags=["models"])


class ModelRunSpecs(BaseModel):
    """From when to when, and in which steps; times in the model's unit."""

    starttime: float
    stoptime: float
    dt: float
    method: str


class ModelScenario(BaseModel):
    """A scenario: what it sets, and its run specs."""

    constants: dict[str, float]
    points: Points
    run_specs: ModelRunSpecs


class ManagerRecord(BaseModel):
    """A scenario manager: its model, and the scenarios over it."""

    model: str = Field(description="The model's name.")
    run_specs: ModelRunSpecs
    scenarios: dict[str, ModelScenario]
    elements: dict[str, list[str]] = Field(
        description="Kind (stock, flow, biflow, converter, constant) → names."
    )
    constants: dict[str, float | None] = Field(
        description="What a scenario or a step may set: constants, and converters that are a bare number; "
        "null for one without a value."
    )
    points: Points = Field(description="The points of the model's graphical functions.")
    problems: list[str] = Field(description="What was found wrong but can be lived with.")


class ManagerList(BaseModel):
    """All scenario managers, by name."""

    managers: dict[str, ManagerRecord]
    unusable: dict[str, str] = Field(
        description="Managers in scenario files that can't be served, each with the reason."
    )


@router.get("/models", operation_id="list_models", responses=error_responses(401, 403, 500))
async def list_models(serving: Serving) -> ManagerList:
    """List what sessions can be made of."""
    catalogue = serving.catalogue
    return ManagerList(
        managers={manager.name: _record(manager) for manager in catalogue},
        unusable=dict(catalogue.unusable),
    )


@router.get(
    "/models/{manager:path}", operation_id="read_model", responses=error_responses(401, 403, 404, 422, 500)
)
async def read_model(manager: str, serving: Serving) -> ManagerRecord:
    """Read one scenario manager; its name is any text, percent-encoded."""
    return _record(serving.catalogue.manager(manager))


def _record(manager: Manager) -> ManagerRecord:
    elements: dict[str, list[str]] = {}
    constants = {}
    for name, element in manager.model.elements.items():
        elements.setdefault(element.kind, []).append(name)
        if element.overridable:
            constants[name] = finite(element.equation)
    plain = Scenario(manager.name, "", manager.model, manager.fingerprint, points=manager.model.points)
    return ManagerRecord.model_validate(
        {
            "model": manager.model.name,
            "run_specs": _run_specs(_config(plain)),
            "scenarios": {
                name: {
                    "constants": config["constants"],
                    "points": config["points"],
                    "run_specs": _run_specs(config),
                }
                for name, scenario in manager.scenarios.items()
                for config in (_config(scenario),)
            },
            "elements": elements,
            "constants": constants,
            "points": _config(plain)["points"],
            "problems": manager.problems,
        }
    )


def _config(scenario: Scenario) -> dict[str, Any]:
    return {"method": "euler", **scenario.config((), seed=0)}


def _run_specs(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: config[key] for key in RUN_SPECS}
