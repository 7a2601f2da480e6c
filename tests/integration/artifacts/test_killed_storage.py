"""A process that is killed while it stores experiments leaves whole ones only, and all it acknowledged."""

import subprocess
import sys
from pathlib import Path

from tests.support.killed_storage import CHANGED, files
from tests.support.served import ROOT

from perdure.artifacts import Artifacts

KILLS = 12


def test_after_each_kill_there_are_whole_experiments_only(tmp_path: Path) -> None:
    url = str(tmp_path / "kept")
    known: dict[int, bool] = {}  # number → whether its change was acknowledged
    first = 0
    for kill in range(KILLS):
        command = [sys.executable, "-m", "tests.support.killed_storage", url, str(first)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(1 + kill):
                done, number = process.stdout.readline().split()
                known[int(number)] = done == "changed"
            process.kill()  # whatever it is at by now
            for line in process.stdout:  # what it had acknowledged until then
                if line.endswith("\n"):
                    done, number = line.split()
                    known[int(number)] = done == "changed"
        ada = Artifacts(url).experiments("ada")
        found = {it.name: it for it in ada.all()}
        assert {f"e{number}" for number in known} <= found.keys()
        for name, it in found.items():
            content = {path: b"".join(ada.read(name, file)) for path, file in it.files.items()}
            made = files(int(name[1:]))
            changed = {**made, "0.bin": CHANGED}
            assert content == changed if known.get(int(name[1:])) else content in (made, changed)
        first = max(int(name[1:]) for name in found) + 1
