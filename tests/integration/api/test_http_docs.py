"""docs/http.md lists every route with every status it can answer, and every code of the protocol."""

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.support.served import ROOT
from tests.support.server import running

from perdure.api.app import TAGS, create_app
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
        if operation["tags"][0] in TAGS  # each dialect has a page of its own
    }
    assert documented == described


def test_every_code_of_the_protocol_is_documented() -> None:
    perdure = ROOT / "src" / "perdure"
    of_api = (perdure / "api" / name for name in ("connections.py", "login.py"))
    modules = [*(perdure / "web").glob("*.py"), *of_api]
    sources = "".join(path.read_text() for path in modules)
    pattern = r'(?:4\d\d|50\d)(?:,|:)\s*"([a-z_]+)"'
    used = {code for code in re.findall(pattern, sources) if "_" in code or code == "unauthorized"}
    rows = set(re.findall(r"^\| `([a-z_]+)` \| \d{3} \|", PAGE, re.MULTILINE))
    assert used == rows


def test_the_curl_commands_of_the_page_work(tmp_path: Path) -> None:
    commands = [block.replace("$ ", "", 1) for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)]
    assert len(commands) == 4
    with running(tmp_path / "s.db", "perdure.examples:catalogue") as server:
        answers = []
        for command in commands:
            script = command.strip().replace("http://127.0.0.1:5000", server.url)
            run = answers[0]["id"] if answers else ""
            done = subprocess.run(
                ["bash", "-c", f"RUN={run}\n{script} -sS"], capture_output=True, text=True, check=True
            )
            answers.append(json.loads(done.stdout))
    assert answers[0]["scenarios"] == {"epidemic": ["base", "distancing"]}
    assert [step["step"] for step in answers[1]["steps"]] == [1, 2]
    assert (answers[2]["name"], answers[2]["tags"]) == ("Distancing from day 20", ["nightly"])
    assert answers[3] == {"runs": [], "next": None, "total": None}


def test_the_python_of_the_page_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
