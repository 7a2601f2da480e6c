"""docs/http.md lists every route with every status it can answer, and every code of the protocol."""

import re

from tests.support.served import ROOT

from perdure.api.app import create_app
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore

PAGE = (ROOT / "docs" / "http.md").read_text()


def test_every_route_is_documented_with_every_status() -> None:
    rows = re.findall(r"^\| `([A-Z]+ /[^`]*)` \| .+ \| ([\d, ]+) \|$", PAGE, re.MULTILINE)
    documented = {route: statuses.split(", ") for route, statuses in rows}
    paths = create_app(MemoryStore(), Catalogue(), Settings()).openapi()["paths"]
    described = {
        f"{method.upper()} {path}": sorted(operation["responses"])
        for path, item in paths.items()
        for method, operation in item.items()
    }
    assert documented == described


def test_every_code_of_the_protocol_is_documented() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "src" / "perdure" / "web").glob("*.py"))
    pattern = r'(?:4\d\d|500)(?:,|:)\s*"([a-z_]+)"'
    used = {code for code in re.findall(pattern, sources) if "_" in code or code == "unauthorized"}
    rows = set(re.findall(r"^\| `([a-z_]+)` \| \d{3} \|", PAGE, re.MULTILINE))
    assert used == rows
