"""The command line: ``perdure serve``, the commands that look after runs, those that need no server.

Every command but ``serve``, ``solve`` and ``experiment run`` speaks HTTP, to the server that holds the store
if one is running, else to one of its own in this process, so that there is one way to do a thing.

`main` imports the commands last: a server first hides its secrets, which starts its program once more.
"""

import sys

from perdure.cli.hiding import hide_secrets

__all__ = ["main"]


def main() -> None:
    """Run the command; what is wrong is told on standard error, in a line that says what to do."""
    if sys.argv[1:2] == ["serve"]:
        hide_secrets()
    from perdure.cli.app import run

    run()
