"""Models over HTTP: which scenario managers are served, with their scenarios and elements."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from perdure.api.context import Serving
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
    timestep: float = Field(description="Distance of answers unless a session asks for another.")
    method: str | None = Field(description="Of integration; null where another engine computes the model.")


class ModelScenario(BaseModel):
    """A scenario: what it sets, and its run specs."""

    constants: dict[str, float]
    points: Points
    inputs: dict[str, Any] = Field(description="What inputs of the engine are at the start.")
    run_specs: ModelRunSpecs


class ManagerRecord(BaseModel):
    """A scenario manager: its model, and the scenarios over it."""

    model: str = Field(description="The model's name.")
    engine: str = Field(description="What computes it: `system_dynamics`, or another engine's name.")
    run_specs: ModelRunSpecs
    scenarios: dict[str, ModelScenario]
    elements: dict[str, list[str]] = Field(
        description="Kind (stock, flow, biflow, converter, constant; of other engines input, output; agents) "
        "→ names."
    )
    constants: dict[str, float | None] = Field(
        description="What a scenario or a step may set: constants, and converters that are a bare number; "
        "null for one without a value."
    )
    points: Points = Field(description="The points of the model's graphical functions.")
    inputs: dict[str, Any] = Field(
        description="The inputs of another engine, each with what it is at the start; null for nothing. A "
        "scenario or a step may set them, numbers also as constants."
    )
    units: dict[str, str] = Field(
        description="What elements are counted in, of those that have a unit; `time` is the model's time."
    )
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
    model = manager.model
    plain = Scenario(manager.name, "", model, manager.fingerprint, points=model.points)
    return ManagerRecord.model_validate(
        {
            "model": model.name,
            "engine": model.engine_name,
            "run_specs": _run_specs(plain),
            "scenarios": {name: _scenario(scenario) for name, scenario in manager.scenarios.items()},
            "elements": model.elements,
            "constants": model.constants,
            "points": _config(plain)["points"],
            "inputs": model.inputs,
            "units": manager.units,
            "problems": manager.problems,
        }
    )


def _scenario(scenario: Scenario) -> dict[str, Any]:
    config = _config(scenario)
    values = {kind: config[kind] for kind in ("constants", "points", "inputs")}
    return {**values, "run_specs": _run_specs(scenario)}


def _config(scenario: Scenario) -> dict[str, Any]:
    return {"method": None, "inputs": {}, **scenario.config((), seed=0)}


def _run_specs(scenario: Scenario) -> dict[str, Any]:
    config = _config(scenario)
    return {
        "timestep": config["dt"],
        **{key: config[key] for key in (*RUN_SPECS, "timestep") if key in config},
    }
