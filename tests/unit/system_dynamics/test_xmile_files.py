"""XMILE's models of SDXorg/test-models give the results that Stella and Vensim gave."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.support.sd_models import ROOT, differences, reference

from perdure.engines.system_dynamics import Model
from perdure.engines.system_dynamics.sources.builtins import XMILE
from perdure.engines.system_dynamics.sources.form import canonical
from perdure.engines.system_dynamics.sources.xmile.converted import XMILE_FILES
from perdure.errors import MissingEquation, UnservableModel

FILES = sorted([*ROOT.glob("*/*/*.xmile"), *ROOT.glob("*/*/*.stmx")])
PAGE = Path(__file__).parents[3] / "docs" / "xmile.md"

INCOMPLETE = {
    "macro_stock": "there is no function 'EXPRESSION MACRO'",
    "subscript_mixed_assembly": "No equation is given for",
    "subscript_multiples": "No equation is given for",
    "subscript_subranges": "'Subrange_of_Dim1' is no element of the dimension",
    "subscripted_flows": "No equation is given for",
}
"""Folders whose XMILE files are incomplete, with what is wrong: a converter has left out what it didn't
know."""

WITHOUT_RESULTS = ("display",)
"""Folders of models without equations."""

# The run specs are no variables of XMILE's models.
RUN_SPECS = ("INITIAL TIME", "FINAL TIME", "TIME STEP", "SAVEPER")


def results_of(path: Path) -> Path:
    """Return the results of a model: those of Stella where they are there."""
    names = ("output_stella.csv", "output.csv", "output.tab")
    return next(found for name in names if (found := path.with_name(name)).exists())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_gives_its_results(path: Path) -> None:
    folder = path.parent.name
    if folder in INCOMPLETE:
        with pytest.raises((UnservableModel, MissingEquation), match=INCOMPLETE[folder]):
            differences(Model.from_xmile(path), reference(results_of(path)), RUN_SPECS)
        return
    model = Model.from_xmile(path)
    if folder not in WITHOUT_RESULTS:
        assert differences(model, reference(results_of(path)), RUN_SPECS) == []


def test_the_program_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.stmx").write_bytes((ROOT / "samples" / "teacup" / "teacup.stmx").read_bytes())
    monkeypatch.chdir(tmp_path)
    program = PAGE.read_text().partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(program, names)
    assert names["values"]["teacup temperature"][0] == 180.0


def test_every_function_of_the_page_is_there_and_no_other() -> None:
    page = PAGE.read_text().partition("## Functions")[2].partition("## Differences")[0]
    page, _, of_vensim = page.partition("Functions of Vensim that converters leave")
    words = {"IF", "THEN", "ELSE", "AND", "OR", "NOT", "MOD", "SELF"}
    named = set(re.findall(r"\b[A-Z][A-Z0-9]+\b", page)) - words
    # Vensim's names of the run specs, and other names of the same functions.
    same = {"TIME_STEP", "INITIAL_TIME", "FINAL_TIME", "MODULO", "MOD", "INITIAL"}
    assert named == {name.upper() for name in XMILE} - same
    listed = of_vensim.partition("\n\n")[0]
    assert set(map(canonical, re.findall(r"`([A-Z0-9 ]+)`", listed))) == {
        name for name in XMILE_FILES.keys() - XMILE.keys() if not name.startswith("@")
    }


def test_every_file_is_here() -> None:
    assert len(FILES) == 39


def test_the_page_has_a_table_of_all_files() -> None:
    counts = Counter(path.parent.name for path in FILES)
    rows = []
    for folder, count in sorted(counts.items()):
        if folder in INCOMPLETE:
            said = "incomplete files"
        else:
            said = "no equations" if folder in WITHOUT_RESULTS else "equal"
        rows.append(f"| `{folder}` | {count} | {said} |\n")
    assert "".join(["| model | files | results |\n", "| --- | --- | --- |\n", *rows]) in PAGE.read_text()
