"""Summaries: one number computed from the cells of an array, always in the order of the cells.

Sums are neither pairwise nor compensated, as those of NumPy and of newer versions of Python are, so that they
have the same bits wherever they are computed. A median or rank of cells that are no numbers is nan.
"""

import math
from collections.abc import Callable, Mapping, Sequence

__all__ = ["SUMMARIES"]


def array_sum(cells: Sequence[float]) -> float:
    total = cells[0]
    for cell in cells[1:]:
        total += cell
    return total


def array_product(cells: Sequence[float]) -> float:
    total = cells[0]
    for cell in cells[1:]:
        total *= cell
    return total


def array_mean(cells: Sequence[float]) -> float:
    return array_sum(cells) / len(cells)


def array_stddev(cells: Sequence[float]) -> float:
    mean = array_mean(cells)
    variance = array_mean([(cell - mean) * (cell - mean) for cell in cells])
    return math.sqrt(variance) if variance >= 0.0 else math.nan


def array_median(cells: Sequence[float]) -> float:
    if any(map(math.isnan, cells)):
        return math.nan
    ordered, half = sorted(cells), len(cells) // 2
    return ordered[half] if len(cells) % 2 else (ordered[half - 1] + ordered[half]) / 2.0


def array_rank(cells: Sequence[float]) -> float:
    """Return the cell of the rank that comes first, 1 for the largest; the smallest if there is no such."""
    rank, rest = cells[0], cells[1:]
    if any(map(math.isnan, rest)):
        return math.nan
    return sorted(rest, reverse=True)[int(rank) - 1 if 1.0 <= rank <= len(rest) else -1]


SUMMARIES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "array_sum": array_sum,
    "array_product": array_product,
    "array_mean": array_mean,
    "array_stddev": array_stddev,
    "array_median": array_median,
    "array_rank": array_rank,
    "array_min": min,
    "array_max": max,
}
"""The operators on all cells of an array; that of `array_rank` takes the rank before them."""
