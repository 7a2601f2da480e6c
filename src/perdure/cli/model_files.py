"""``perdure models``: checks model files, without a server."""

from pathlib import Path
from typing import Annotated

import typer

from perdure.cli.groups import new_app
from perdure.cli.output import AsJson, say, show

__all__ = ["app", "check"]

app = new_app()


@app.callback()
def models() -> None:
    """Check model files."""


@app.command(epilog="Examples:  perdure models check model.stmx  ·  perdure models check model.mdl --json")
def check(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The model file: .stmx, .itmx, .xmile or .mdl.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show what a model file holds, and all in it that can't be served.

    The exit status is 0 if the model can be served, and 1 otherwise.
    """
    from perdure.engines.system_dynamics.checking import check_file

    report = check_file(file)
    if as_json:
        show(report.plain())
    else:
        say(f"{file.name}: {report.name}")
        model = report.model
        if model is not None:
            times = f"{model.starttime:g} to {model.stoptime:g} {model.time_units}".rstrip()
            say(f"{times}, steps of {model.dt:g}, {model.method}")
        for kind, count in report.kinds.items():
            say(f"{count} {kind if count == 1 else f'{kind}s'}")
        for line in report.missing:
            say(f"missing: {line}")
        for line in report.problems:
            say(f"can't be served: {line}")
    if report.problems:
        raise typer.Exit(1)
