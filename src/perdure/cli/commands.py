"""The app: all commands, and the output of errors.

A command's module is imported when the command is called, so that each command, help and version start
quickly.
"""

import importlib
import sys
from functools import cached_property
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from perdure import __version__
from perdure.cli.groups import Group
from perdure.cli.output import own_output, say_lines
from perdure.errors import PerdureError

__all__ = ["app", "run"]

# The module of each command, its attribute, and the description in the list of commands.
COMMANDS = {
    "serve": ("serve", "Serve models and tasks over HTTP; every acknowledged step is durable."),
    "worker": ("worker", "Work on the tasks and experiments of a store, without a server."),
    "runs": ("runs", "List, show, edit, fork, upgrade, delete and prune runs."),
    "savepoints": ("savepoints", "List, show and pin the savepoints of a run."),
    "tasks": ("tasks", "List, show and cancel tasks."),
    "experiment": ("experiments", "Run experiments, and manage those of a server."),
    "models": ("model_files", "Check model files, and convert them to XMILE or JSON."),
    "solve": ("solve", "Find the stable configurations of a binding network."),
    "deploy": ("deploy", "Print a configuration for supervisord, systemd, Compose or Kubernetes."),
    "health": ("health", "Ask a server whether it can be used."),
    "doctor": ("doctor", "Check a store, report damage, and repair what a replay can repair."),
    "store": ("store", "Copy a store to another one, or reopen a closed one."),
    "backup": (
        "backup",
        "Back up a store with its artifacts, also while it is served.",
    ),
}


class _Later(TyperCommand):
    """A command that is imported when it is called."""

    def __init__(self, name: str, module: str, summary: str) -> None:
        super().__init__(name, help=summary, short_help=summary)
        self._module = module

    @cached_property
    def loaded(self) -> Any:
        """The command itself."""
        command = typer.main.get_command(importlib.import_module(f"perdure.cli.{self._module}").app)
        command.name = self.name
        for each in (command, *getattr(command, "commands", {}).values()):
            each.epilog = _in_lines(each.epilog)
            each.short_help = (each.help or "").partition("\n\n")[0]
        return command

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Make the context of the command itself, which is then invoked."""
        return self.loaded.make_context(info_name, args, parent=parent, **extra)


class _Commands(Group):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: _Later(name, module, text) for name, (module, text) in COMMANDS.items()}


def _in_lines(examples: str | None) -> str | None:
    """Return an epilog with each example on a line of its own; ``  ·  `` separates them."""
    if examples is None:
        return None
    word, _, rest = examples.partition(":  ")
    return "\n".join(("\b", f"{word}:", *(f"  {example}" for example in rest.split("  ·  "))))


app = typer.Typer(
    name="perdure",
    cls=_Commands,
    help="Simulations that outlive their server: durable, exactly resumable runs behind one HTTP API.",
    epilog=_in_lines(
        "Examples:  perdure serve  ·  perdure serve my_models:catalogue --port 8000  ·  perdure runs list"
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"perdure {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end."),
    ] = False,
) -> None:
    """Handle the options that belong to no command."""


def run() -> None:
    """Run the command; print errors on standard error, in one line that says what to do."""
    try:
        with own_output():
            app()
    except PerdureError as error:
        say_lines(f"perdure: {error}", err=True)
        sys.exit(1)
