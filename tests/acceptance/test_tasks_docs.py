"""docs/tasks.md is true: its task is served, queued, followed and answers, as the page says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.server import ROOT, running

PAGE = (ROOT / "docs" / "tasks.md").read_text()


def test_the_task_of_the_page_is_served_and_done(tmp_path: Path) -> None:
    code, *_ = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "collatz.py").write_text(code)
    serve, use = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    options = serve.strip().removeprefix("$ perdure serve ").split()
    options[-1] = str(tmp_path / options[-1])
    queue, follow, read = (part.strip() for part in use.split("$ ")[1:])
    with running(tmp_path / "s.db", "perdure.examples:catalogue", options=options) as server:

        def typed(command: str, run: str = "") -> str:
            script = f"RUN={run}\n{command.replace('http://127.0.0.1:5000', server.url)} -sS"
            done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
            return done.stdout

        run = json.loads(typed(queue))["id"]
        told = [line for line in typed(follow, run).splitlines() if line.startswith("data: ")]
        assert json.loads(told[-1].removeprefix("data: "))["state"] == "completed"
        answer = json.loads(typed(read, run))
    # https://oeis.org/A006877 and https://oeis.org/A006878
    assert answer["result"] == {"start": 26623, "steps": 307}


@pytest.mark.parametrize("name", re.findall(r"`(PERDURE_\w+)`", PAGE))
def test_the_settings_of_the_page_exist(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "settings.md").read_text()


def test_the_entry_point_of_the_page_is_the_registrys(tmp_path: Path) -> None:
    code, *_ = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    group, point = re.fullmatch(r'\[project.entry-points."(.*)"\]\n(.*)\n', text).groups()  # type: ignore[union-attr]
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "collatz.py").write_text(code)
    installed = tmp_path / "my_package-1.dist-info"
    installed.mkdir()
    (installed / "entry_points.txt").write_text(f"[{group}]\n{point.replace(chr(34), '')}\n")
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1\n")
    program = (
        "from perdure.drivers.task_registry import TaskRegistry\nprint(TaskRegistry().get('collatz').timeout)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(tmp_path)])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "600"
