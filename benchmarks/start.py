"""The CPU time until the command has said what it is, or what its options are."""

import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from benchmarks.figure import Figure, spread

__all__ = ["measure"]

BUDGET = 0.25  # seconds
COMMANDS = ("--version", "--help", "experiment --help", "solve --help")


def measure(folder: Path, quick: bool) -> Iterator[Figure]:
    """Yield what each command costs, and how many times as much as Python itself."""
    rounds = 5 if quick else 15
    costs: dict[str, list[float]] = {command: [] for command in ("", *COMMANDS)}
    for _ in range(rounds + 1):
        for command, found in costs.items():
            found.append(_cpu_seconds(["-m", "perdure", *command.split()] if command else ["-c", "pass"]))
    python = median(costs.pop("")[1:])
    for command, found in costs.items():
        del found[0]  # which read the files from the disk
        yield Figure(
            f"perdure {command}",
            f"{spread(found, '.2f')} s",
            f"< {BUDGET:g} s",
            median(found) < BUDGET,
            f"python -c pass {python:.3f} s: {median(found) / python:.0f} times",
        )


def _cpu_seconds(arguments: Sequence[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
