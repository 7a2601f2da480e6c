"""The command line: the server, the worker, commands for runs, and commands that need no server.

Every command but ``serve``, ``worker``, ``solve`` and ``experiment run`` speaks HTTP: to the server that
holds the store if one is running, else to an app of its own in this process. So there is one implementation
of each operation.

The commands are imported last: a server first hides its secrets, for which its program starts once more. A
command imports its libraries when it is called, so that help and ``perdure --version`` start quickly.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perdure.cli.commands import app as app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command; print errors on standard error, in one line that says what to do."""
    if sys.argv[1:2] == ["serve"]:
        from perdure.cli.hiding import hide_secrets

        hide_secrets()
    from perdure.cli.commands import run

    run()


def __getattr__(name: str) -> object:
    """Import `app` when it is first used."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from perdure.cli.commands import app

    return app
