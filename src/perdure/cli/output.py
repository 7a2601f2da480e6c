"""The output of commands: tables for people, JSON for programs, a progress bar for long operations.

Names, lines and errors come from clients. In a terminal none of them may move the cursor, set colours or hide
text, so all output is escaped here.
"""

import fcntl
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from datetime import UTC, datetime
from functools import partial
from threading import Timer
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from perdure.terminal import printable

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

__all__ = [
    "AsJson",
    "libraries_apart",
    "moment",
    "own_output",
    "progress_bar",
    "safe_json",
    "say",
    "say_lines",
    "show",
    "table",
    "with_progress",
]

T = TypeVar("T")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

STDOUT, STDERR = 1, 2
PATIENCE = 1.0  # seconds until a bar appears

_IN_JSON = re.compile(r"[^\n -~]")


@contextmanager
def own_output() -> Iterator[None]:
    """Reserve standard output for the command: output of C code goes to standard error instead.

    Libraries print banners at import, before anything can prevent it. Within the block `sys.stdout` writes to
    a duplicate of the file, and descriptor 1 is standard error. If `sys.stdout` isn't descriptor 1, nothing
    changes.
    """
    try:
        owned = sys.stdout is not None and sys.stdout.fileno() == STDOUT
        kept = fcntl.fcntl(STDOUT, fcntl.F_DUPFD_CLOEXEC, STDERR + 1) if owned else -1
    except (OSError, ValueError):  # closed, or no file
        owned = False
    if not owned:
        yield
        return
    former = cast(io.TextIOWrapper, sys.stdout)
    former.flush()
    if sys.stderr is None:  # closed, so that descriptor 2 may be any file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, STDOUT)
        os.close(nowhere)
    else:
        os.dup2(STDERR, STDOUT)
    own = sys.stdout = io.TextIOWrapper(
        os.fdopen(kept, "wb", buffering=0 if former.write_through else -1),
        encoding=former.encoding,
        errors=former.errors,
        line_buffering=former.line_buffering,
        write_through=former.write_through,
    )
    try:
        yield
    finally:
        sys.stdout = former
        os.dup2(kept, STDOUT)
        with suppress(BrokenPipeError):  # the reader has closed the pipe; the exit status says so
            own.close()


@contextmanager
def libraries_apart() -> Iterator[None]:
    """Send the output of Python code within the block to standard error, as `own_output` does for C code."""
    with redirect_stdout(sys.stderr):
        yield


def show(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(safe_json(json.dumps(value, indent=2, ensure_ascii=False)))


def safe_json(text: str) -> str:
    """Return JSON in which every character is escaped that a terminal would obey or hide."""
    return _IN_JSON.sub(lambda found: found[0] if found[0].isprintable() else _as_json(found[0]), text)


def say(text: str, *, err: bool = False) -> None:
    """Print a text on one line, escaped; tabs become spaces."""
    typer.echo(printable(text.expandtabs()), err=err)


def say_lines(text: str, *, err: bool = False) -> None:
    """Print a text of several lines, each escaped."""
    for line in text.split("\n"):
        say(line, err=err)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows as a table; without a terminal no cell is shortened."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console() if sys.stdout.isatty() else Console(width=10_000)
    grid = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        grid.add_row(*(Text(printable(str(cell))) for cell in row))
    console.print(grid)


def _as_json(character: str) -> str:
    return json.dumps(character)[1:-1]


def moment(unix: float) -> str:
    """Return a Unix time as text, in UTC."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S")


def with_progress(items: Sequence[T], what: str) -> Iterator[T]:
    """Yield the items, with a bar on standard error once this takes longer than a second."""
    with progress_bar(what, len(items)) as update:
        for item in items:
            yield item
            update(advance=1)


@contextmanager
def progress_bar(
    what: str, total: float, *columns: "ProgressColumn", **fields: Any
) -> Iterator[Callable[..., None]]:
    """Draw a bar on standard error once the block takes longer than a second; yields what updates it.

    A timer shows the bar, and rich draws it in a thread of its own, since one step may take all the time.
    """
    from rich.console import Console
    from rich.progress import Progress

    disabled = not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=disabled) as bar:
        update = partial(bar.update, bar.add_task(what, total=total, visible=False, **fields))
        showing = Timer(PATIENCE, partial(update, visible=True))
        showing.start()
        try:
            yield update
        finally:
            showing.cancel()
            showing.join()
