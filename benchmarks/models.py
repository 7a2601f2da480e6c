"""The models that are measured, made by the same lines for Perdure and for bptk-py: their languages agree."""

from collections.abc import Callable
from typing import Any

__all__ = ["ENDLESS", "MANAGER", "OUTPUTS", "SCENARIO", "SIR_STOCKS", "catalogue", "endemic", "sir"]

ENDLESS = 1_000_000.0
"""A stop time that no benchmark comes to."""

MANAGER, SCENARIO = "endemic", "base"
OUTPUTS = ("infectious", "prevalence")
SIR_STOCKS = ("susceptible", "infectious", "recovered")


def endemic(make_model: Callable[..., Any]) -> Any:
    """Make the 15-element model of the budgets: a disease whose immunity wanes; dt 1, no end.

    Parameters
    ----------
    make_model
        The class `Model`, of either library.
    """
    model = make_model(starttime=0.0, stoptime=ENDLESS, dt=1.0, name=MANAGER)
    susceptible = model.stock("susceptible")
    infectious = model.stock("infectious")
    recovered = model.stock("recovered")
    infection = model.flow("infection")
    recovery = model.flow("recovery")
    waning = model.flow("waning")
    vaccination = model.flow("vaccination")
    population = model.converter("population")
    prevalence = model.converter("prevalence")
    force = model.converter("force_of_infection")
    contacts = model.constant("contacts_per_day")
    infectivity = model.constant("infectivity")
    illness = model.constant("days_infectious")
    immunity = model.constant("days_immune")
    coverage = model.constant("vaccinated_per_day")

    susceptible.initial_value = 9990.0
    infectious.initial_value = 10.0
    recovered.initial_value = 0.0
    susceptible.equation = waning - infection - vaccination
    infectious.equation = infection - recovery
    recovered.equation = recovery + vaccination - waning
    infection.equation = force * susceptible
    recovery.equation = infectious / illness
    waning.equation = recovered / immunity
    vaccination.equation = coverage * susceptible
    population.equation = susceptible + infectious + recovered
    prevalence.equation = infectious / population
    force.equation = contacts * infectivity * prevalence
    contacts.equation = 6.0
    infectivity.equation = 0.05
    illness.equation = 10.0
    immunity.equation = 180.0
    coverage.equation = 0.0005
    return model


def sir(make_model: Callable[..., Any], steps: int) -> Any:
    """Make the SIR model of Kermack and McKendrick, of so many Euler steps."""
    model = make_model(starttime=0.0, stoptime=float(steps), dt=1.0, name="sir")
    susceptible, infectious, recovered = (model.stock(name) for name in SIR_STOCKS)
    infection = model.flow("infection")
    recovery = model.flow("recovery")
    population = model.constant("population")
    contacts = model.constant("contacts_per_day")
    infectivity = model.constant("infectivity")
    illness = model.constant("days_infectious")

    susceptible.initial_value = 9990.0
    infectious.initial_value = 10.0
    recovered.initial_value = 0.0
    susceptible.equation = -infection
    infectious.equation = infection - recovery
    recovered.equation = recovery
    infection.equation = contacts * infectivity * susceptible * infectious / population
    recovery.equation = infectious / illness
    population.equation = 10_000.0
    contacts.equation = 6.0
    infectivity.equation = 0.005
    illness.equation = 100.0
    return model


def catalogue() -> Any:
    """Return what the measured server serves."""
    from perdure.engines.system_dynamics import Model
    from perdure.scenarios import Catalogue

    made = Catalogue()
    made.register_model(endemic(Model), scenario_manager=MANAGER, scenario={SCENARIO: {}})
    return made
