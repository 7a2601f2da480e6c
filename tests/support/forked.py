"""Processes that are forked from one that has imported `perdure`, which else is most of what many tests do.

Each is a process of its own, with folder, environment and streams as if it had been started anew, and an exit
status. Only its imports are done before, and what `/proc` says of its start is of the one it is forked from.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TextIO

WRITING = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC

context = multiprocessing.get_context("forkserver")
"""Where processes are forked: one of it is all that a test process can have, with one list of imports."""

context.set_forkserver_preload(["tests.support.preloaded"])


class Forked:
    """A process that calls a function, with what tests use of `subprocess.Popen`.

    Attributes
    ----------
    stdin, stdout, stderr
        What it prints can be read here, unless that goes to a file; the others are never pipes.
    """

    stdin: None = None
    stderr: None = None

    def __init__(
        self,
        target: Callable[..., None],
        *arguments: object,
        folder: Path,
        environment: dict[str, str],
        errors: Path | None = None,
        output: Path | None = None,
        text: Path = Path(os.devnull),
    ) -> None:
        reading, writing = context.Pipe(duplex=False)
        with reading, writing:
            streams = (text, output or writing, errors)
            self._process = context.Process(
                target=_begin, args=(target, arguments, folder, environment, streams)
            )
            self._process.start()
            self.stdout: TextIO = os.fdopen(os.dup(reading.fileno()))
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit status, once it has ended; negative is the signal that ended it."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return its exit status, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash does."""
        self.send_signal(signal.SIGKILL)


def run(
    target: Callable[..., None],
    *arguments: object,
    folder: Path,
    environment: dict[str, str],
    text: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a process to its end, with a text as its standard input; return its status and what it printed."""
    with tempfile.TemporaryDirectory() as made:
        given, output, errors = (Path(made, name) for name in ("in", "out", "err"))
        given.write_text(text)
        process = Forked(
            target,
            *arguments,
            folder=folder,
            environment=environment,
            text=given,
            output=output,
            errors=errors,
        )
        try:
            status = process.wait(timeout=240)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        return subprocess.CompletedProcess(
            target.__qualname__, status, output.read_text(), errors.read_text()
        )


def _begin(
    target: Callable[..., None],
    arguments: tuple[object, ...],
    folder: Path,
    environment: dict[str, str],
    streams: tuple[Path, Path | Connection, Path | None],
) -> None:
    for number, stream in enumerate(streams):
        if stream is None:
            continue
        if isinstance(stream, Path):
            file = os.open(stream, WRITING if number else os.O_RDONLY)
        else:
            file = os.dup(stream.fileno())
            stream.close()
        os.dup2(file, number)
        os.close(file)
    sys.stdin = os.fdopen(0)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:0] = ["", *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    target(*arguments)
