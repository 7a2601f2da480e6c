"""``perdure savepoints``: list, show, pin."""

from typing import Annotated, Any

import typer

from perdure.cli.connection import Target, ask, on_target
from perdure.cli.groups import new_app
from perdure.cli.output import AsJson, moment, show, table
from perdure.errors import PerdureError, SavepointNotFound

__all__ = ["app"]

app = new_app("List, show and pin the savepoints of a run.")

RunId = Annotated[str, typer.Argument(help="The run's id.", show_default=False)]
Timestamp = Annotated[int, typer.Argument(help="The savepoint's timestamp.", show_default=False)]


@app.command("list", epilog="Example:  perdure savepoints list 0f3c…")
@on_target
def list_savepoints(target: Target, run: RunId, as_json: AsJson = False) -> None:
    """List the savepoints of a run."""
    found = _savepoints(target, run)
    if as_json:
        show(found)
        return
    rows = [
        (
            point["timestamp"],
            point["step"],
            point["name"] or "",
            "pinned" if point["pinned"] else "milestone" if point["milestone"] else "",
            point["size"],
            moment(point["created"]),
        )
        for point in found
    ]
    table(("TIMESTAMP", "STEP", "NAME", "KEPT", "BYTES", "CREATED (UTC)"), rows)


@app.command("show", epilog="Example:  perdure savepoints show 0f3c… 101")
@on_target
def show_savepoint(target: Target, run: RunId, timestamp: Timestamp) -> None:
    """Show one savepoint."""
    for point in _savepoints(target, run):
        if point["timestamp"] == timestamp:
            show(point)
            return
    raise SavepointNotFound(run=run, savepoint=timestamp)


@app.command(
    "pin",
    epilog="Examples:  perdure savepoints pin 0f3c… 101 --name calm  ·  perdure savepoints pin 0f3c… 9 --off",
)
@on_target
def pin_savepoint(
    target: Target,
    run: RunId,
    timestamp: Timestamp,
    name: Annotated[str | None, typer.Option(help="Also name the savepoint.")] = None,
    off: Annotated[bool, typer.Option("--off", help="Remove the pin and the name.")] = False,
) -> None:
    """Keep a savepoint permanently."""
    if off and name is not None:
        raise PerdureError("Give --name to name a savepoint, or --off to remove its name, not both.")
    change: dict[str, Any] = {"pinned": not off}
    if off or name is not None:  # fields that aren't sent stay unchanged
        change["name"] = name
    show(ask(target, "PATCH", f"/runs/{run}/savepoints/{timestamp}", json=change))


def _savepoints(target: Target, run: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(target, "GET", f"/runs/{run}/savepoints")["savepoints"]
    return found
