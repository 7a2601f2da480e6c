"""A search of ``perdure solve``: its input, its interruption, its progress bar and its pictures."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import FrameType

import typer
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

from perdure.cli.output import progress_bar, say
from perdure.cli.solution import looks_like_constraints, mistake_in_words, progress_in_words
from perdure.errors import NetworkError, PerdureError
from perdure.solvers.binding_networks.formats import load_network
from perdure.solvers.binding_networks.grammar import Syntax
from perdure.solvers.binding_networks.network import Network
from perdure.solvers.binding_networks.progress import Progress
from perdure.solvers.binding_networks.solution import Solution

__all__ = ["draw", "interruptible", "read_network", "shown_search"]

STDIN = Path("-")


def read_network(file: Path, constraints: Path | None, syntax: str | None) -> Network:
    """Read the network; an error shows the wrong line with a caret."""
    if file == STDIN and constraints == STDIN:
        raise typer.BadParameter("only one of the two can be standard input")
    texts = _text(file), "" if constraints is None else _text(constraints)
    if constraints is None and looks_like_constraints(texts[0]):
        say(
            f"perdure: {_name(file)} looks like constraints, but is read as monomers; name the monomers "
            "before it: perdure solve MONOMERS CONSTRAINTS",
            err=True,
        )
    try:
        return load_network(*texts, syntax=None if syntax is None else Syntax(syntax))
    except NetworkError as error:
        place = constraints if error.values["part"] == "constraints" else file
        raise PerdureError(mistake_in_words(error, _name(place or file))) from None


def _name(path: Path) -> str:
    return "standard input" if path == STDIN else str(path)


def _text(path: Path) -> str:
    try:
        return sys.stdin.read() if path == STDIN else path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it isn't text in UTF-8"
        raise PerdureError(f"{path} can't be read: {reason}.") from None


def draw(solution: Solution, folder: Path, file: Path) -> list[Path]:
    """Draw every configuration into a folder and return the files."""
    title = "" if file == STDIN else file.stem
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(len(solution.configurations)):
            path = folder / f"configuration-{number + 1}.svg"
            path.write_text(solution.picture(number, title).svg, encoding="utf-8")
            paths.append(path)
    except OSError as error:
        raise PerdureError(f"{folder} can't be written to: {error.strerror}.") from None
    return paths


@contextmanager
def interruptible() -> Iterator[Event]:
    """Treat the first Ctrl-C within the block as a request for the best result so far.

    The second one ends the program.
    """
    interrupted = Event()

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    former = signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, former)


@contextmanager
def shown_search(network: Network) -> Iterator[Callable[[Progress], None]]:
    """Show the bounds in a bar on standard error, once the search takes longer than a second."""
    columns = (TextColumn("Solving"), BarColumn(), TextColumn("{task.fields[bounds]}"), TimeElapsedColumn())
    with progress_bar("", len(network.monomers), *columns, bounds="") as update:

        def show(progress: Progress) -> None:
            update(total=progress.upper, completed=progress.lower, bounds=progress_in_words(progress))

        yield show
