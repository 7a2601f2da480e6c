"""Vensim's models of SDXorg/test-models give the results that Vensim gave."""

from pathlib import Path

import pytest
from tests.support.sd_models import ROOT, differences, reference

from perdure.engines.system_dynamics import Model

FILES = sorted(ROOT.glob("*/*/*.mdl"))
RANDOM = {
    # What a random number decides.
    "Query_file": ("kWhPerStovePerDay", "EnergyConsumptionRate", "TotalEnergyConsumption"),
}


def output_of(path: Path) -> Path:
    """Return the results of a model: Vensim's, also where the file of them belongs to another program."""
    names = ("output_vensim63dss.csv", "output.tab", "output.csv")
    return next(found for name in names if (found := path.with_name(name)).exists())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_gives_the_results_of_vensim(path):
    model = Model.from_vensim(path)
    assert differences(model, reference(output_of(path)), RANDOM.get(path.parent.name, ())) == []


def test_every_file_is_here():
    assert len(FILES) == 43
