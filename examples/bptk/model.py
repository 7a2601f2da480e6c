"""A firm that wins customers by advertising and word of mouth: the model, and the factory of a BPTK server.

With BPTK-Py only the lines that import the names would be different.
"""

from perdure.bptk import Model, bptk
from perdure.bptk import sd_functions as sd

MANAGER = "sddsl_customer_acquisition"


def customer_acquisition():
    model = Model(starttime=1.0, stoptime=60.0, dt=1.0, name="Customer Acquisition SDDSL")

    customers = model.stock("customers")
    potential_customers = model.stock("potential_customers")
    customer_acquisition = model.flow("customer_acquisition")
    through_advertising = model.converter("acquisition_through_advertising")
    through_word_of_mouth = model.converter("acquisition_through_word_of_mouth")
    reached_by_advertising = model.converter("consumers_reached_through_advertising")
    reached_by_word_of_mouth = model.converter("consumers_reached_through_word_of_mouth")
    market_saturation = model.converter("market_saturation")
    initial_customers = model.constant("initial_customers")
    target_market = model.constant("target_market")
    advertising_success = model.constant("advertising_success")
    reached_per_euro = model.constant("consumers_reached_per_ruro")
    advertising_budget = model.constant("advertising_budget")
    word_of_mouth_success = model.constant("word_of_mouth_success")
    contact_rate = model.constant("contact_rate")

    customers.initial_value = initial_customers
    customers.equation = customer_acquisition
    potential_customers.initial_value = target_market
    potential_customers.equation = -customer_acquisition
    customer_acquisition.equation = sd.min(potential_customers, through_advertising + through_word_of_mouth)
    through_advertising.equation = advertising_success * reached_by_advertising
    through_word_of_mouth.equation = word_of_mouth_success * reached_by_word_of_mouth
    reached_by_advertising.equation = reached_per_euro * advertising_budget * (1.0 - market_saturation)
    reached_by_word_of_mouth.equation = contact_rate * customers * (1.0 - market_saturation)
    market_saturation.equation = customers / target_market

    initial_customers.equation = 0.0
    target_market.equation = 60_000.0
    advertising_success.equation = 0.1
    reached_per_euro.equation = 100.0
    advertising_budget.equation = 100.0
    word_of_mouth_success.equation = 0.01
    contact_rate.equation = 10.0
    return model


def bptk_factory():
    made = bptk()
    made.register_scenario_manager(
        {
            MANAGER: {
                "model": customer_acquisition(),
                "scenarios": {
                    "base": {},
                    "low_word_of_mouth": {"constants": {"word_of_mouth_success": 0.001}},
                    "high_word_of_mouth": {"constants": {"word_of_mouth_success": 0.1}},
                    "interactive_scenario": {},
                },
            }
        }
    )
    return made
