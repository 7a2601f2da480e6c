"""Vensim's models of SDXorg/test-models give the results that Vensim gave."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.support.sd_models import ROOT
from tests.support.vensim_features import FEATURES, FILES, OWN, found_wrong, table

from perdure.engines.system_dynamics import Model, simulate
from perdure.engines.system_dynamics.sources.form import canonical
from perdure.engines.system_dynamics.sources.vensim.calls import CALLS
from perdure.engines.system_dynamics.sources.vensim.functions import FUNCTIONS

PAGE = Path(__file__).parents[3] / "docs/vensim.md"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_gives_the_results_of_vensim(path):
    assert found_wrong(path) == ()


def test_a_cup_of_tea_from_two_kinds_of_file_has_the_same_bits():
    outputs = []
    for ending in ("mdl", "stmx"):
        model = Model.from_file(ROOT / f"samples/teacup/teacup.{ending}")
        (name,) = (name for name in model.elements if canonical(name) == "teacup_temperature")
        outputs.append(list(simulate(model, {"outputs": [name]})[1][name]))
    assert len(outputs[0]) == 241
    assert outputs[0] == outputs[1]


def test_every_file_shows_a_feature():
    shown = {name for names in FEATURES.values() for name in names}
    assert shown == {path.parent.name for path in FILES} | {path.stem for path in OWN}


def test_the_table_of_the_documentation_is_what_the_files_show():
    assert table() in PAGE.read_text("utf-8")


def test_the_example_of_the_documentation_runs(tmp_path, monkeypatch):
    shutil.copy(ROOT / "samples/teacup/teacup.mdl", tmp_path)
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(example, namespace)
    assert namespace["values"]["Teacup Temperature"][0] == 180.0


def test_the_functions_that_the_documentation_names_are_served():
    text = PAGE.read_text("utf-8")
    served = text[text.index("Also served:") : text.index(", all `RANDOM`")]
    names = re.findall(r"`([A-Z ]+)`", served)
    assert len(names) > 10
    for name in names:
        assert canonical(name) in {*FUNCTIONS, *CALLS, "get_xls_subscript", "tabbed_array", "delayp"}, name
