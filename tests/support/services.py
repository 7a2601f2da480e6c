"""Real services for tests: finds their programs, and runs them in folders of their own as an ordinary user.

A test of a service that isn't installed is skipped with a reason, and fails in CI.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tests.support.processes import exists

SECONDS = 240.0  # until a service that doesn't start fails its test
SAID = 3000  # characters at the end of a log
PREFIX = "perdure-service-"

ROOT = os.geteuid() == 0
USER = "nobody"  # the ordinary user, since most of these programs refuse root


def missing(what: str, package: str) -> NoReturn:
    """Skip the test, since a service isn't installed; in CI, fail it."""
    reason = f"{what} isn't installed: apt-get install {package}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def program(name: str, what: str, package: str, *folders: Path) -> str:
    """Return the path of a program of a Debian package; skip the test if it isn't installed."""
    search = os.pathsep.join([*map(str, folders), os.environ.get("PATH", os.defpath), "/usr/sbin"])
    return shutil.which(name, path=search) or missing(what, package)


@contextmanager
def service_folder(name: str, parent: Path | None = None) -> Iterator[Path]:
    """Make a folder of the ordinary user, with a short path for sockets, and remove it afterwards.

    It lies in memory, unless another parent is given. Folders of killed test processes are removed as well.
    """
    shm = Path("/dev/shm")
    parent = parent or (shm if os.access(shm, os.W_OK) else Path(tempfile.gettempdir()))
    for left in parent.glob(f"{PREFIX}*"):
        owner = left.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdigit() and not exists(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-{name}-", dir=parent))
    try:
        if ROOT:
            user = pwd.getpwnam(USER)
            os.chown(folder, user.pw_uid, user.pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def as_user(command: Sequence[str], end: str = "KILL") -> list[str]:
    """Return a command that runs another as the ordinary user, and sends it a signal when its parent ends."""
    user = pwd.getpwnam(USER)
    change = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"] if ROOT else []
    return ["setpriv", f"--pdeathsig={end}", *change, *command]


def run_as_user(command: Sequence[str], **options: Any) -> None:
    """Run a command as the ordinary user, and raise with its output if it fails."""
    done = subprocess.run(as_user(command), capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


class Service:
    """A process of a service; `stop`, `kill`, `freeze` and `start` it as a test requires.

    Parameters
    ----------
    command
        Its command, run as the ordinary user.
    log
        The file for its output.
    answers
        Returns whether it is ready; it may raise an `OSError` before.
    end
        The signal with which it ends quickly, as `setpriv` names it.
    again
        What it says as it ends if it has to be started once more, since a killed one has left something.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        answers: Callable[[], bool],
        *,
        end: str = "TERM",
        again: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = as_user(command, end)
        self._log = log
        self._answers = answers
        self._end = signal.Signals[f"SIG{end}"]
        self._again = again
        self._environment = environment
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Number of the running process."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        deadline = time.monotonic() + SECONDS
        begun = self._begin()
        while not self._ready():
            assert time.monotonic() < deadline, self._log.read_text()
            if begun.poll() is not None:
                said = self._log.read_text()
                assert self._again is not None and self._again in said[-SAID:], said
                begun = self._begin()
            time.sleep(0.02)

    def _begin(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=None if self._environment is None else {**os.environ, **self._environment},
            )
        return self.process

    def stop(self) -> None:
        """End it in its quick, orderly way; does nothing if it doesn't run."""
        self._send(self._end)

    def kill(self) -> None:
        """Kill it."""
        self._send(signal.SIGKILL)

    def freeze(self) -> None:
        """Let it do nothing until `thaw`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def _ready(self) -> bool:
        with suppress(OSError):
            return self._answers()
        return False

    def _send(self, sent: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(sent)
            self.process.send_signal(signal.SIGCONT)
            self.process.wait(SECONDS)
            self.process = None
