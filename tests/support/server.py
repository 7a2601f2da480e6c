"""A real server process: started on a free port of the loopback, ended by its id."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.commands import command
from tests.support.forked import Forked
from tests.support.processes import end

ROOT = Path(__file__).parents[2]


class Server:
    """A running `perdure serve`.

    Parameters
    ----------
    store
        The file of the store, or its URL.

    Attributes
    ----------
    url
        Where it answers.
    process
        The process; tests may signal it. It is forked from one that has imported the program, unless `prefix`
        is given: a command, or nothing, before one that begins anew, which alone hides its secrets.
    """

    def __init__(
        self,
        store: Path | str,
        models: str,
        environment: dict[str, str] | None = None,
        options: Sequence[str] = (),
        prefix: Sequence[str] | None = None,
    ) -> None:
        url = f"sqlite:///{store}" if isinstance(store, Path) else store
        arguments = ("serve", models, "--port", "0", "--store", url, *options)
        environment = {**os.environ, "PERDURE_LOG_LEVEL": "WARNING", **(environment or {})}
        self.process: Forked | subprocess.Popen[str]
        if prefix is None:
            self.process = Forked(command, arguments, folder=ROOT, environment=environment)
        else:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "perdure", *arguments],
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env=environment,
            )
        assert self.process.stdout is not None
        try:
            first = self.process.stdout.readline()  # it is printed when the server answers
            found = re.search(r"http://\S+", first)
            assert found is not None, f"the server did not start: {first!r}"
        except BaseException:
            end(self.process)
            raise
        self.url = found[0]

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self._gone()

    def stop(self) -> int:
        """End it as an operator does; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        self._gone()
        assert self.process.returncode is not None
        return self.process.returncode

    def _gone(self) -> None:
        try:
            self.process.wait(timeout=240)
        finally:
            end(self.process)


@contextmanager
def running(
    store: Path | str,
    models: str,
    environment: dict[str, str] | None = None,
    options: Sequence[str] = (),
    prefix: Sequence[str] | None = None,
) -> Iterator[Server]:
    """Yield a server that is gone afterwards."""
    server = Server(store, models, environment, options, prefix)
    try:
        yield server
    finally:
        end(server.process)
