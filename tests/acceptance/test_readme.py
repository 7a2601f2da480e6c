"""The README's commands and code work as they stand there, up to a free port."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.server import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A fresh folder in which `.venv/bin/perdure` is this installation's command."""
    command = tmp_path / ".venv" / "bin" / "perdure"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m perdure "$@"\n')
    command.chmod(0o755)
    return tmp_path


def bash(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    port = free_port()
    environment = {**os.environ, "PERDURE_PORT": str(port), "PERDURE_LOG_LEVEL": "WARNING"}
    # Whatever a script leaves running is ended with it, by the id the script knows.
    script = f"trap 'kill -9 \"$SERVER\" 2>/dev/null' EXIT\nset -euo pipefail\n{script}"
    return subprocess.run(
        ["bash", "-c", script.replace("127.0.0.1:5000", f"127.0.0.1:{port}")],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_first_block_is_the_two_commands_and_make_knows_them() -> None:
    kind, block = BLOCKS[0]
    assert kind == "bash"
    commands = [line.split("#")[0].strip() for line in block.strip().splitlines()]
    assert commands == ["make serve", "make test"]
    shown = subprocess.run(["make", "-n", "-C", str(ROOT), "serve", "test"], capture_output=True, check=True)
    assert b"perdure serve" in shown.stdout


def test_the_session_survives_its_crash_as_the_readme_says(folder: Path) -> None:
    start = README.index("## A session, and a crash")
    end = README.index("## Your own model")
    script = "\n".join(block for _, block in re.findall(r"```(bash)\n(.*?)```", README[start:end], re.DOTALL))
    done = bash(script.replace("curl -s", "curl -sS -w '\\n'"), folder)
    assert done.returncode == 0, done.stderr + done.stdout
    assert '"error"' not in done.stdout
    steps = [int(number) for number in re.findall(r'"step":(\d+),"results"', done.stdout)]
    assert steps == [1, *range(2, 32), 32, 32, 33]
    (first, again) = re.findall(
        r'{"run":"\w+","finished":false,"replayed":\w+,"steps":\[{"step":32,.*', done.stdout
    )
    assert again == first.replace('"replayed":false', '"replayed":true')
    assert '"parent_step":10' in done.stdout
    assert re.search(r"^33,epidemic,base,32\.0,", done.stdout, re.MULTILINE)
    assert "2 runs checked, 0 faults found, 0 repaired." in done.stdout


def test_a_binding_network_is_solved_over_http_as_the_readme_says(folder: Path) -> None:
    script = next(block for kind, block in BLOCKS if kind == "bash" and '"kind": "task"' in block)
    done = bash(script.replace("curl -s", "curl -sS -w '\\n'"), folder)
    assert done.returncode == 0, done.stderr + done.stdout
    assert '"error"' not in done.stdout
    result = done.stdout.strip().splitlines()[-1]
    assert '"state":"completed","outcome":"succeeded"' in result
    assert '"status":"COMPLETE"' in result
    assert '"optimum":2' in result


def test_the_readmes_own_model_is_served(folder: Path) -> None:
    (code,) = (block for kind, block in BLOCKS if kind == "python")
    (folder / "tea.py").write_text(code)
    command = next(block for kind, block in BLOCKS if "serve tea:model" in block)
    script = f"""
        {command.strip()} & SERVER=$!
        curl -sS --retry 30 --retry-delay 1 --retry-all-errors http://127.0.0.1:5000/ready
        curl -sS http://127.0.0.1:5000/runs -H 'Content-Type: application/json' \\
            -d '{{"kind": "session", "scenarios": {{"smTea": ["base"]}}}}'
        kill $SERVER
    """
    done = bash(script, folder)
    assert done.returncode == 0, done.stderr + done.stdout
    assert '"state":"created"' in done.stdout
    assert (folder / "tea.db").exists()


def test_the_readmes_network_is_solved(folder: Path) -> None:
    shutil.copytree(ROOT / "examples", folder / "examples")
    part = README[README.index("## A binding network") :].split("\n## ")[0]
    script = re.findall(r"```bash\n(.*?)```", part, re.DOTALL)[0]
    (shown,) = re.findall(r"```text\n(.*?)```", part, re.DOTALL)
    done = bash(f"trap - EXIT  # there is no server to end\n{script}", folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(shown)
    assert (folder / "pictures" / "configuration-1.svg").exists()


def test_the_experiment_survives_its_crash_as_the_readme_says(folder: Path) -> None:
    shutil.copytree(ROOT / "examples", folder / "examples")
    part = README[README.index("## An experiment, and a crash") :].split("\n## ")[0]
    script = "\n".join(re.findall(r"```bash\n(.*?)```", part, re.DOTALL))
    done = bash(script.replace("curl -s", "curl -sSf"), folder)
    assert done.returncode == 0, done.stderr + done.stdout
    told = [json.loads(text) for text in re.findall(r"^data: (.*)$", done.stdout, re.MULTILINE)]
    assert told[-1]["attempt"] == 2
    assert (told[-1]["state"], told[-1]["progress"]["simulation_time"]) == ("completed", 200.0)
    assert done.stdout.endswith("simulation time is up\n")
    assert list((folder / "perdure-data" / "perdure.db.working").iterdir()) == []


@pytest.mark.parametrize("page", ["binding-networks.md", "sessions.md", "state.md", "system-dynamics.md"])
def test_the_python_in_the_docs_runs(page: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / page).read_text()
    code = "\n".join(block for _, block in re.findall(r"```(python)\n(.*?)```", text, re.DOTALL))
    path = tmp_path / "page.py"
    path.write_text(code)
    done = subprocess.run(
        [sys.executable, str(path)], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_scenario_file_in_the_docs_is_served(folder: Path) -> None:
    text = (ROOT / "docs" / "sessions.md").read_text()
    (definition,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    (folder / "scenarios").mkdir()
    (folder / "scenarios" / "bath.json").write_text(definition)
    (folder / "models").mkdir()
    (folder / "models" / "bath.py").write_text(
        "from tests.support.small import bath\n\nsimulation_model = bath()\n"
    )
    shutil.copytree(ROOT / "tests" / "support", folder / "tests" / "support")
    script = """
        .venv/bin/perdure serve & SERVER=$!
        curl -sS --retry 30 --retry-delay 1 --retry-all-errors http://127.0.0.1:5000/models/bath
        kill $SERVER
    """
    done = bash(script, folder)
    assert done.returncode == 0, done.stderr + done.stdout
    assert '"fast"' in done.stdout
