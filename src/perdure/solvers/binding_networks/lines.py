"""A line of a network as it was written, and errors at a column of it.

`grammar` (StableConfigs) and `counts` (stable_tbn) interpret the line.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from perdure.errors import NetworkError

__all__ = ["Line", "Part", "Token"]

COMMENT = "#"


class Part(StrEnum):
    """Which of the two texts of a network a line belongs to."""

    MONOMERS = "monomers"
    CONSTRAINTS = "constraints"


class Token(NamedTuple):
    """A word of a line, and the column that it begins at, from 1."""

    text: str
    column: int


class Line(msgspec.Struct, frozen=True):
    """A line: its raw text, its number from 1, and the text that it belongs to."""

    text: str
    number: int
    part: Part

    @property
    def content(self) -> str:
        """The line up to its comment, with the same columns."""
        return self.text.partition(COMMENT)[0]

    def tokens(self) -> Iterator[Token]:
        """Yield the words of the line, without comments."""
        for found in re.finditer(r"\S+", self.content):
            yield Token(found.group(), found.start() + 1)

    def wrong(self, kind: type[NetworkError], column: int, **values: Any) -> NetworkError:
        """Return an error with this line and a column in it."""
        place = {"line": self.text, "part": str(self.part), "line_number": self.number, "column": column}
        return kind(**{**values, **place})
