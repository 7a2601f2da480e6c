"""Hides the secrets of a server from other processes: the tokens and passwords of its environment.

``/proc/PID/environ`` shows the environment with which a program was started, whatever the program changes
later. So the program starts once more, in the same process, with only the variables that any child may see;
the others are passed in pipes, which are read once. Its memory is closed to other processes of its user too:
it can't be traced or dumped. This works on Linux only; elsewhere nothing is hidden.
"""

import json
import os
import sys
from fnmatch import fnmatchcase

from perdure.execution.environment import allowed
from perdure.execution.guard import prctl

__all__ = ["hide_secrets"]

SET_DUMPABLE = 4

LOADER = ("LD_*", "DYLD_*", "MALLOC_*", "ASAN_*", "LSAN_*", "TSAN_*", "UBSAN_*")
"""Variables that take effect only when a program starts: this one keeps them, its children don't get them."""

HANDED_OVER = "PERDURE_HANDED_OVER"
"""The variable with the file descriptors of the pipes."""


def hide_secrets() -> None:
    """Close this process to others, and start its program once more if its environment shows too much.

    It doesn't return the first time. The second time it restores `os.environ`.
    """
    prctl(SET_DUMPABLE, 0)
    numbers = os.environ.pop(HANDED_OVER, None)
    if numbers is not None:
        os.environ.update(_taken(numbers))
        return
    its_own = (name for name in os.environ if any(fnmatchcase(name, pattern) for pattern in LOADER))
    shown = allowed(os.environ, its_own)
    if sys.platform != "linux" or len(shown) == len(os.environ):
        return
    hidden = {name: value for name, value in os.environ.items() if name not in shown}
    numbers = ",".join(map(str, _filled(json.dumps(hidden).encode())))
    # With the same options of the interpreter, and by its path, so that it finds the same packages.
    command = [sys.executable, *sys.orig_argv[1:]]
    os.execve(sys.executable, command, {**shown, HANDED_OVER: numbers})


def _filled(content: bytes) -> list[int]:
    """Write content to pipes, each filled to its capacity; return the file descriptors to read from."""
    filled = []
    while content:
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        content = content[os.write(writing, content) :]
        os.close(writing)
        os.set_inheritable(reading, True)  # stays open when the program starts once more
        filled.append(reading)
    return filled


def _taken(numbers: str) -> dict[str, str]:
    """Read the variables from the pipes and close them."""
    content = b""
    for number in numbers.split(","):
        with os.fdopen(int(number), "rb") as pipe:
            content += pipe.read()
    try:
        taken: dict[str, str] = json.loads(content)
    except ValueError:
        sys.exit(
            "perdure: another process took variables of the environment while this one started. Start again."
        )
    return taken
