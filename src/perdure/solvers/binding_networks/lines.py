"""A line of a network as it was written, and what is wrong at a place in it.

What the line means is `grammar` (StableConfigs) and `counts` (stable_tbn).
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
    """A piece of a line without white space, and the column it begins at, from 1."""

    text: str
    column: int


class Line(msgspec.Struct, frozen=True):
    """A line: its raw text, its number from 1, and which text it is of."""

    text: str
    number: int
    part: Part

    @property
    def content(self) -> str:
        """The line up to its comment; what is left keeps its columns."""
        return self.text.partition(COMMENT)[0]

    def tokens(self) -> Iterator[Token]:
        """Yield the pieces of the line between white space, comments left out."""
        for found in re.finditer(r"\S+", self.content):
            yield Token(found.group(), found.start() + 1)

    def wrong(self, kind: type[NetworkError], column: int, **values: Any) -> NetworkError:
        """Return an error of a kind that knows this line and a column in it."""
        place = {"line": self.text, "part": str(self.part), "line_number": self.number, "column": column}
        return kind(**{**values, **place})
