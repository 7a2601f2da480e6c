"""Standard output is the commands' own, whatever libraries print when they are imported or constructed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.server import ROOT

from perdure.solvers.binding_networks import solve
from perdure.stores.open import open_store

NETWORK = "3[a* b* c*]\n6[a b]\n6[b c]\n6[c a]\n"  # neither counting nor satisfiability settles it

LOUD = """
import os
import sys

os.write(1, b"a banner by C code, when imported\\n")
print("a banner by Python code, when imported")
"""

LOUD_HIGHS = (
    LOUD
    + """
sys.path.remove(os.path.dirname(__file__))
del sys.modules["highspy"]
import highspy


class Loud(highspy.Highs):
    def __init__(self):
        os.write(1, b"a banner by C code, when constructed\\n")
        print("a banner by Python code, when constructed")
        super().__init__()


highspy.Highs = Loud
"""
)


def perdure(
    *arguments: str, path: Path | None = None, folder: Path = ROOT, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command in which modules of a folder come before all others."""
    before = [] if path is None else [str(path)]
    return subprocess.run(
        [sys.executable, "-m", "perdure", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*before, str(ROOT)])},
        timeout=240,
        check=True,
    )


def test_solve_prints_nothing_but_json_with_the_highs_that_is_installed() -> None:
    done = perdure("solve", "-", "--json", stdin=NETWORK)
    answer = json.loads(done.stdout)
    assert (answer["status"], answer["optimum"], done.stderr) == ("COMPLETE", 15, "")


def test_solve_prints_nothing_but_json_whatever_a_library_prints(tmp_path: Path) -> None:
    (tmp_path / "highspy.py").write_text(LOUD_HIGHS)
    done = perdure("solve", "-", "--json", path=tmp_path, stdin=NETWORK)
    assert json.loads(done.stdout)["optimum"] == 15
    for when in ("imported", "constructed"):
        assert f"a banner by C code, when {when}" in done.stderr
        assert f"a banner by Python code, when {when}" in done.stderr


def test_answers_about_runs_are_ours_alone_whatever_a_users_models_print(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/runs.db"
    open_store(store).close()
    (tmp_path / "loud.py").write_text(LOUD + "from perdure.examples import catalogue\n")
    done = perdure("runs", "upgrade", "--all", "--store", store, "--models", "loud:catalogue", path=tmp_path)
    assert "banner" not in done.stdout
    assert "by C code" in done.stderr and "by Python code" in done.stderr


def test_a_solve_prints_nothing_into_the_lines_of_a_task(capfd: pytest.CaptureFixture[str]) -> None:
    assert solve(NETWORK).optimum == 15
    assert capfd.readouterr() == ("", "")


def test_a_reader_that_has_gone_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        done = subprocess.run(
            [sys.executable, "-m", "perdure", "solve", "-"],
            input=NETWORK,
            stdout=gone,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            timeout=240,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "")
