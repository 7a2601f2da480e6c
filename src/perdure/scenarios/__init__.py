"""Scenarios: the catalogue of models, scenario managers and scenarios, and runs of them in bulk."""

from perdure.scenarios.catalogue import Catalogue
from perdure.scenarios.engine_model import EngineModel
from perdure.scenarios.manager import Manager
from perdure.scenarios.scenario import Scenario

__all__ = ["Catalogue", "EngineModel", "Manager", "Scenario"]
