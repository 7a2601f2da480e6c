"""Spreadsheets and tables that a Vensim model reads constants, data, lookups and subscripts from.

A place is what Vensim's ``GET DIRECT …`` and ``GET XLS …`` functions take: a file, a tab, and cells as ``B5``
or as the name of a range. In a text file the tab is the separator. Rows and columns count from 0 here.
"""

import csv
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from perdure.engines.system_dynamics.sources.beside import file_beside
from perdure.engines.system_dynamics.sources.problems import Unservable

__all__ = ["Block", "Series", "Spreadsheets"]

_CELL = re.compile(r"\$?([A-Za-z]{1,3})\$?([1-9]\d{0,8})")
_RANGE = re.compile(rf"{_CELL.pattern}(?::{_CELL.pattern})?")
_NUMBER = re.compile(r"\d{1,9}")
_MAX_READ = 2_000_000
"""Cells of a range; a column of a sheet has about a million."""

_COLUMN = re.compile(r"[A-Za-z]{1,3}")

Value = str | float | None


class Block(NamedTuple):
    """A rectangle of cells; `rows` or `columns` is None if it goes on to the end of the sheet."""

    row: int
    column: int
    rows: int | None
    columns: int | None


class Series(NamedTuple):
    """Numbers x in ascending order and, for each variable, its y at each x; nan where a cell is empty."""

    x: tuple[float, ...]
    ys: tuple[tuple[float, ...], ...]


class Sheet(Protocol):
    """One tab."""

    @property
    def height(self) -> int:
        """The number of rows."""
        ...

    @property
    def width(self) -> int:
        """The number of columns."""
        ...

    def value(self, row: int, column: int) -> Value:
        """Return the value of a cell; None if it is empty."""
        ...

    def named(self, name: str) -> str | None:
        """Return the cells of a named range, as ``$A$1:$B$2``; None if there is none in this tab."""
        ...


@dataclass(frozen=True, slots=True)
class _Grid:
    """A tab whose cells have been read."""

    rows: Sequence[Sequence[Any]]
    names: dict[str, str] = field(default_factory=dict)

    @property
    def height(self) -> int:
        return len(self.rows)

    @property
    def width(self) -> int:
        return max(map(len, self.rows), default=0)

    def value(self, row: int, column: int) -> Value:
        if row >= len(self.rows) or column >= len(self.rows[row]):
            return None
        value = self.rows[row][column]
        if value is None or value == "":
            return None
        return float(value) if isinstance(value, int | float) else str(value)

    def named(self, name: str) -> str | None:
        return self.names.get(name.casefold())


class Spreadsheets:
    """The files that one model reads, each opened once.

    Parameters
    ----------
    folder
        The folder of the model, where the names of files begin.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sheets: dict[tuple[str, str], Sheet] = {}

    def constants(self, file: str, tab: str, cell: str, shape: Sequence[int]) -> list[float]:
        """Return the numbers of an array with the given lengths, in the order of its cells.

        A vector is a row, a matrix has its last dimension to the right; with a ``*`` after the cell both are
        transposed. Dimensions of length 1 don't count.
        """
        sheet = self._sheet(file, tab)
        sizes = [size for size in shape if size > 1]
        if len(sizes) > 2:
            raise Unservable(f"cells hold two dimensions at most, not {len(sizes)}")
        transposed = cell.endswith("*") and bool(sizes)
        rows, columns = [1] * (2 - len(sizes)) + sizes
        block = _placed(sheet, cell.rstrip("*"), *((columns, rows) if transposed else (rows, columns)))
        table = _numbers(sheet, block)
        if transposed:
            table = [list(column) for column in zip(*table, strict=True)]
        if any(math.isnan(value) for row in table for value in row):
            raise Unservable(f"a cell of {file!r}, {tab!r}, {cell!r} is empty or holds no number")
        return [value for row in table for value in row]

    def series(self, file: str, tab: str, x: str, cell: str, count: int) -> Series:
        """Return `count` series over the numbers x.

        `x` is the number of a row, the letters of a column or the name of a range; the series begin at `cell`
        and are parallel to it.
        """
        sheet = self._sheet(file, tab)
        if _NUMBER.fullmatch(x):
            corner = _corner(cell)
            xs = _numbers(sheet, Block(int(x) - 1, corner[1], 1, None))[0]
            ys = _numbers(sheet, Block(*corner, count, len(xs)))
        elif _COLUMN.fullmatch(x) and _CELL.fullmatch(cell):
            corner = _corner(cell)
            xs = [row[0] for row in _numbers(sheet, Block(corner[0], _column(x), None, 1))]
            ys = _columns(_numbers(sheet, Block(*corner, len(xs), count)))
        else:
            line, block = _named(sheet, x), _named(sheet, cell)
            table = _numbers(sheet, block)
            if line.rows == 1:
                (xs,), ys = _numbers(sheet, line), table
            else:
                xs, ys = [row[0] for row in _numbers(sheet, line)], _columns(table)
            if len(ys) != count or any(len(y) != len(xs) for y in ys):
                raise Unservable(f"the ranges {x!r} and {cell!r} don't fit each other, or the {count} series")
        return _sorted_series(xs, ys, f"{file!r}, {tab!r}, {x!r}")

    def names(self, file: str, tab: str, first: str, last: str, prefix: str) -> list[str]:
        """Return the elements of a subscript range, from the cell `first` to `last`, with a prefix each.

        `last` is a cell, a row, a column or nothing, which means as far as the sheet goes.
        """
        sheet = self._sheet(file, tab)
        if not _CELL.fullmatch(first):
            block = _named(sheet, first)
        else:
            row, column = _corner(first)
            rows = columns = None
            if _CELL.fullmatch(last):
                bottom, right = _corner(last)
                rows, columns = bottom - row + 1, right - column + 1
            elif _NUMBER.fullmatch(last):
                rows = int(last) - row
            elif _COLUMN.fullmatch(last):
                columns = _column(last) - column + 1
            elif last:
                raise Unservable(f"{last!r} is no cell, no row and no column")
            block = Block(row, column, rows, columns)
        values = [value for row in _values(sheet, block) for value in row if value is not None]
        return [prefix + (value if isinstance(value, str) else f"{value:g}") for value in values]

    def _sheet(self, file: str, tab: str) -> Sheet:
        if (file, tab) not in self._sheets:
            self._sheets[file, tab] = self._opened(file, tab)
        return self._sheets[file, tab]

    def _opened(self, file: str, tab: str) -> Sheet:
        if file.startswith("?"):
            raise Unservable(f"the file {file!r} stands for a name that Vensim asks for")
        path = file_beside(self.folder, file)
        if path is None:
            raise Unservable(f"there is no file {file!r} beside the model")
        suffix = path.suffix.lower()
        reader: Callable[[Path, str], Sheet] = _READERS.get(suffix, _text)
        try:
            return reader(path, tab)
        except Unservable:
            raise
        except Exception as error:
            raise Unservable(f"{file!r} can't be read: {error}") from error


# Files ------------------------------------------------------------------------------------------------------


def _openpyxl(path: Path, tab: str) -> Sheet:
    from openpyxl import load_workbook

    book = load_workbook(path, data_only=True)
    try:
        sheet = book[_tab(book.sheetnames, tab, path)]
        names: dict[str, str] = {}
        for known in (book.defined_names, sheet.defined_names):
            for name, defined in known.items():
                for title, cells in defined.destinations:
                    if title.casefold() == sheet.title.casefold():
                        names[name.casefold()] = cells
        return _Grid([[cell.value for cell in row] for row in sheet.iter_rows()], names)
    finally:
        book.close()


def _xlrd(path: Path, tab: str) -> Sheet:
    import xlrd

    with xlrd.open_workbook(str(path)) as book:
        sheet = book.sheet_by_name(_tab(book.sheet_names(), tab, path))
        names: dict[str, str] = {}
        for named in book.name_obj_list:
            place = re.fullmatch(r"'?([^'!]*)'?!(.*)", named.formula_text or "")
            if place and place[1].casefold() == sheet.name.casefold():
                names[named.name.casefold()] = place[2]
        return _Grid([sheet.row_values(row) for row in range(sheet.nrows)], names)


def _text(path: Path, tab: str) -> Sheet:
    separator = "," if path.suffix.lower() == ".csv" else "\t"
    if tab and not tab[0].isalnum():
        separator = {"\\t": "\t"}.get(tab, tab)
    with path.open(newline="", encoding="utf-8-sig") as lines:
        return _Grid([[_value(text) for text in row] for row in csv.reader(lines, delimiter=separator)])


_READERS: dict[str, Callable[[Path, str], Sheet]] = {
    ".xls": _xlrd,
    ".xlsx": _openpyxl,
    ".xlsm": _openpyxl,
    ".xltx": _openpyxl,
    ".xltm": _openpyxl,
}


def _tab(names: Sequence[str], tab: str, path: Path) -> str:
    for name in names:
        if name.casefold() == tab.casefold():
            return name
    raise Unservable(f"{path.name!r} has no tab {tab!r}, but {', '.join(map(repr, names))}")


def _value(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text.strip()


# Cells ------------------------------------------------------------------------------------------------------


def _column(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def _corner(cell: str) -> tuple[int, int]:
    found = _CELL.fullmatch(cell)
    if not found:
        raise Unservable(f"{cell!r} is no cell, such as B5")
    return int(found[2]) - 1, _column(found[1])


def _placed(sheet: Sheet, cell: str, rows: int, columns: int) -> Block:
    if _CELL.fullmatch(cell):
        return Block(*_corner(cell), rows, columns)
    block = _named(sheet, cell)
    if (block.rows, block.columns) != (rows, columns):
        raise Unservable(
            f"the range {cell!r} has {block.rows}x{block.columns} cells, the variable {rows}x{columns}"
        )
    return block


def _named(sheet: Sheet, name: str) -> Block:
    found = _RANGE.fullmatch(cells) if (cells := sheet.named(name)) else None
    if not found:
        raise Unservable(f"{name!r} is neither a cell nor the name of a range in that tab")
    row, column = int(found[2]) - 1, _column(found[1])
    bottom = int(found[4]) - 1 if found[4] else row
    right = _column(found[3]) if found[3] else column
    return Block(row, column, bottom - row + 1, right - column + 1)


def _values(sheet: Sheet, block: Block) -> list[list[Value]]:
    rows = max(sheet.height - block.row, 0) if block.rows is None else block.rows
    columns = max(sheet.width - block.column, 0) if block.columns is None else block.columns
    if rows * columns > _MAX_READ:
        raise Unservable(f"a range has {rows}x{columns} cells; {_MAX_READ} are allowed")
    return [
        [sheet.value(block.row + row, block.column + column) for column in range(columns)]
        for row in range(rows)
    ]


def _numbers(sheet: Sheet, block: Block) -> list[list[float]]:
    return [
        [value if isinstance(value, float) else math.nan for value in row] for row in _values(sheet, block)
    ]


def _columns(table: list[list[float]]) -> list[list[float]]:
    return [list(column) for column in zip(*table, strict=True)]


def _sorted_series(xs: list[float], ys: list[list[float]], where: str) -> Series:
    """Return the series in ascending order of x, without the places that have no x."""
    order = sorted((i for i in range(len(xs)) if not math.isnan(xs[i])), key=lambda i: xs[i])
    if not order:
        raise Unservable(f"{where} holds no numbers")
    sorted_xs = tuple(xs[i] for i in order)
    if any(a == b for a, b in pairwise(sorted_xs)):
        raise Unservable(f"{where} holds a number twice")
    return Series(sorted_xs, tuple(tuple(y[i] for i in order) for y in ys))
