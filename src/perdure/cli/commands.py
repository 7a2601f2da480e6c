"""The app: every command, and how it tells what went wrong."""

import sys
from typing import Annotated

import typer

from perdure import __version__
from perdure.cli import backup, doctor, experiments, runs, savepoints, serve, solve, tasks
from perdure.cli.output import own_output, say_lines
from perdure.errors import PerdureError

__all__ = ["app", "run"]

app = typer.Typer(
    name="perdure",
    help="Simulations that outlive their server: durable, exactly resumable runs behind one HTTP API.",
    epilog="Examples:  perdure serve  ·  perdure serve my_models:catalogue --port 8000  ·  perdure runs list",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"perdure {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end."),
    ] = False,
) -> None:
    """Take the options that belong to no command."""


app.command("serve", epilog=serve.EXAMPLES)(serve.serve)
app.add_typer(runs.app, name="runs")
app.add_typer(savepoints.app, name="savepoints")
app.add_typer(tasks.app, name="tasks")
app.add_typer(experiments.app, name="experiment")
app.command("solve", epilog=solve.EXAMPLES)(solve.solve)
app.command("doctor", epilog=doctor.EXAMPLES)(doctor.doctor)
app.command("backup", epilog=backup.EXAMPLES)(backup.backup)


def run() -> None:
    """Run the command; what is wrong is told on standard error, in a line that says what to do."""
    try:
        with own_output():
            app()
    except PerdureError as error:
        say_lines(f"perdure: {error}", err=True)
        sys.exit(1)
