"""Programs on `perdure.bptk`, in processes that are forked: `tests.support.forked`.

A program imports `perdure.bptk` as if for the first time. What that imports is there already: tests of these
imports, and of how a program ends, start the interpreter.
"""

import os
import subprocess
import sys
import warnings
from pathlib import Path

from tests.support import forked

import perdure

ROOT = Path(__file__).parents[2]
FACE = "perdure.bptk"


def run_program(text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with additions to this environment; a warning is an error."""
    return forked.run(program, text, folder=ROOT, environment={**os.environ, **environment})


def program(text: str) -> None:
    """Be the program in this process."""
    for name in [each for each in sys.modules if each == FACE or each.startswith(f"{FACE}.")]:
        del sys.modules[name]
    vars(perdure).pop("bptk", None)
    warnings.simplefilter("error")
    exec(compile(text, "<program>", "exec"), {"__name__": "__main__"})
