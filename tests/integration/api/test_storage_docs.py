"""The commands of docs/experiments-storage.md work as they stand there."""

import json
import re
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.results import store_files
from tests.support.served import ROOT
from tests.support.server import running
from tests.support.zips import PENDULUM, unzipped

from perdure.errors import Invalid
from perdure.places import open_artifacts
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore
from perdure.stores.sqlite import SqliteStore

PAGE = (ROOT / "docs" / "experiments-storage.md").read_text()
BLOCKS = [
    [line.removeprefix("$ ") for line in block.strip().splitlines()]
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
]


def test_the_commands_of_the_page_work(tmp_path: Path) -> None:
    for path, data in PENDULUM.items():
        (tmp_path / "pendulum" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pendulum" / path).write_bytes(data)
    (tmp_path / "main_script.py").write_bytes(b"changed")
    with running(tmp_path / "s.db", "perdure.examples:catalogue") as server:

        def bash(command: str, run: str = "") -> str:
            script = command.replace("http://127.0.0.1:5000", server.url).replace("curl ", "curl -sSf ")
            done = subprocess.run(
                ["bash", "-c", script],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                env={"RUN": run, "PATH": "/usr/bin:/bin:/usr/local/bin"},
            )
            assert done.returncode == 0, (command, done.stderr)
            return done.stdout

        create, change, results = BLOCKS
        made = [bash(command) for command in create][-1]
        assert {file["path"] for file in json.loads(made)["files"]} == set(PENDULUM)
        for command in change:
            bash(command)
            if command.endswith("copy.zip"):
                copy = unzipped((tmp_path / "copy.zip").read_bytes())
                assert copy == {**PENDULUM, "main_script.py": b"changed"}
        session = '{"kind": "session", "scenarios": {"epidemic": ["base"]}}'
        run = json.loads(
            bash(f"curl http://127.0.0.1:5000/runs -H 'Content-Type: application/json' -d '{session}'")
        )["id"]
        listed, *_ = [bash(command, run) for command in results]
        assert json.loads(listed) == {"files": []}
        assert unzipped((tmp_path / "results.zip").read_bytes()) == {}


def test_artifacts_lie_beside_the_store_unless_they_are_set(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "runs.db")) as store:
        beside = open_artifacts(store, Settings())
    store_files(beside.results("ada"), "run", {"a": b"1"})
    assert list((tmp_path / "runs.db.artifacts" / "ada" / "results" / "files" / "run").iterdir())
    elsewhere = open_artifacts(MemoryStore(), Settings(artifacts=str(tmp_path / "kept")))
    store_files(elsewhere.results("ada"), "run", {"a": b"1"})
    assert (tmp_path / "kept").is_dir()


def test_two_stores_in_memory_share_no_artifacts() -> None:
    one, other = (open_artifacts(MemoryStore(), Settings()) for _ in range(2))
    store_files(one.results("ada"), "run", {"a": b"1"})
    assert other.results("ada").get("run") is None


def test_a_storage_that_is_none_is_told_when_the_server_starts() -> None:
    with pytest.raises(Invalid, match="nowhere"):
        open_artifacts(MemoryStore(), Settings(artifacts="nowhere://x"))
