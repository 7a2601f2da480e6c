"""Vensim models whose results PySD computes as well: the functions that no given file has."""

import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from perdure.engines.system_dynamics import Model
from perdure.engines.system_dynamics.sources.form import canonical

MODELS = sorted((Path(__file__).parents[2] / "fixtures/vensim_models").glob("*.mdl"))


def key(name: str) -> str:
    return re.sub(r"\s*,\s*", ",", canonical(name.replace('"', "").replace("\\", "")))


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_the_results_are_those_of_pysd(path, tmp_path):
    copy = tmp_path / f"{path.stem}_copy.mdl"
    copy.write_bytes(path.read_bytes())
    shutil.copy(path.with_name("input.xlsx"), tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pysd

        theirs = pysd.read_vensim(str(copy)).run(flatten_output=True)
    model = Model.from_vensim(path)
    ours = model.simulate(list(model.elements))
    names = {key(name): name for name in ours.columns}
    for column in theirs.columns:
        expected = np.array(theirs[column], float)
        assert np.allclose(ours[names[key(column)]], expected, rtol=1e-6, atol=1e-9), column
