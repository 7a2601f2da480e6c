"""``perdure solve``: the stable configurations of a binding network in a file."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Timer
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from perdure.cli.output import PATIENCE, libraries_apart, say, show
from perdure.cli.solution import (
    answer_in_words,
    looks_like_constraints,
    mistake_in_words,
    progress_in_words,
)
from perdure.errors import NetworkError, PerdureError
from perdure.solvers.binding_networks.answer import in_detail
from perdure.solvers.binding_networks.configuration import Solution, Status
from perdure.solvers.binding_networks.formats import load_network
from perdure.solvers.binding_networks.grammar import Syntax
from perdure.solvers.binding_networks.network import Network
from perdure.solvers.binding_networks.progress import Progress

__all__ = ["app", "solve"]

_EXAMPLES = (
    "Examples:  perdure solve networks/and_gate.txt  ·  "
    "perdure solve networks/and_gate.txt networks/bound_output.txt --json  ·  "
    "perdure solve networks/grid_gate.txt --all --svg pictures  ·  "
    "printf 'a b\\na* b*\\na\\nb' | perdure solve -"
)

UNSATISFIABLE = 3
OUT_OF_TIME = 4
INTERRUPTED = 130

STDIN = Path("-")


app = typer.Typer(add_completion=False)


@app.command(epilog=_EXAMPLES)
def solve(
    file: Annotated[
        Path, typer.Argument(help="The monomers, one a line; - reads standard input.", show_default=False)
    ],
    constraints: Annotated[
        Path | None, typer.Argument(help="The constraints, one a line.", show_default=False)
    ] = None,
    gen: Annotated[
        int | None,
        typer.Option(
            "--gen", "-g", min=1, help="Find so many configurations, from the optimum down.", show_default="1"
        ),
    ] = None,
    min_polymers: Annotated[
        int, typer.Option("--min-polymers", "-k", min=0, help="Find none with fewer polymers.")
    ] = 0,
    every: Annotated[bool, typer.Option("--all", help="Find all stable configurations.")] = False,
    count: Annotated[bool, typer.Option("--count", help="Count all stable configurations.")] = False,
    connected: Annotated[
        bool, typer.Option("--connected", help="Take as polymers only what bonds hold together.")
    ] = False,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds to search; then the best so far.", show_default="none")
    ] = None,
    syntax: Annotated[
        Syntax | None,
        typer.Option(help="What the monomers are written in.", show_default="found by the counts in it"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    svg: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw each configuration into this folder.")
    ] = None,
) -> None:
    """Find the stable configurations of a binding network.

    Status 1: something is wrong. 3: the constraints can't be kept. 4: time ran out. 130: it was interrupted.
    """
    if every and gen is not None:
        raise typer.BadParameter("give --all or -g, not both")
    if timeout is not None and not timeout > 0:
        raise typer.BadParameter("--timeout is a number of seconds above 0")
    wanted = gen or (0 if count else 1)
    network = _read(file, constraints, syntax)
    with _interruptible() as interrupted, _bar(network) as on_progress, libraries_apart():
        # The solvers' libraries are slow to import, and no other command needs them.
        from perdure.solvers.binding_networks import solve as search

        solution = search(
            network,
            gen=wanted,
            min_polymers=min_polymers,
            all=every,
            count=count,
            connected=connected,
            timeout=timeout,
            on_progress=on_progress,
            cancelled=interrupted.is_set,
        )
    pictures = [] if svg is None else _draw(solution, svg, file)
    enough = solution.exhausted or (not every and len(solution.configurations) >= wanted)
    counted = solution.total is not None or not count
    cut = not (
        solution.status is Status.UNSATISFIABLE or (solution.optimum is not None and enough and counted)
    )
    if as_json:
        show(in_detail(solution))
    else:
        why = "It was interrupted" if interrupted.is_set() else "Time ran out"
        for line in answer_in_words(solution, cut=why if cut else ""):
            say(line)
        for path in pictures:
            say(f"Drawn: {path}")
    if solution.status is Status.UNSATISFIABLE:
        raise typer.Exit(UNSATISFIABLE)
    if cut:
        raise typer.Exit(INTERRUPTED if interrupted.is_set() else OUT_OF_TIME)


def _read(file: Path, constraints: Path | None, syntax: Syntax | None) -> Network:
    """Read the network; what is wrong with it is told with its line, and a caret under the place."""
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
        return load_network(*texts, syntax=syntax)
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


def _draw(solution: Solution, folder: Path, file: Path) -> list[Path]:
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
def _interruptible() -> Iterator[Event]:
    """Take the first Ctrl-C within the block for a wish to have what there is; the second ends all."""
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
def _bar(network: Network) -> Iterator[Callable[[Progress], None]]:
    """Show bounds in a bar on standard error, once the search takes longer than a second."""
    columns = (
        TextColumn("Solving"),
        BarColumn(),
        TextColumn("{task.fields[bounds]}"),
        TimeElapsedColumn(),
    )
    bar = Bar(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with bar:
        task = bar.add_task("", total=len(network.monomers), visible=False, bounds="")
        showing = Timer(PATIENCE, partial(bar.update, task, visible=True))
        showing.start()

        def tell(progress: Progress) -> None:
            bar.update(
                task, total=progress.upper, completed=progress.lower, bounds=progress_in_words(progress)
            )

        try:
            yield tell
        finally:
            showing.cancel()
            showing.join()
