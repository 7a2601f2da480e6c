"""``perdure store``: copies a store to another one, also of another kind, and reopens a closed one."""

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perdure.cli.connection import Target, ask, is_served
from perdure.cli.groups import new_app
from perdure.cli.options import read_settings
from perdure.cli.output import say, with_progress
from perdure.errors import PerdureError
from perdure.stores.location import FILE, beside, shown_url, store_url
from perdure.stores.schemes import socket_path, store_file

if TYPE_CHECKING:
    from perdure.stores.base import Store

__all__ = ["app"]

app = new_app("Copy a store to another one, or reopen a closed one.")

Artifacts = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where its artifacts are, if not beside its file or at PERDURE_ARTIFACTS.",
        show_default=False,
    ),
]


@app.command(
    "copy",
    epilog="Examples:  perdure store copy sqlite:///perdure-data/perdure.db postgresql://host/perdure "
    "--target-artifacts s3://bucket/perdure  ·  "
    "perdure store copy sqlite:///perdure-data/perdure.db sqlite:///elsewhere/perdure.db --final",
)
def copy_store(
    source: Annotated[str, typer.Argument(help="The store: its file or its URL.", show_default=False)],
    target: Annotated[str, typer.Argument(help="A new store, or an earlier copy.", show_default=False)],
    final: Annotated[
        bool, typer.Option("--final", help="Close the source first, and finish the copy.")
    ] = False,
    source_artifacts: Artifacts = None,
    target_artifacts: Artifacts = None,
) -> None:
    """Copy a store with its artifacts: runs, steps, savepoints, results, instances.

    It can be repeated, also while the source is served: then only what is new is copied. Nobody can use the
    copy until it is finished with --final, which needs a source without a server. The source is closed
    first, so that no two stores go on from one log.

    The exit status is 1 if something is damaged and couldn't be copied.
    """
    from perdure.artifacts import Artifacts as Files
    from perdure.stores.open import StoreOptions, open_store
    from perdure.stores.store_copy import StoreCopy, check_closed

    urls = store_url(source), store_url(target)
    names = _name(urls[0]), _name(urls[1])
    if names[0] == names[1]:
        raise PerdureError(f"{names[0]} can't be copied to itself.")
    places = _artifacts(urls[0], source_artifacts), _artifacts(urls[1], target_artifacts)
    with (
        _opened(urls[0], snapshot=not final) as opened,
        closing(open_store(urls[1], StoreOptions())) as copy,
    ):
        check_closed(opened, names[0], names[1])
        copying = StoreCopy(opened, copy, names)
        copying.check_target()
        if final:
            copying.close()
            say(f"Closed {names[0]}. `perdure store reopen {names[0]}` undoes that.")
        runs = copying.begin()
        for run in with_progress(runs, "Copying runs"):
            copying.copy_run(run, verify=final)
        copying.end()
        files = size = 0
        here, there = Files(places[0]), Files(places[1])
        if not here.is_same_as(there):
            for _ in with_progress([places], "Copying artifacts"):
                files, size = here.copy(places[1], afresh=False, verify=final)
        if final and opened.shared and copying.is_written():
            raise PerdureError(
                f"A server still writes to {names[0]}. Stop all of them, and repeat the command."
            )
        if final and not copying.damaged:
            copying.check_unused()
            if here.is_same_as(there):
                here.hand_over(opened.identity, copy.identity)
            copying.finish()
    done = copying.copied
    say(f"{len(runs)} run(s); of these {done.runs} were copied or changed, with {done.steps} step(s).")
    say(f"{done.deleted} run(s) deleted; {done.documents} document(s) copied.")
    say(f"{files} file(s), {size} bytes, of the artifacts copied.")
    for problem in copying.damaged:
        say(f"damaged: {problem}", err=True)
    if copying.damaged:
        say(f"Repair {names[0]} with `perdure doctor`, and repeat the command.", err=True)
        raise typer.Exit(1)
    if final:
        say(f"The copy is finished. Use {names[1]} from now on.")
    else:
        say("The copy isn't finished: repeat the command with --final when the source has no server.")


@app.command("reopen", epilog="Example:  perdure store reopen sqlite:///perdure-data/perdure.db")
def reopen_store(
    store: Annotated[str, typer.Argument(help="The store: its file or its URL.", show_default=False)],
) -> None:
    """Let a store be used again that was closed when it was copied, or a copy that isn't finished.

    From then on the two stores differ: what happens in one isn't in the other.
    """
    from perdure.stores.open import StoreOptions, open_store
    from perdure.stores.store_copy import reopen

    url = store_url(store)
    with closing(open_store(url, StoreOptions(create=False))) as opened:
        changed = reopen(opened)
    say(f"Reopened {_name(url)}." if changed else f"{_name(url)} is open.")


@contextmanager
def _opened(url: str, *, snapshot: bool) -> Iterator["Store"]:
    """Open a store; with `snapshot`, a copy of its file if a server has it open."""
    from perdure.stores.open import StoreOptions, open_store

    path = socket_path(url)
    if not snapshot or path is None or not is_served(path):
        with closing(open_store(url, StoreOptions(create=False))) as store:
            yield store
        return
    with tempfile.TemporaryDirectory(prefix="perdure-copy-") as place:
        folder = Path(place, "store")
        ask(Target(url), "POST", "/backup", json={"folder": str(folder), "store_only": True})
        with closing(open_store(store_url(str(folder / FILE)), StoreOptions(create=False))) as store:
            yield store


def _name(url: str) -> str:
    """Return a URL that means the same in any folder, without its password."""
    file = store_file(url)
    return shown_url(url) if file is None else store_url(str(file))


def _artifacts(url: str, given: str | None) -> str:
    """Return the URL or folder of a store's artifacts."""
    if given is not None:
        return given
    if (file := store_file(url)) is not None:
        return str(beside(file, "artifacts"))
    if (configured := read_settings().artifacts) is not None:
        return configured
    raise PerdureError(
        f"Where the artifacts of {shown_url(url)} are isn't known: give --source-artifacts or "
        "--target-artifacts, or set PERDURE_ARTIFACTS."
    )
