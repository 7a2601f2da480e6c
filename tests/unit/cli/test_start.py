"""How a command starts: it imports what it needs, and nothing that takes long."""

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


FIND = f"""
import sys
from perdure.cli import connection

assert connection.socket_path("sqlite:////tmp/perdure.db").name == "perdure.db.sock"
print(*(name for name in {(*SLOW, "apsw", "msgspec", "structlog")} if name in sys.modules))
"""


def test_version_and_help_import_no_web_framework_no_numpy_and_nothing_that_draws() -> None:
    assert printed(ASK) == []


def test_the_server_of_a_store_is_found_without_what_the_store_needs() -> None:
    assert printed(FIND) == []


def printed(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()
