"""A program of BPTK-Py with arrays, as it is written there: an epidemic in regions that visit each other."""

from typing import Any

import pytest

from perdure.bptk import Model, bptk
from perdure.bptk import sd_functions as sd

# The last day of each scenario, measured with BPTK-Py 3.2.0.
MEASURED = {
    "base": [
        1790.575267500992,
        630.1637707560516,
        1015.1546966899133,
        3103.5829605781364,
        0.22382190843762398,
        0.2100545902520172,
        0.03830116091281518,
        105.72039124254422,
        147.81758343140208,
        1.0,
    ],
    "apart": [
        1816.9875146395616,
        399.25897743952703,
        720.7744817338471,
        2742.6339622433525,
        0.2271234393299452,
        0.13308632581317567,
        0.0521352346508515,
        81.76787525326893,
        112.16001561761826,
        1.0,
    ],
}


class Regions(Model):
    def __init__(self) -> None:
        super().__init__(starttime=0.0, stoptime=30.0, dt=0.25, name="regions")

    def instantiate_model(self) -> None:
        susceptible, infectious, recovered = (
            self.stock(n) for n in ("susceptible", "infectious", "recovered")
        )
        infection, recovery = self.flow("infection"), self.flow("recovery")
        people = {"coast": 8000.0, "hills": 3000.0, "plain": 5000.0}
        population, contacts = self.constant("population"), self.constant("contacts")
        population.setup_named_vector(people)
        contacts.setup_named_matrix(
            {
                "coast": {"coast": 5.0, "hills": 0.5, "plain": 0.2},
                "hills": {"coast": 0.7, "hills": 4.0, "plain": 0.1},
                "plain": {"coast": 0.3, "hills": 0.2, "plain": 3.0},
            }
        )
        infectivity, illness = self.constant("infectivity"), self.constant("illness")
        infectivity.equation, illness.equation = 0.08, 6.0
        susceptible.setup_named_vector({name: count - 10.0 for name, count in people.items()})
        infectious.setup_named_vector(dict.fromkeys(people, 10.0))
        recovered.setup_named_vector(dict.fromkeys(people, 0.0))

        prevalence, risk = self.converter("prevalence"), self.converter("risk")
        prevalence.equation = infectious / population
        risk.equation = contacts.dot(prevalence)
        infection.equation = susceptible * risk * infectivity
        recovery.equation = infectious / illness
        susceptible.equation = -1.0 * infection
        infectious.equation = infection - recovery
        recovered.equation = recovery
        self.converter("ill").equation = infectious.arr_sum()
        self.converter("worst").equation = prevalence.arr_max()
        self.converter("second").equation = prevalence.arr_rank(2)
        self.converter("spread").equation = prevalence.arr_stddev()
        reported = self.converter("reported")
        reported.equation = sd.delay(self, infection, 2.0, 0.0)
        self.converter("beds").equation = sd.smooth(self, infectious.arr_sum() * 0.05, 4.0, 0.0)
        self.converter("closed").equation = sd.If(infectious["coast"] > 500.0, 1.0, 0.0)


OUTPUTS = ["infectious[coast]", "infectious[hills]", "recovered[plain]", "ill", "worst", "second", "spread",
           "reported[hills]", "beds", "closed"]  # fmt: skip


@pytest.fixture
def made() -> bptk:
    model = Regions()
    model.instantiate_model()
    made = bptk()
    made.register_model(model)
    made.register_scenarios(
        {"apart": {"constants": {"contacts[coast][hills]": 0.0, "contacts[hills][coast]": 0.0}}}, "smRegions"
    )
    return made


@pytest.mark.parametrize("scenario", ["base", "apart"])
def test_the_program_answers_what_it_does_there(made: bptk, scenario: str) -> None:
    frame: Any = made.run_scenarios(scenarios=[scenario], scenario_managers=["smRegions"], equations=OUTPUTS)
    assert frame.iloc[-1].tolist() == pytest.approx(MEASURED[scenario], rel=1e-9)


def test_nobody_is_lost(made: bptk) -> None:
    stocks = [f"{kind}[hills]" for kind in ("susceptible", "infectious", "recovered")]
    frame: Any = made.run_scenarios(scenarios=["base"], scenario_managers=["smRegions"], equations=stocks)
    assert frame.sum(axis=1).tolist() == pytest.approx([3000.0] * len(frame), rel=1e-12)
