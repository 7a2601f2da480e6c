"""Binding networks for clients: the check of their texts, the pictures of what was found, partial results."""

import json
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.support.served import ROOT
from tests.support.task_context import Kept

from perdure.drivers import stable_configurations
from perdure.drivers.networks import MAX_DRAWN_SITES, check_network, picture_of
from perdure.drivers.task_body import run
from perdure.drivers.task_spec import TaskSpec
from perdure.errors import ConfigurationNotFound, InvalidBindingSiteName, LimitExceeded, WrongKind
from perdure.solvers.binding_networks import solve
from perdure.solvers.binding_networks.formats import load_network
from perdure.solvers.binding_networks.picture import draw
from perdure.state.codec import decode, pack, unpack

NETWORKS = ROOT / "examples" / "networks"
SOURCE = "perdure.drivers.stable_configurations:TASK"
DIALECT_SOURCE = "perdure.drivers.stable_configurations:DIALECT_TASK"


def spec(**given: Any) -> TaskSpec:
    return TaskSpec(task="stable_configurations", source=SOURCE, input=json.dumps(given).encode())


def lines(file: str) -> list[str]:
    return (NETWORKS / file).read_text().splitlines()


def found(kept: Kept) -> list[list[dict[str, Any]]]:
    """Return the configurations of each partial result that differs from the one before."""
    partial = [report["partial"]["configs"] for report in kept.reports if "partial" in report]
    return [each for each, _ in groupby(partial)]


def test_a_right_network_is_measured_with_its_copies() -> None:
    checked = check_network("# a comment\r\n2[3(a) b >m]\r\na*\r\n\r\n")
    assert (checked.syntax, checked.monomers, checked.sites, checked.domains) == ("stable_tbn", 3, 9, 2)
    checked = check_network("a b >m\na* >n", "TOGETHER m n\n\nNOTFREE m")
    assert (checked.syntax, checked.constraints, checked.error) == ("stableconfigs", 2, None)


@pytest.mark.parametrize(
    ("monomers", "constraints", "place"),
    [
        ("a b >m\n  b *", "", ("monomers", 2, 5)),
        ("\ufefflate\n\u2028\n>", "", ("monomers", 3, 1)),
        ("", "", ("monomers", 1, 1)),
        ("a >m", "\n FREE  n", ("constraints", 2, 8)),
        ("a >m", "free m", ("constraints", 1, 1)),
        ("a >m", "NOTFREE m", ("constraints", 1, 9)),
    ],
)
def test_a_mistake_has_its_part_its_line_and_its_column(
    monomers: str, constraints: str, place: tuple[str, int, int]
) -> None:
    checked = check_network(monomers, constraints)
    assert checked.error is not None
    values = checked.error.values
    assert (values["part"], values["line_number"], values["column"]) == place
    assert (checked.monomers, checked.sites, checked.constraints) == (0, 0, 0)


def test_the_kind_of_a_mistake_is_kept() -> None:
    assert isinstance(check_network("b *").error, InvalidBindingSiteName)


@pytest.mark.parametrize(
    ("file", "number"), [("and_gate.txt", 1), ("grid_gate.txt", 1), ("grid_gate.txt", 3)]
)
def test_the_picture_of_a_result_is_that_of_the_solution(file: str, number: int) -> None:
    asked = spec(monomers=lines(file), all=True)
    result = decode(run(Kept(asked).context))
    network = load_network(NETWORKS / file)
    solution = solve(network, all=True)
    configuration = solution.configurations[number - 1]
    expected = draw(network, configuration, title=f"Configuration {number}")
    assert picture_of("r", asked, result, number) == expected


def test_the_picture_of_the_dialects_task_is_drawn_too() -> None:
    given = {"monomers": [["a", "b>x", ">m<"], ["a*"]], "constraints": [], "gen": 1, "min_polymers": 0}
    asked = TaskSpec(task="stableconfigs", source=DIALECT_SOURCE, input=json.dumps(given).encode())
    svg = picture_of("r", asked, decode(run(Kept(asked).context)), 1)
    ElementTree.fromstring(svg)
    assert "m&lt;" in svg


def test_what_was_not_found_can_not_be_drawn() -> None:
    asked = spec(monomers=["a", "a*"])
    with pytest.raises(ConfigurationNotFound, match="has no configuration 1; it has found 0"):
        picture_of("r", asked, None, 1)
    with pytest.raises(ConfigurationNotFound, match="has no configuration 2; it has found 1"):
        picture_of("r", asked, decode(run(Kept(asked).context)), 2)
    other = TaskSpec(task="add", source=None, input=b"{}")
    with pytest.raises(WrongKind, match="tasks of binding networks"):
        picture_of("r", other, {"configs": []}, 1)


def test_a_network_that_is_too_large_is_not_drawn() -> None:
    asked = spec(monomers=[f"{MAX_DRAWN_SITES + 1}[a]"])
    with pytest.raises(LimitExceeded, match="at most 2000 sites, not 2001"):
        picture_of("r", asked, {"configs": [{"polymers": [], "bonds": []}]}, 1)


def test_each_configuration_of_a_list_is_reported_when_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stable_configurations, "EVERY", 0.0)
    monkeypatch.setattr(stable_configurations, "monotonic", lambda: 0.0)
    kept = Kept(spec(monomers=lines("grid_gate.txt"), all=True))
    result = decode(run(kept.context))
    assert result["count"] == 3
    assert found(kept)[-3:] == [result["configs"][:number] for number in (1, 2, 3)]


def test_a_list_is_reported_up_to_its_twentieth_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stable_configurations, "EVERY", 3600.0)
    monomers = ["8[a* b*]", *(f"8[{site} >{site}{number}]" for site in "ab" for number in range(3))]
    kept = Kept(spec(monomers=monomers, gen=30))
    result = decode(run(kept.context))
    assert result["count"] == 30
    assert len(found(kept)[-1]) == 20
    assert found(kept)[-1] == result["configs"][:20]


def test_a_list_that_has_no_room_in_a_report_keeps_what_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stable_configurations, "EVERY", 0.0)
    monkeypatch.setattr(stable_configurations, "monotonic", lambda: 0.0)

    class Small(Kept):
        def progress(self, report: Any) -> None:
            partial = unpack(pack(dict(report))).get("partial", {})
            if len(partial.get("configs", ())) > 2:
                raise LimitExceeded("There is no room.")
            super().progress(report)

    kept = Small(spec(monomers=lines("grid_gate.txt"), all=True))
    result = decode(run(kept.context))
    assert result["count"] == 3
    assert found(kept)[-1] == result["configs"][:2]


def test_the_examples_are_right() -> None:
    for file in ("and_gate.txt", "grid_gate.txt"):
        assert check_network(Path(NETWORKS / file).read_text()).error is None
