"""The command: runs the benchmarks that are asked for, and prints each one's table when it is done."""

import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console

from benchmarks import (
    agents,
    arrays,
    binding_networks,
    experiments,
    growth,
    lists,
    machines,
    mesa_models,
    model_files,
    page,
    peer,
    preemption,
    queue,
    simulation,
    simulations,
    start,
    step_cpu,
    tasks,
    throughput,
)
from benchmarks.errors import BenchmarkFailed
from benchmarks.figure import Figure, table

Measure = Callable[[Path, bool], Iterator[Figure]]


class Name(StrEnum):
    """What can be measured."""

    SIMULATION = "simulation"
    ARRAYS = "arrays"
    FILES = "files"
    AGENTS = "agents"
    MESA = "mesa"
    CPU = "cpu"
    GROWTH = "growth"
    THROUGHPUT = "throughput"
    TASKS = "tasks"
    QUEUE = "queue"
    NETWORKS = "networks"
    EXPERIMENTS = "experiments"
    SIMULATIONS = "simulations"
    PREEMPTION = "preemption"
    START = "start"
    LISTS = "lists"
    MACHINES = "machines"
    PAGE = "page"


BENCHMARKS: dict[Name, tuple[str, Measure]] = {
    Name.SIMULATION: ("Simulation alone (CPU time)", simulation.measure),
    Name.ARRAYS: ("Models of arrays (CPU time)", arrays.measure),
    Name.FILES: ("Models from files (CPU time)", model_files.measure),
    Name.AGENTS: ("Agents (CPU time)", agents.measure),
    Name.MESA: ("Models of Mesa (CPU time)", mesa_models.measure),
    Name.CPU: ("A step over HTTP: 15 elements, 2 outputs, SQLite", step_cpu.measure),
    Name.GROWTH: ("The settled store", growth.measure),
    Name.THROUGHPUT: ("Many clients, each with a session of its own", throughput.measure),
    Name.TASKS: ("Tasks in guarded child processes", tasks.measure),
    Name.QUEUE: ("A long queue of tasks, SQLite (CPU time)", queue.measure),
    Name.NETWORKS: ("Stable configurations of binding networks (CPU time)", binding_networks.measure),
    Name.EXPERIMENTS: ("An experiment that can be resumed, SQLite", experiments.measure),
    Name.SIMULATIONS: ("Experiments on a server, whatever their scripts do", simulations.measure),
    Name.PREEMPTION: ("An experiment on workers that live ten seconds each, SQLite", preemption.measure),
    Name.START: ("The command's version and help (CPU time)", start.measure),
    Name.LISTS: ("Lists of 10,000 runs of an owner, SQLite", lists.measure),
    Name.MACHINES: ("PostgreSQL, with one and two API processes", machines.measure),
    Name.PAGE: ("The page, in Chromium", page.measure),
}

EXAMPLES = (
    "Examples:  python -m benchmarks  ·  python -m benchmarks cpu growth  ·  "
    "python -m benchmarks throughput --folder /mnt/data  ·  python -m benchmarks --quick"
)


def main(
    names: Annotated[list[Name] | None, typer.Argument(help="What to measure; by default all.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where stores are made, on the disk to be measured.", file_okay=False)
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rounds: rough figures in a minute.")] = False,
) -> None:
    """Measure what Perdure costs, each figure beside its budget.

    With bptk-py installed the same work is done there in the same run; `make bench PEERS=1` installs it.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the servers are ended too
    console, begun = Console(), time.monotonic()
    if not console.is_terminal:
        console.width = 150
    console.print(_circumstances())
    kept = True
    try:
        for name in names or list(BENCHMARKS):
            title, measure = BENCHMARKS[name]
            with (
                tempfile.TemporaryDirectory(prefix="perdure-", dir=folder or _persistent()) as place,
                console.status(f"measuring: {title}"),
            ):
                figures = list(measure(Path(place), quick))
            console.print(table(title, figures, peer.name()))
            kept = kept and all(figure.within is not False for figure in figures)
    except (BenchmarkFailed, httpx.HTTPError) as error:
        console.print(f"[bold red]{error}[/]")
        raise typer.Exit(1) from error
    told = "All budgets kept." if kept else "Not all budgets kept; on a busy machine, measure again."
    console.print(f"{told} {time.monotonic() - begun:.0f} s. docs/benchmarks.md says what each figure means.")


def _circumstances() -> str:
    peers = peer.name() if peer.there() else "no peers; `make bench PEERS=1` installs bptk-py"
    load = f"{os.getloadavg()[0]:.1f}"
    return (
        f"Python {platform.python_version()} · {platform.system()} · {os.cpu_count()} cores, load {load} · "
        f"{peers}\nMedian (least–largest) of short rounds; ratios are made within the run."
    )


def _persistent() -> Path | None:
    """Return a folder for stores that is on a disk, which ``/tmp`` often isn't."""
    place = Path("/var/tmp")
    return place if os.access(place, os.W_OK) else None


if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    app.command(epilog=EXAMPLES)(main)
    app()
