"""One epidemic, written as an XMILE file, as a Vensim file, in Python and as JSON."""

from pathlib import Path

from perdure.engines.system_dynamics import Model
from perdure.scenarios import Catalogue

FOLDER = Path(__file__).parents[1] / "fixtures/sir"
SOURCES = ("stmx", "mdl", "python", "json")


def model(source: str) -> Model:
    """Return the model of one source."""
    return in_python() if source == "python" else Model.from_file(FOLDER / f"sir.{source}")


def in_python() -> Model:
    sir = Model(starttime=0.0, stoptime=40.0, dt=0.25, name="sir")
    susceptible, infectious, recovered = map(sir.stock, ("susceptible", "infectious", "recovered"))
    infection, recovery = map(sir.biflow, ("infection", "recovery"))
    values = {"population": 1000.0, "contacts": 8.0, "infectivity": 0.07, "duration": 4.3}
    population, contacts, infectivity, duration = map(sir.constant, values)
    for name, value in values.items():
        sir.constants[name].equation = value
    susceptible.initial_value, infectious.initial_value, recovered.initial_value = population - 1.0, 1.0, 0.0
    infection.equation = contacts * infectivity * susceptible * infectious / population
    recovery.equation = infectious / duration
    susceptible.equation = -infection
    infectious.equation = infection - recovery
    recovered.equation = recovery
    return sir


def catalogue() -> Catalogue:
    """Return all four, each as a manager with the name of its source."""
    served = Catalogue()
    for source in SOURCES:
        served.register_model(model(source), scenario_manager=source)
    return served
