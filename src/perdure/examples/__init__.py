"""The example models that `perdure serve` offers when it is given none: a start for one's own.

Each function makes a model; `catalogue` registers them with their scenarios.
"""

from pathlib import Path

from perdure.engines.system_dynamics import Model
from perdure.engines.system_dynamics import functions as sd
from perdure.scenarios import Catalogue, EngineModel

__all__ = ["catalogue", "checkout", "customer_acquisition", "epidemic", "supply_chain"]


def customer_acquisition() -> Model:
    """Make a model of a firm that wins customers by advertising and by word of mouth; time in months."""
    model = Model(starttime=1, stoptime=60, dt=1, name="customer_acquisition")
    customers = model.stock("customers")
    potential_customers = model.stock("potential_customers")
    acquisition = model.flow("customer_acquisition")
    by_advertising = model.converter("acquisition_through_advertising")
    by_word_of_mouth = model.converter("acquisition_through_word_of_mouth")
    saturation = model.converter("market_saturation")
    market = model.constant("initial_potential_customers")
    budget = model.constant("advertising_budget")
    reached_per_euro = model.constant("persons_reached_per_euro")
    advertising_success = model.constant("advertising_success")
    contact_rate = model.constant("contact_rate")
    word_of_mouth_success = model.constant("word_of_mouth_success")

    customers.initial_value = 0.0
    customers.equation = acquisition
    potential_customers.initial_value = market
    potential_customers.equation = -acquisition
    acquisition.equation = sd.min(potential_customers, by_advertising + by_word_of_mouth)
    by_advertising.equation = potential_customers / market * reached_per_euro * budget * advertising_success
    by_word_of_mouth.equation = contact_rate * customers * word_of_mouth_success * (1.0 - saturation)
    saturation.equation = customers / market

    market.equation = 60_000.0
    budget.equation = 100.0
    reached_per_euro.equation = 100.0
    advertising_success.equation = 0.1
    contact_rate.equation = 10.0
    word_of_mouth_success.equation = 0.01
    return model


def epidemic() -> Model:
    """Make the SIR model of Kermack and McKendrick; time in days."""
    model = Model(starttime=0, stoptime=200, dt=0.25, name="epidemic")
    susceptible = model.stock("susceptible")
    infectious = model.stock("infectious")
    recovered = model.stock("recovered")
    infection = model.flow("infection")
    recovery = model.flow("recovery")
    population = model.constant("population")
    contacts = model.constant("contacts_per_day")
    infectivity = model.constant("infectivity")
    duration = model.constant("days_infectious")

    susceptible.initial_value = population - 10.0
    susceptible.equation = -infection
    infectious.initial_value = 10.0
    infectious.equation = infection - recovery
    recovered.initial_value = 0.0
    recovered.equation = recovery
    infection.equation = contacts * infectivity * susceptible * infectious / population
    recovery.equation = infectious / duration

    population.equation = 10_000.0
    contacts.equation = 6.0
    infectivity.equation = 0.05
    duration.equation = 10.0
    return model


def supply_chain() -> Model:
    """Make a model of a store that orders goods under random demand and waits for them; time in weeks."""
    model = Model(starttime=0, stoptime=104, dt=0.25, name="supply_chain")
    inventory = model.stock("inventory")
    demand = model.flow("demand")
    orders = model.flow("orders")
    deliveries = model.flow("deliveries")
    expected_demand = model.converter("expected_demand")
    seasonal_factor = model.converter("seasonal_factor")
    target = model.constant("target_inventory")
    adjustment_time = model.constant("adjustment_time")
    mean_demand = model.constant("mean_demand")
    demand_deviation = model.constant("demand_deviation")

    inventory.initial_value = target
    inventory.equation = deliveries - demand
    model.points["season"] = [[0, 1.0], [13, 1.2], [26, 1.0], [39, 0.8], [52, 1.0]]
    seasonal_factor.equation = sd.lookup(sd.time() % 52.0, "season")
    demand.equation = sd.normal(mean_demand, demand_deviation) * seasonal_factor
    expected_demand.equation = sd.smooth(model, demand, 4.0, 100.0)
    orders.equation = expected_demand + (target - inventory) / adjustment_time
    deliveries.equation = sd.delay(model, orders, 3.0, 100.0)

    target.equation = 400.0
    adjustment_time.equation = 8.0
    mean_demand.equation = 100.0
    demand_deviation.equation = 10.0
    return model


def checkout() -> EngineModel:
    """Make a model of a shop's checkout, which a Python script computes; time in minutes."""
    return EngineModel(
        name="checkout",
        engine="python_json",
        config={"folder": str(Path(__file__).with_name("checkout")), "script": "checkout.py"},
        inputs={"customers_per_minute": 2.0, "minutes_per_customer": 1.4, "tills": 3},
        outputs=["waiting", "served", "mean_stay"],
        stoptime=480.0,
        dt=1.0,
    )


def catalogue() -> Catalogue:
    """Return a catalogue of the example models with their scenarios."""
    made = Catalogue()
    made.register_model(
        customer_acquisition(),
        scenario_manager="customer_acquisition",
        scenario={
            "base": {},
            "interactive": {"constants": {"advertising_budget": 200.0}},
            "strong_word_of_mouth": {"constants": {"word_of_mouth_success": 0.05}},
        },
        units={
            "time": "months",
            "customers": "persons",
            "potential_customers": "persons",
            "initial_potential_customers": "persons",
            "customer_acquisition": "persons/month",
            "acquisition_through_advertising": "persons/month",
            "acquisition_through_word_of_mouth": "persons/month",
            "advertising_budget": "euros/month",
            "persons_reached_per_euro": "persons/euro",
            "contact_rate": "persons/person/month",
        },
    )
    made.register_model(
        epidemic(),
        scenario_manager="epidemic",
        scenario={
            "base": {},
            "distancing": {"constants": {"contacts_per_day": 3.0}},
            "precise": {"runspecs": {"dt": 0.125, "method": "rk4"}},
        },
        units={
            "time": "days",
            "population": "persons",
            "susceptible": "persons",
            "infectious": "persons",
            "recovered": "persons",
            "infection": "persons/day",
            "recovery": "persons/day",
            "contacts_per_day": "persons/person/day",
            "days_infectious": "days",
        },
    )
    made.register_model(
        supply_chain(),
        scenario_manager="supply_chain",
        scenario={"base": {}, "uncertain": {"constants": {"demand_deviation": 30.0}}},
        units={
            "time": "weeks",
            "inventory": "pieces",
            "target_inventory": "pieces",
            "demand": "pieces/week",
            "expected_demand": "pieces/week",
            "orders": "pieces/week",
            "deliveries": "pieces/week",
            "mean_demand": "pieces/week",
            "demand_deviation": "pieces/week",
            "adjustment_time": "weeks",
        },
    )
    made.register_model(
        checkout(),
        scenario_manager="checkout",
        scenario={"base": {}, "saturday": {"inputs": {"customers_per_minute": 4.0, "tills": 6}}},
        units={
            "time": "minutes",
            "waiting": "persons",
            "served": "persons",
            "mean_stay": "minutes",
            "customers_per_minute": "persons/minute",
            "minutes_per_customer": "minutes/person",
        },
    )
    return made
