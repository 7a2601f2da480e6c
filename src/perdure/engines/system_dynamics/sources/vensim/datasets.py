"""Datasets: results of other runs, as text files, which data variables without an equation take values from.

A file has tabs or commas. Its first line has ``Time`` and the names of variables, with their cells as
``name[a,b]``; or its first line has the times and each further line a variable.
"""

import csv
import re
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path

from perdure.engines.system_dynamics.sources.beside import file_beside
from perdure.engines.system_dynamics.sources.form import canonical
from perdure.engines.system_dynamics.sources.problems import Unservable

__all__ = ["Datasets"]

_TEXTS = (".tab", ".csv", ".txt")
_ENDING = re.compile(r"\.[^./\\]*$")


class Datasets:
    """The files that values are looked for in, in this order.

    Parameters
    ----------
    given
        Files that the caller names; they must exist.
    loaded
        The names of runs that the settings of a model name. Vensim writes them in a format of its own; a text
        file of the same name beside the model stands for it.
    folder
        The folder of the model.
    """

    def __init__(self, given: Iterable[Path], loaded: Iterable[str], folder: Path) -> None:
        names = [_ENDING.sub("", name) + ending for name in loaded for ending in _TEXTS]
        beside = (file_beside(folder, name) for name in names)
        self._paths = [*given, *(path for path in beside if path is not None)]
        self._columns: dict[str, tuple[tuple[float, float], ...]] | None = None

    def series(self, name: str, cell: tuple[str, ...]) -> tuple[tuple[float, float], ...]:
        """Return the times and values of a cell of a variable; raise `Unservable` if there are none."""
        if self._columns is None:
            self._columns = {}
            for path in self._paths:
                self._columns = _columns(path) | self._columns
        found = self._columns.get(_key(f"{name}[{','.join(cell)}]" if cell else name))
        if not found:
            files = ", ".join(path.name for path in self._paths)
            raise Unservable(
                "it is a data variable without an equation, and "
                + (f"{files} has no values for it" if files else "no file with its values is given")
            )
        return found


def _columns(path: Path) -> dict[str, tuple[tuple[float, float], ...]]:
    try:
        text = path.read_text("utf-8-sig", errors="replace")
    except OSError as error:
        raise Unservable(f"{path.name} can't be read: {error.strerror}") from error
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return {}
    rows = list(csv.reader(lines, delimiter="\t" if "\t" in lines[0] else ","))
    if len(rows[0]) > 1 and _number(rows[0][1]) is not None:
        rows = [list(row) for row in zip_longest(*rows, fillvalue="")]
    columns = {}
    for i, name in enumerate(rows[0][1:], 1):
        cells = ((_number(row[0]), _number(row[i])) for row in rows[1:] if i < len(row))
        columns[_key(name)] = tuple(sorted((t, y) for t, y in cells if t is not None and y is not None))
    return columns


def _key(name: str) -> str:
    """Return the canonical name of a column; blanks beside commas and brackets don't count."""
    head, bracket, cell = canonical(name.replace('"', "")).partition("[")
    parts = [part.strip("_") for part in cell.rstrip("]_").split(",")]
    return f"{head.strip('_')}[{','.join(parts)}]" if bracket else head


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
