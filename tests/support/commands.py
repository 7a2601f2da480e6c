"""The command line, in processes that are forked: `tests.support.forked`.

So `serve` doesn't start its program anew to hide secrets. Tests of that, and of what is killed or followed,
run ``python -m perdure``.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.support import forked

from perdure.cli.commands import run

ROOT = Path(__file__).parents[2]
BATH = "tests.support.small:catalogue"


def perdure(
    *arguments: str, folder: Path = ROOT, text: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with a text as its standard input, and additions to this environment."""
    return forked.run(command, arguments, folder=folder, environment={**os.environ, **environment}, text=text)


def command(arguments: tuple[str, ...]) -> None:
    """Be the command in this process."""
    sys.argv = ["perdure", *arguments]
    run()


def fails(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Check that it failed with one line that says what is wrong."""
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr
