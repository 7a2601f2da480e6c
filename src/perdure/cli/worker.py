"""``perdure worker``: works on the tasks and experiments of a store, without a server."""

from typing import Annotated

import typer

from perdure.cli.groups import new_app
from perdure.cli.options import read_settings
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
            help="Its file, sqlite:///PATH, or the URL of another package's store. By default "
            "sqlite:///perdure-data/perdure.db. Several processes need a store that can be shared."
        ),
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="Which runs it works on: task, experiment, or both with a comma between. By default both.",
            show_default=False,
        ),
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TAG",
            help="Work only on runs that have this tag; of several, with commas between, one of them.",
            show_default=False,
        ),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE",
            help="Tasks it can work on besides installed ones: module:name or file.py:name, and without "
            ":name all of them. May be given several times.",
            show_default=False,
        ),
    ] = None,
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss",
            help="Start though the store lacks steps that were acknowledged; what is missing is logged.",
        ),
    ] = False,
) -> None:
    """Work on the tasks and experiments of a store, several at a time, until SIGTERM or Ctrl-C.

    What it works on by then goes on where it was when the next worker or server claims it. Settings say how
    many processes it has and what each may use: see docs/settings.md.
    """
    from perdure.observability import configure_logging
    from perdure.worker import work

    settings = read_settings(store=store, tasks=tasks or None)
    configure_logging(settings.log_level, as_json=settings.log_json)
    work(settings, kinds=_named(kinds), tags=_named(tags), announce=say_lines, accept_loss=accept_loss)


def _named(given: list[str] | None) -> list[str]:
    """Return what an option names, which may be given several times and have commas between, each once."""
    return list(dict.fromkeys(name for text in given or () for name in text.split(",") if name))
