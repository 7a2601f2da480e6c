"""The command line: ``perdure serve``, the commands that look after runs, those that need no server.

Every command but ``serve``, ``solve`` and ``experiment run`` speaks HTTP, to the server that holds the store
if one is running, else to one of its own in this process, so that there is one way to do a thing.

The commands are imported last: a server first hides its secrets, which starts its program once more. What a
command works with is imported when it works: its help and ``perdure --version`` need the options only.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perdure.cli.commands import app as app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command; what is wrong is told on standard error, in a line that says what to do."""
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
