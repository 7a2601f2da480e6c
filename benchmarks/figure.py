"""Figures: what was measured, beside its budget and its peers, and the table of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from rich import box
from rich.table import Table
from rich.text import Text

__all__ = ["Figure", "spread", "table"]


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes
    ----------
    what
        What was measured.
    measured
        The figure with its unit.
    budget
        The budget in the design; empty if there is none.
    within
        Whether the figure keeps it; None without a budget.
    peers
        The same work elsewhere, measured in the same run.
    """

    what: str
    measured: str
    budget: str = ""
    within: bool | None = None
    peers: str = ""


def spread(values: Iterable[float], form: str) -> str:
    """Return the median of values with the least and the largest of them, each in a format like ``.2f``."""
    found = sorted(values)
    if len(found) == 1:
        return f"{found[0]:{form}}"
    return f"{median(found):{form}} ({found[0]:{form}}–{found[-1]:{form}})"


def table(title: str, figures: Iterable[Figure], peers: str) -> Table:
    """Return the table of one benchmark's figures; `peers` heads their column."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    made.add_column("what", no_wrap=True)
    made.add_column("measured", justify="right", no_wrap=True)
    made.add_column("budget", justify="right", no_wrap=True)
    made.add_column("within?")
    made.add_column(peers)
    for figure in figures:
        within = {True: Text("yes", "green"), False: Text("NO", "bold red"), None: Text("")}[figure.within]
        made.add_row(figure.what, figure.measured, figure.budget, within, figure.peers)
    return made
