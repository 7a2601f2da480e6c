"""Models of Mesa and SimPy for tests of sessions: a predator-prey model and a queue."""

from pathlib import Path

from perdure.scenarios import Catalogue, EngineModel

__all__ = ["NAMES", "catalogue"]

MODELS = str(Path(__file__).parents[1] / "fixtures" / "agents")
NAMES = ("pasture", "bank")


def catalogue() -> Catalogue:
    """Return a catalogue of both; each has the scenario ``base``."""
    made = Catalogue()
    for model in (
        EngineModel(
            name="pasture",
            engine="mesa",
            config={"model": "pasture:Pasture", "folder": MODELS, "arguments": {"sheep": 12}},
            inputs={"wolves": 3, "birth_rate": None},
            outputs=["Sheep", "Wolf", "grass", "born"],
            stoptime=100.0,
        ),
        EngineModel(
            name="bank",
            engine="simpy",
            config={"model": "bank:Bank", "folder": MODELS},
            inputs={"clerks": 1, "customers_per_minute": None},
            outputs=["served", "stay", "waiting"],
            stoptime=100.0,
            dt=2.0,
        ),
    ):
        made.register_model(model, scenario_manager=model.name, scenario={"base": {}})
    return made
