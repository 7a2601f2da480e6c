"""How a command starts: help and version import what they need, and nothing that takes long."""

import subprocess
import sys

SLOW = ("fastapi", "httpx", "numpy", "perdure.api", "perdure.execution", "pydantic", "rich", "uvicorn")

ASK = f"""
import contextlib, io, sys
from perdure.cli import main

for arguments in (["--version"], ["--help"], ["experiment", "--help"], ["solve", "--help"]):
    sys.argv = ["perdure", *arguments]
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as told:
        main()
    assert told.getvalue(), arguments
print(*(name for name in {SLOW} if name in sys.modules))
"""


def test_version_and_help_import_no_web_framework_no_numpy_and_nothing_that_draws() -> None:
    asked = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    assert asked.stdout.split() == []
