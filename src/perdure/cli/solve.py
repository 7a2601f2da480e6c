"""``perdure solve``: the stable configurations of a binding network in a file."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from perdure.cli.groups import new_app
from perdure.cli.output import libraries_apart, say, show

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

app = new_app()


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
            "--gen", "-g", min=1, help="Find this many configurations, best first.", show_default="1"
        ),
    ] = None,
    min_polymers: Annotated[
        int, typer.Option("--min-polymers", "-k", min=0, help="Minimum number of polymers.")
    ] = 0,
    every: Annotated[bool, typer.Option("--all", help="Find all stable configurations.")] = False,
    count: Annotated[bool, typer.Option("--count", help="Count all stable configurations.")] = False,
    connected: Annotated[
        bool, typer.Option("--connected", help="Count only polymers that are held together by bonds.")
    ] = False,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds to search; then print the best so far.", show_default="none")
    ] = None,
    syntax: Annotated[
        Literal["stableconfigs", "stable_tbn"] | None,
        typer.Option(help="The syntax of the monomers.", show_default="detected"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    svg: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw each configuration into this folder.")
    ] = None,
) -> None:
    """Find the stable configurations of a binding network.

    Exit status 1: an error. 3: the constraints can't be satisfied. 4: time ran out. 130: interrupted.
    """
    if every and gen is not None:
        raise typer.BadParameter("give --all or -g, not both")
    if timeout is not None and not timeout > 0:
        raise typer.BadParameter("--timeout is a number of seconds above 0")
    from perdure.cli.search import draw, interruptible, read_network, shown_search
    from perdure.cli.solution import answer_in_words
    from perdure.solvers.binding_networks.answer import in_detail
    from perdure.solvers.binding_networks.solution import Status

    number = gen or (0 if count else 1)
    network = read_network(file, constraints, syntax)
    with interruptible() as interrupted, shown_search(network) as on_progress, libraries_apart():
        # Errors in a network are reported before the solvers' libraries are imported, which takes long.
        from perdure.solvers.binding_networks import solve as search

        solution = search(
            network,
            gen=number,
            min_polymers=min_polymers,
            all=every,
            count=count,
            connected=connected,
            timeout=timeout,
            on_progress=on_progress,
            cancelled=interrupted.is_set,
        )
    pictures = [] if svg is None else draw(solution, svg, file)
    enough = solution.exhausted or (not every and len(solution.configurations) >= number)
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
