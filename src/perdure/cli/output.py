"""How commands show things: tables for people, JSON for programs, a bar where it takes longer."""

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from threading import Timer
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

__all__ = ["AsJson", "moment", "show", "table", "with_progress"]

T = TypeVar("T")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

PATIENCE = 1.0  # seconds until a bar appears


def show(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows as a table; nothing is cut where the output isn't a terminal."""
    console = Console() if sys.stdout.isatty() else Console(width=10_000)
    grid = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        grid.add_row(*(str(cell) for cell in row))
    console.print(grid)


def moment(unix: float) -> str:
    """Return a Unix time in words, in UTC."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S")


def with_progress(items: Sequence[T], what: str) -> Iterator[T]:
    """Yield the items, with a bar on standard error once this takes longer than a second.

    The bar shows itself by a timer, and rich draws it in a thread of its own: one item may take all the time.
    """
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=len(items), visible=False)
        showing = Timer(PATIENCE, partial(bar.update, task, visible=True))
        showing.start()
        try:
            for item in items:
                yield item
                bar.advance(task)
        finally:
            showing.cancel()
            showing.join()
