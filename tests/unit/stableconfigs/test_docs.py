"""The page of the dialect names every route, field and status that there is."""

import re
from pathlib import Path

from perdure.dialects.stableconfigs.bodies import question_of
from perdure.dialects.stableconfigs.router import STABLECONFIGS

PAGE = (Path(__file__).parents[3] / "docs" / "stableconfigs.md").read_text()


def test_every_route_has_its_heading() -> None:
    headings = re.findall(r"^## `(\w+) (\S+)`$", PAGE, re.MULTILINE)
    assert headings == [("POST", "/task"), ("GET", "/status/TASK_ID"), ("DELETE", "/terminate/TASK_ID")]
    served = [(route.method, route.path.replace("{task_id}", "TASK_ID")) for route in STABLECONFIGS.routes]
    assert served == headings


def test_every_field_is_described() -> None:
    asked = question_of({"monomers": [["a"]]})
    described = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert described == ["monomers", "constraints", "gen", "init_k"]
    assert len(asked) == len(described)


def test_every_status_code_is_described() -> None:
    codes = re.findall(r"^\| (\d+) \| `(\w+)` \|", PAGE, re.MULTILINE)
    assert codes == [
        ("200", "COMPLETE"),
        ("202", "Progress"),
        ("203", "Progress"),
        ("400", "TimedOut"),
        ("401", "TBNException"),
        ("402", "Exception"),
        ("404", "NotFound"),
    ]
