"""Hiding the secrets of a server from other processes: the tokens and passwords of its environment.

``/proc/PID/environ`` shows what a program was started with, whatever it does to its variables later. So the
program starts once more, in the same process, with the variables that any child may see; the others are
handed over in a file in memory. Its own memory is closed to other processes of its user, too: it can't be
traced or dumped. Linux only: elsewhere there is no such file, and nothing is hidden.
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
"""The variables that act only when a program starts: this one keeps them, its children don't get them."""

HANDED_OVER = "PERDURE_HANDED_OVER"
"""The variable that holds the number of the file in memory."""


def hide_secrets() -> None:
    """Close this process to others, and start its program once more if its environment shows too much.

    It doesn't return the first time. The second time `os.environ` is what it was.
    """
    prctl(SET_DUMPABLE, 0)
    number = os.environ.pop(HANDED_OVER, None)
    if number is not None:
        with os.fdopen(int(number), "rb") as file:
            file.seek(0)
            os.environ.update(json.loads(file.read()))
        return
    its_own = (name for name in os.environ if any(fnmatchcase(name, pattern) for pattern in LOADER))
    shown = allowed(os.environ, its_own)
    if not hasattr(os, "memfd_create") or len(shown) == len(os.environ):
        return
    hidden = {name: value for name, value in os.environ.items() if name not in shown}
    memory = os.memfd_create("perdure-environment", 0)  # it isn't closed when the program starts once more
    with os.fdopen(memory, "wb", closefd=False) as file:
        file.write(json.dumps(hidden).encode())
    # As it was started, with the options of the interpreter; by its path, which finds the same packages.
    command = [sys.executable, *sys.orig_argv[1:]]
    os.execve(sys.executable, command, {**shown, HANDED_OVER: str(memory)})
