"""The command line in processes that are forked from one that has imported it already.

Each command is a process of its own, with arguments, folder, environment, output and exit status as always.
Only what it imports is there before it begins, which would otherwise be most of what many tests do; and
`serve` doesn't start its program anew to hide secrets. Tests of that, and of what is killed or followed, run
``python -m perdure``.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from perdure.cli.commands import COMMANDS, run

ROOT = Path(__file__).parents[2]
BATH = "tests.support.small:catalogue"

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["perdure.api.server", "perdure.stores.sqlite", "apsw", "tests.support.commands"]
    + [f"perdure.cli.{module}" for module, _ in COMMANDS.values()]
)


def perdure(
    *arguments: str, folder: Path = ROOT, text: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with a text as its standard input, and additions to this environment."""
    environment = {**os.environ, **environment}
    with tempfile.TemporaryDirectory() as made:
        streams = [Path(made, name) for name in ("in", "out", "err")]
        for stream in streams:
            stream.write_text(text if stream.name == "in" else "")
        process = _context.Process(target=_run, args=(arguments, folder, environment, streams))
        process.start()
        try:
            process.join(120)
            assert process.exitcode is not None, f"perdure {' '.join(arguments)} doesn't end"
        finally:
            process.kill()
            process.join()
        output, errors = (stream.read_text() for stream in streams[1:])
    return subprocess.CompletedProcess(["perdure", *arguments], process.exitcode, output, errors)


def _run(arguments: tuple[str, ...], folder: Path, environment: dict[str, str], streams: list[Path]) -> None:
    for number, stream in enumerate(streams):
        file = os.open(stream, os.O_WRONLY | os.O_APPEND if number else os.O_RDONLY)
        os.dup2(file, number)
        os.close(file)
    sys.stdin = os.fdopen(0)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    places = environment.get("PYTHONPATH", "")
    sys.path[:0] = ["", *filter(None, places.split(os.pathsep))]
    sys.argv = ["perdure", *arguments]
    run()


def fails(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Check that it failed with one line that says what is wrong."""
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr
