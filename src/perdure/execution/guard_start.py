"""The start of a guard: the one place that knows its command line."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from perdure.execution import guard
from perdure.execution.child_limits import ChildLimits

__all__ = ["start_guard"]


def start_guard(
    command: Sequence[str],
    *,
    control: int,
    kept: Sequence[int],
    limits: ChildLimits,
    environment: Mapping[str, str],
    streams: tuple[int | None, int | None] = (None, None),
    user: int | None = None,
    folder: Path | None = None,
    written: Sequence[Path] = (),
) -> subprocess.Popen[bytes]:
    """Start a Python command under a guard; the caller waits for the guard.

    Parameters
    ----------
    command
        What follows the name of the interpreter.
    control
        The number of the socket by which the guard reports and is ordered.
    kept
        The numbers of files that the child alone inherits.
    limits
        What the child may use.
    environment
        All variables of its environment.
    streams
        The numbers of its standard output and error; None is this process's.
    user
        Who the child runs as; None is this process's user.
    folder
        Where it works; None is where this process does.
    written
        The folders that it writes in, which count against the limit of its folders.
    """
    output, errors = streams
    return subprocess.Popen(
        [
            *(sys.executable, "-I", "-S", guard.__file__),
            *(() if user is None else ("--user", str(user))),
            *(part for each in written for part in ("--folder", str(each))),
            *(str(control), ",".join(map(str, kept)), *limits.arguments()),
            *(sys.executable, *command),
        ],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        pass_fds=(control, *kept),
        env=environment,
        cwd=folder,
        start_new_session=True,  # only the server handles a terminal's Ctrl-C
    )
