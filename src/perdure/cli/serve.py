"""``perdure serve``: the server."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from perdure.cli.groups import new_app
from perdure.cli.options import OtherNumerics, read_settings
from perdure.cli.output import say_lines

__all__ = ["app", "serve"]

_EXAMPLES = (
    "Examples:  perdure serve  ·  perdure serve my_models:catalogue --port 8000  ·  "
    "perdure serve --tasks my_tasks.py  ·  "
    "perdure serve --tokens-file tokens.txt"
)


app = new_app()


@app.command(epilog=_EXAMPLES)
def serve(
    models: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODULE:FACTORY|FILE]",
            help="module:name or file.py:name of a Catalogue or Model, or a function that returns one; or a "
            "model file (.stmx, .xmile, .mdl, .json). By default ./scenarios/*.json, and without those the "
            "example models.",
            show_default=False,
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            help="The store: a file, sqlite:///PATH, memory://, or a URL of another package. By default "
            "sqlite:///perdure-data/perdure.db."
        ),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE",
            help="Tasks to serve besides installed ones: module:name or file.py:name; without :name all "
            "of the module. May be given several times.",
            show_default=False,
        ),
    ] = None,
    tokens_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Bearer tokens, owner:token in each line; a line `administrator OWNER` makes that owner an "
            "administrator. Nobody else may be able to read it (chmod 600). Browsers log in at /login.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. By default 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one. By default 5000.")] = None,
    root_path: Annotated[
        str | None,
        typer.Option(
            metavar="PREFIX",
            help="Prefix of the paths at a reverse proxy, as /simulations. The proxy may remove it or not.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            help="Number of server processes on the port; more than one need a store that can be shared.",
        ),
    ] = 1,
    other_numerics: OtherNumerics = False,
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss",
            help="Start even if the store lacks acknowledged steps, for example after restoring a backup; "
            "the loss is logged.",
        ),
    ] = False,
) -> None:
    """Serve models and tasks over HTTP; every acknowledged step is durable.

    Other settings are read from the environment, see docs/settings.md.
    """
    from perdure.api.server import serve as run_server
    from perdure.cli.models import load_catalogue
    from perdure.observability import configure_logging

    settings = read_settings(
        store=store,
        tasks=tasks or None,
        tokens_file=tokens_file,
        host=host,
        port=port,
        root_path=root_path,
        other_numerics=other_numerics or None,
    )
    configure_logging(settings.log_level, as_json=settings.log_json)
    if workers > 1:
        from perdure.api.processes import serve_in_processes

        serve_in_processes(
            workers,
            partial(load_catalogue, models),
            settings,
            announce=say_lines,
            report=partial(say_lines, err=True),
            accept_loss=accept_loss,
        )
        return
    run_server(load_catalogue(models), settings, announce=say_lines, accept_loss=accept_loss)
