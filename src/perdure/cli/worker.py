"""``perdure worker``: works on the tasks and experiments of a store, without a server."""

from typing import Annotated

import typer

from perdure.cli.groups import new_app
from perdure.cli.options import OtherNumerics, read_settings
from perdure.cli.output import say_lines

__all__ = ["app", "worker"]

_EXAMPLES = (
    "Examples:  perdure worker  ·  perdure worker --kinds task --tags gpu  ·  "
    "perdure worker --store perdure-data/perdure.db --tasks my_tasks.py"
)

app = new_app()


@app.command(epilog=_EXAMPLES)
def worker(
    store: Annotated[
        str | None,
        typer.Option(
            help="The store: a file, sqlite:///PATH, or a URL of another package. By default "
            "sqlite:///perdure-data/perdure.db. Several processes need a store that can be shared."
        ),
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="Kinds of runs to work on: task, experiment, or both separated by a comma (the default).",
            show_default=False,
        ),
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TAG",
            help="Work only on runs with this tag, or with one of several tags separated by commas.",
            show_default=False,
        ),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE",
            help="Tasks to work on besides installed ones: module:name or file.py:name; without :name all "
            "of the module. May be given several times.",
            show_default=False,
        ),
    ] = None,
    other_numerics: OtherNumerics = False,
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss",
            help="Start even if the store lacks acknowledged steps; the loss is logged.",
        ),
    ] = False,
) -> None:
    """Work on the tasks and experiments of a store, several at a time, until SIGTERM or Ctrl-C.

    Unfinished runs resume when another worker or server claims them. Settings limit the number of processes
    and what each may use: see docs/settings.md.
    """
    from perdure.observability import configure_logging
    from perdure.worker import work

    settings = read_settings(store=store, tasks=tasks or None, other_numerics=other_numerics or None)
    configure_logging(settings.log_level, as_json=settings.log_json)
    work(settings, kinds=_named(kinds), tags=_named(tags), announce=say_lines, accept_loss=accept_loss)


def _named(given: list[str] | None) -> list[str]:
    """Return the values of an option that may be given several times, with commas between values.

    Each once.
    """
    return list(dict.fromkeys(name for text in given or () for name in text.split(",") if name))
