"""Lists of runs: which runs are asked for, in which order, and where a page of them begins.

How a store finds them is its own.
"""

import base64
import binascii
import math
from enum import StrEnum
from typing import Any, Final

import msgspec

from perdure.errors import Invalid
from perdure.lifecycle import RunStatus
from perdure.run import MAX_NAME, Run

__all__ = ["ALL", "Cursor", "Place", "RunFilter", "RunOrder", "bounds"]

Place = tuple[float | str, int]
"""A place in an order: what is ordered by, and the number of a run, which decides where that is equal."""

_LARGEST = (1 << 63) - 1
_AFTER_ALL_NAMES = "\U0010ffff" * (MAX_NAME + 1)


class RunOrder(StrEnum):
    """What runs are ordered by, as a request names it; with a minus, descending.

    Names are ordered by their code points. Runs that are equal by it are in the order of their creation.
    """

    CREATED = "created"
    NEWEST = "-created"
    UPDATED = "updated"
    LATEST = "-updated"
    NAME = "name"
    NAME_BACKWARDS = "-name"

    @property
    def descending(self) -> bool:
        """Whether the largest comes first."""
        return self.startswith("-")

    @property
    def field(self) -> str:
        """The field of a run that decides."""
        return self.removeprefix("-")

    def place(self, run: Run) -> Place:
        """Return where a run is in this order."""
        key = getattr(run, self.field)
        return (key if self.field == "name" else float(key)), run.number


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where in an order a page begins: behind this place.

    So a page is right whatever was added, changed or deleted since the one before.
    """

    order: RunOrder
    key: float | str
    number: int

    @classmethod
    def behind(cls, run: Run, order: RunOrder) -> "Cursor":
        """Return the cursor of the page that follows a run."""
        return cls(order, *order.place(run))

    @classmethod
    def parse(cls, text: str, order: RunOrder) -> "Cursor":
        """Read the text of a cursor; `Invalid` unless it is one of a list in this order."""
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            cursor = msgspec.msgpack.decode(base64.b64decode(padded, b"-_", validate=True), type=cls)
        except (UnicodeEncodeError, binascii.Error, msgspec.DecodeError):
            cursor = None
        if cursor is None or not cursor._is_place:
            raise Invalid(f"{text!r} is no cursor. Take the `next` of the page before, as it is.")
        if cursor.order is not order:
            raise Invalid(
                f"The cursor is of a list that is ordered by {cursor.order.value!r}, not {order.value!r}. "
                "Ask for the next page in the order of the first."
            )
        return cursor

    @property
    def text(self) -> str:
        """It as a text of ASCII letters, digits, ``-`` and ``_``, which says nothing to others."""
        return base64.urlsafe_b64encode(msgspec.msgpack.encode(self)).rstrip(b"=").decode()

    @property
    def _is_place(self) -> bool:
        named = isinstance(self.key, str)
        ordered = named == (self.order.field == "name") and (named or math.isfinite(float(self.key)))
        return ordered and 0 < self.number <= _LARGEST


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs are asked for: those that everything holds of that is given.

    Attributes
    ----------
    owner, kind
        Whose they are, and what drives them.
    states
        One of these is their state.
    tags
        They have all of these.
    name
        What their name begins with.
    text
        What is in their name or their id, whatever the case of ASCII letters.
    created_after, created_before, updated_after, updated_before
        Unix times, in seconds, that are themselves left out.
    """

    owner: str | None = None
    kind: str | None = None
    states: frozenset[RunStatus] | None = None
    tags: tuple[str, ...] = ()
    name: str | None = None
    text: str | None = None
    created_after: float | None = None
    created_before: float | None = None
    updated_after: float | None = None
    updated_before: float | None = None

    @property
    def folded(self) -> str | None:
        """The text to search for with its ASCII letters in lower case, as SQL's ``lower`` makes them."""
        if self.text is None:
            return None
        return self.text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


ALL: Final = RunFilter()
"""The filter of all runs."""


def bounds(filter: RunFilter, order: RunOrder, cursor: Cursor | None) -> tuple[Place, Place]:
    """Return two places of an order between which a page is: behind the one, before the other."""
    low: Any
    high: Any
    if order.field == "name":
        prefix = filter.name or ""
        low, high = (prefix, 0), (prefix + _AFTER_ALL_NAMES, 0)
    else:
        after, before = getattr(filter, f"{order.field}_after"), getattr(filter, f"{order.field}_before")
        low = (-math.inf, 0) if after is None else (float(after), _LARGEST)
        high = (math.inf, 0) if before is None else (float(before), 0)
    if cursor is None:
        return low, high
    place = cursor.key, cursor.number
    return (low, min(high, place)) if order.descending else (max(low, place), high)
