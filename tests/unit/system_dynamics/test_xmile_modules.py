"""Modules of XMILE documents in other files, and modules that hold each other."""

from pathlib import Path

import pytest
from tests.support.xmile_models import aux, columns_of, model_of

from perdure.engines.system_dynamics import Model
from perdure.errors import UnservableModel

XMILE = "perdure.engines.system_dynamics.sources.xmile"

LINKED = """<xmile version="1.0" xmlns="http://docs.oasis-open.org/xmile/ns/XMILE/v1.0"><header/>
<sim_specs><start>0</start><stop>1</stop><dt>1</dt></sim_specs>
<dimensions><dim name="D"><elem name="p"/><elem name="q"/></dim></dimensions>
<macro name="TWICE"><parm>x</parm><eqn>x*2</eqn></macro>
<model><variables><aux name="load" access="input"/>
<aux name="out"><eqn>TWICE(load) + Inner.b{more}</eqn></aux><module name="Inner"/></variables></model>
<model name="Inner"><variables><aux name="b"><eqn>.demand</eqn></aux></variables></model></xmile>"""


def linking(resource: str) -> str:
    connect = '<connect to="Plant.load" from="demand"/>'
    return aux("demand", "TIME") + f'\n<module name="Plant" resource="{resource}">{connect}</module>'


@pytest.mark.parametrize("resource", ["plants/one.xmile", "./plants/one.xmile", "file:plants/one.xmile"])
def test_a_module_may_be_in_another_file(tmp_path: Path, resource: str) -> None:
    (tmp_path / "plants").mkdir()
    (tmp_path / "plants" / "one.xmile").write_text(LINKED.format(more=""))
    twin = f'<module name="Twin" resource="{resource}"/>'
    variables = linking(resource) + twin + aux("sum", "TWICE(Plant.out) + Twin.Inner.b")
    model = model_of(tmp_path, variables, stop=3)
    assert columns_of(model, ["Plant.out", "Plant.Inner.b", "sum"]) == {
        "Plant.out": [3.0, 6.0, 9.0],
        "Plant.Inner.b": [1.0, 2.0, 3.0],
        "sum": [7.0, 14.0, 21.0],
    }


def test_what_is_wrong_in_another_file_has_the_line_of_its_module(tmp_path: Path) -> None:
    (tmp_path / "one.xmile").write_text(LINKED.format(more=" + nothing"))
    with pytest.raises(UnservableModel, match=r"line 9: Plant\.out: there is no variable 'nothing'"):
        model_of(tmp_path, linking("one.xmile"))


@pytest.mark.parametrize(
    "resource", ["../one.xmile", "/etc/hostname", "http://x.org/one.xmile", "none.xmile", "x" * 300]
)
def test_only_files_beside_the_model_are_read(tmp_path: Path, resource: str) -> None:
    (tmp_path / "one.xmile").write_text(LINKED.format(more=""))
    (tmp_path / "inner").mkdir()
    with pytest.raises(
        UnservableModel, match=r"line 9: Plant: its model is in .* no such file beside the model"
    ):
        model_of(tmp_path / "inner", linking(resource))


def test_files_that_hold_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "one.xmile").write_text(
        LINKED.format(more="").replace("<module", "<module resource='model.xmile'")
    )
    with pytest.raises(UnservableModel, match=r"line 9: Inner: a model holds itself") as refused:
        model_of(tmp_path, linking("one.xmile") + aux("y", "Plant.Inner.demand"))
    (problem,) = refused.value.values["found"]
    assert problem[2] == "a model holds itself: the model → one.xmile → the model (in one.xmile)"


def test_models_of_one_file_that_hold_each_other_are_named_once(tmp_path: Path) -> None:
    held = "<model name='{}'><variables><module name='{}'/></variables></model>"
    with pytest.raises(UnservableModel, match="A: a model holds itself: A → B → A") as refused:
        model_of(
            tmp_path,
            "<module name='A'/><module name='B'/>",
            after=held.format("A", "B") + held.format("B", "A"),
        )
    assert len(refused.value.values["found"]) == 1


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("<xmile", r"'one\.xmile' can't be read: it isn't XML: .* in line 1"),
        ("<other/>", r"'one\.xmile' can't be read: it isn't an XMILE document"),
        (None, "its model is in 'one.xmile', and there is no such file"),
    ],
)
def test_what_follows_from_a_file_that_cannot_be_read_is_not_listed(
    tmp_path: Path, document: str | None, reason: str
) -> None:
    if document is not None:
        (tmp_path / "one.xmile").write_text(document)
    variables = linking("one.xmile") + aux("y", "Plant.out + nowhere") + aux("z", "Plant.g(2)")
    with pytest.raises(UnservableModel, match=rf"line 9: Plant: {reason}") as refused:
        model_of(tmp_path, variables)
    assert [each[1] for each in refused.value.values["found"]] == ["Plant", "y"]
    assert "there is no variable 'nowhere'" in str(refused.value)


def test_problems_of_another_file_name_it(tmp_path: Path) -> None:
    (tmp_path / "one.xmile").write_text(LINKED.format(more=" + nothing").replace("x*2", "x*"))
    with pytest.raises(UnservableModel) as refused:
        model_of(tmp_path, linking("one.xmile"))
    found = refused.value.values["found"]
    assert {each[1] for each in found} == {"TWICE", "Plant.out"}
    assert all(each[2].endswith(" (in one.xmile)") for each in found)


def test_the_files_of_modules_are_limited_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = LINKED.format(more="")
    for name in ("one.xmile", "two.xmile"):
        (tmp_path / name).write_text(text)
    two = "<module name='Second' resource='two.xmile'/>"
    monkeypatch.setattr(f"{XMILE}.reading.MAX_BYTES", 2 * len(text))
    assert "Second.out" in model_of(tmp_path, linking("one.xmile") + two).elements
    monkeypatch.setattr(f"{XMILE}.reading.MAX_BYTES", 2 * len(text) - 1)
    with pytest.raises(
        UnservableModel, match=r"'two\.xmile' can't be read: .* larger than \d+ bytes together"
    ):
        model_of(tmp_path, linking("one.xmile") + two)


def test_numbers_of_thousands_of_digits_are_refused(tmp_path: Path) -> None:
    digits = "1" * 5000
    before = f'<dimensions><dim name="D" size="{digits}"/></dimensions>'
    with pytest.raises(UnservableModel, match="D: the dimension has neither elements nor a size"):
        model_of(tmp_path, aux("x", "1"), before=before)
    before = '<dimensions><dim name="D" size="3"/></dimensions>'
    array = aux("x", "1", '<dimensions><dim name="D"/></dimensions>')
    with pytest.raises(UnservableModel, match="y: "):
        model_of(tmp_path, array + aux("y", f"x[{digits}]"), before=before)
    (tmp_path / "m.json").write_text(f'{{"model": {digits}}}')
    with pytest.raises(UnservableModel, match="it holds a number that is too long"):
        Model.from_file(tmp_path / "m.json")


def test_a_dimension_has_the_same_elements_in_all_files(tmp_path: Path) -> None:
    (tmp_path / "one.xmile").write_text(LINKED.format(more=""))
    before = '<dimensions><dim name="d"><elem name="p"/></dim></dimensions>'
    with pytest.raises(UnservableModel, match="line 9: D: another file has other elements of it"):
        model_of(tmp_path, linking("one.xmile"), before=before)


TWICE = """<macro name="TWICE"><parm>x</parm><eqn>{}</eqn></macro>"""


def test_two_files_have_the_same_macro_of_a_name_or_are_refused(tmp_path: Path) -> None:
    (tmp_path / "one.xmile").write_text(LINKED.format(more=""))
    variables = linking("one.xmile")
    model = model_of(tmp_path, variables, before=TWICE.format("x*2"), stop=3)
    assert columns_of(model, ["Plant.out"]) == {"Plant.out": [3.0, 6.0, 9.0]}
    with pytest.raises(UnservableModel, match=r"line \d+: TWICE: there is already another macro"):
        model_of(tmp_path, variables, before=TWICE.format("x+1"))


def test_elements_of_a_dimension_may_differ_in_case_between_files(tmp_path: Path) -> None:
    (tmp_path / "one.xmile").write_text(LINKED.format(more=""))
    before = '<dimensions><dim name="d"><elem name="P"/><elem name="Q"/></dim></dimensions>'
    model = model_of(tmp_path, linking("one.xmile"), before=before)
    assert "Plant.out" in model.elements
