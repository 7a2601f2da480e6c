"""``perdure backup``: copies a store and its artifacts, also while a server is running."""

import shlex
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from perdure.cli.connection import StoreUrl, Target, ask
from perdure.cli.groups import new_app
from perdure.cli.output import say

__all__ = ["app", "backup"]

_EXAMPLES = (
    "Examples:  perdure backup backups/monday  ·  "
    "perdure backup monday --store sqlite:///perdure-data/perdure.db"
)


app = new_app()


@app.command(epilog=_EXAMPLES)
def backup(
    folder: Annotated[Path, typer.Argument(help="The target: an empty or new folder.", show_default=False)],
    store: StoreUrl = None,
) -> None:
    """Back up a store with its artifacts, also while it is served. The copy can be served.

    Nothing is overwritten.
    """
    place = folder.absolute()
    made = ask(Target(store), "POST", "/backup", json={"folder": str(place)})
    say(f"Wrote {place}:")
    say(f"  the store      perdure.db, {made['bytes']} bytes")
    say(f"  its artifacts  perdure.db.artifacts, {made['files']} files with {made['files_bytes']} bytes")
    url = f"sqlite:///{quote(str(place))}"
    say(f"Serve it with: perdure serve --store {shlex.quote(url)}")
