"""Models of the engines in `any_engines`, sessions on them, and the processes of engines."""

import os
from typing import Any

from tests.support.any_engines import Summing

from perdure.drivers.session_requests import NewSession
from perdure.execution.guard import content, descendants
from perdure.scenarios import Catalogue, EngineModel

__all__ = ["catalogue_with", "engine_processes", "new", "summing"]


def summing(engine: Any = Summing, **given: Any) -> EngineModel:
    """Return a model of one of these."""
    inputs, outputs = {"rate": 1.0, "note": None}, ["total", "given"]
    settings = {"name": "sum", "inputs": inputs, "outputs": outputs, "stoptime": 50.0} | given
    return EngineModel(engine=engine, **settings)


def catalogue_with(model: EngineModel, **scenarios: Any) -> Catalogue:
    """Return a catalogue of one manager, ``sum``."""
    made = Catalogue()
    made.register_model(model, scenario_manager="sum", scenario={"base": {}, **scenarios})
    return made


def new(**given: Any) -> NewSession:
    """Return a request for a session on the scenario ``base``."""
    settings: dict[str, Any] = {"scenarios": {"sum": ["base"]}, "outputs": ["total"], "seed": 1}
    return NewSession(**settings | given)


def engine_processes() -> list[int]:
    """Return the processes of engines below this one, without their guards."""
    commands = {pid: content(f"/proc/{pid}/cmdline") for pid in descendants(os.getpid())}
    return [pid for pid, it in commands.items() if b"engine_process" in it and b"guard.py" not in it]
