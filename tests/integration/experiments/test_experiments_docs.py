"""docs/experiments.md: its table is the lifecycle's, and its commands work as they stand there."""

import json
import re
import subprocess
from pathlib import Path

from tests.support.experiment_runs import ROOT, ended, example, put, send
from tests.support.served import served

from perdure.lifecycle import EXPERIMENT_TRIGGERS

PAGE = (ROOT / "docs" / "experiments.md").read_text()


def test_the_table_of_states_is_the_lifecycles() -> None:
    part = PAGE[PAGE.index("## States") :].split("\n\n")[1]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines()[2:]]
    documented = {
        re.findall(r"`(\w+)`", trigger)[0]: (set(sources.split(", ")), target)
        for trigger, sources, target in rows
    }
    assert documented == {
        trigger: ({state.value for state in transition.sources}, transition.target.value)
        for trigger, transition in EXPERIMENT_TRIGGERS.items()
    }


def test_the_commands_of_the_page_work(tmp_path: Path) -> None:
    commands = [
        command.replace("\\\n", " ")
        for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
        for command in re.split(r"^\$ ", block, flags=re.MULTILINE)
        if command
    ]
    assert len(commands) == 8
    with served(tmp_path) as server, server.client() as client:
        send(client, "pendulum", example("pendulum"))
        run_id = ""
        for command in commands:
            script = command.replace("http://127.0.0.1:5000", server.url).replace("curl ", "curl -sSf ")
            done = subprocess.run(
                ["bash", "-c", f"RUN={run_id}\n{script}"], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, (command, done.stderr)
            run_id = run_id or json.loads(done.stdout)["id"]
        fork = json.loads(done.stdout)
        assert (fork["parent"], fork["state"]) == (run_id, "paused")
        put(client, fork["id"], "started")
        assert ended(client, fork["id"])["state"] == "completed"
