"""Scenario files: what is read of a folder, and what becomes of a manager that can't be served."""

import json
from pathlib import Path
from typing import Any

import pytest
import structlog

from perdure.errors import InvalidScenario, ManagerUnusable, ScenarioNotFound
from perdure.scenarios import Catalogue

BATH = {"model": "tests.support.small.bath", "scenarios": {"1": {}}}


def loaded(folder: Path, **files: Any) -> Catalogue:
    for name, content in files.items():
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / f"{name}.json").write_bytes(data)
    catalogue = Catalogue()
    catalogue.load(folder)
    return catalogue


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        ({**BATH, "type": "agents"}, "type 'agents', not sd or abm"),
        ({**BATH, "source": "bath.stmx"}, "bath.stmx can't be read: No such file"),
        ({**BATH, "source": "bath.txt"}, "has the source 'bath.txt'; a source ends in .itmx, .json, .mdl"),
        ({**BATH, "model": "no_such_package.model"}, "no module 'no_such_package'"),
        ({**BATH, "model": "models/none"}, "no model 'models/none': neither the file"),
        ({"scenarios": {}}, "has no model"),
        ({**BATH, "scenarios": {"1": {"constants": {"water": 1.0}}}}, "it is a stock"),
        ({**BATH, "scenarios": {"1": {"runspecs": {"dt": 0}}}}, "dt"),
        ({**BATH, "scenarios": {"1": {"constant": {}}}}, "Did you mean 'constants'?"),
        ({**BATH, "scenarios": 5}, "'scenarios' of the manager 'wrong' is not an object"),
        ({**BATH, "model": "broken"}, "broken.py, line 1: ModuleNotFoundError"),
    ],
)
def test_a_manager_that_cannot_be_served_stops_no_other(
    tmp_path: Path, definition: dict[str, Any], words: str
) -> None:
    (tmp_path / "broken.py").write_text("import no_such_thing\n")
    folder = tmp_path / "scenarios"
    folder.mkdir()
    with structlog.testing.capture_logs() as logs:
        catalogue = loaded(folder, a={"wrong": definition, "first": BATH}, b={"second": BATH})
    assert list(catalogue.managers) == ["first", "second"]
    assert catalogue.unusable.keys() == {"wrong"}
    assert words in catalogue.unusable["wrong"]
    assert [(line["event"], line["manager"]) for line in logs] == [("manager_unusable", "wrong")]
    for ask in (
        lambda: catalogue.manager("wrong"),
        lambda: catalogue.scenario("wrong", "1"),
        lambda: catalogue.run_scenarios(scenario_managers="wrong", equations="water"),
    ):
        with pytest.raises(ManagerUnusable) as refused:
            ask()
        assert catalogue.unusable["wrong"] in str(refused.value)
    with pytest.raises(ScenarioNotFound, match="Did you mean 'wrong'"):
        catalogue.manager("wron")
    found = catalogue.run_scenarios(equations="water", return_format="dict")
    assert isinstance(found, dict)
    assert list(found) == ["first", "second"]


def test_a_scenario_in_two_files_makes_its_manager_unusable(tmp_path: Path) -> None:
    catalogue = loaded(tmp_path, a={"tub": BATH}, b={"tub": {"scenarios": {"1": {}}}, "bath": BATH})
    assert list(catalogue.managers) == ["bath"]
    assert "the scenario '1' of 'tub' is defined twice" in catalogue.unusable["tub"]


def test_registering_an_unusable_manager_makes_it_usable(tmp_path: Path) -> None:
    catalogue = loaded(tmp_path, a={"tub": {**BATH, "type": "agents"}})
    catalogue.register_scenario_manager({"tub": BATH})
    assert list(catalogue.manager("tub").scenarios) == ["1"]
    assert catalogue.unusable == {}


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    catalogue = loaded(tmp_path, a=b"\xef\xbb\xbf" + json.dumps({"tub": BATH}).encode())
    assert list(catalogue.managers) == ["tub"]


def test_hidden_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "._a.json").write_bytes(b"\0\5\x16\7Mac OS X")
    (tmp_path / ".hidden.json").write_text("{")
    assert list(loaded(tmp_path, a={"tub": BATH}).managers) == ["tub"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"tub": {"model": "a"}, "tub": {"model": "b"}}', "tub"),
        ('{"tub": {"model": "a", "scenarios": {"s": {}, "t": {}, "s": {}}}}', "s"),
        ('{"tub": {"model": "a", "scenarios": {"s": {"constants": {"x": 1, "x": 1}}}}}', "x"),
    ],
)
def test_a_key_twice_in_one_object_is_refused(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(InvalidScenario, match=rf"a\.json can't be read: an object has the key '{key}' twice"):
        loaded(tmp_path, a=text.encode())


def test_further_keys_of_a_scenario_are_kept(tmp_path: Path) -> None:
    scenario = {"description": "Full.", "tags": ["a", {"b": 1}], "comments": None, "constants": {"tap": 9.0}}
    catalogue = loaded(
        tmp_path, a={"tub": {**BATH, "description": "A tub.", "scenarios": {"full": scenario}}}
    )
    kept = catalogue.scenario("tub", "full")
    assert kept.others == {"description": "Full.", "tags": ("a", {"b": 1}), "comments": None}
    assert kept.constants == {"tap": 9.0}
    assert kept.problems == ()


@pytest.mark.parametrize("kind", ["sd", "SD", "Sd", "", None])
def test_the_type_of_a_manager_may_be_written_in_any_case(tmp_path: Path, kind: str | None) -> None:
    assert loaded(tmp_path, a={"bath": {**BATH, "type": kind}}).unusable == {}
