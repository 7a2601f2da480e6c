"""Lists of runs: filter, order, and the cursor at which a page begins.

Each store implements the search itself.
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

__all__ = ["ALL", "Cursor", "OrderPosition", "RunFilter", "RunOrder", "bounds"]

OrderPosition = tuple[float | str, int]
"""A position in an order: the value of the compared field, and the number of the run, which breaks ties."""

_LARGEST = (1 << 63) - 1
_AFTER_ALL_NAMES = "\U0010ffff" * (MAX_NAME + 1)


class RunOrder(StrEnum):
    """The field by which runs are ordered, as requests name it; with a minus, descending.

    Names are ordered by their code points. Runs with equal values are in the order of their creation.
    """

    CREATED = "created"
    NEWEST = "-created"
    UPDATED = "updated"
    LATEST = "-updated"
    NAME = "name"
    NAME_BACKWARDS = "-name"

    @property
    def descending(self) -> bool:
        """Whether the largest value comes first."""
        return self.startswith("-")

    @property
    def field(self) -> str:
        """The field of a run that is compared."""
        return self.removeprefix("-")

    def position_of(self, run: Run) -> OrderPosition:
        """Return the position of a run in this order."""
        key = getattr(run, self.field)
        return (key if self.field == "name" else float(key)), run.number


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """The position in an order after which a page begins.

    So a page is correct whatever was added, changed or deleted since the previous one.
    """

    order: RunOrder
    key: float | str
    number: int

    @classmethod
    def behind(cls, run: Run, order: RunOrder) -> "Cursor":
        """Return the cursor of the page that follows a run."""
        return cls(order, *order.position_of(run))

    @classmethod
    def parse(cls, text: str, order: RunOrder) -> "Cursor":
        """Read the text of a cursor; raise `Invalid` unless it belongs to a list in this order."""
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            cursor = msgspec.msgpack.decode(base64.b64decode(padded, b"-_", validate=True), type=cls)
        except (UnicodeEncodeError, binascii.Error, msgspec.DecodeError):
            cursor = None
        if cursor is None or not cursor._is_valid:
            raise Invalid(f"{text!r} is no cursor. Take the `next` of the previous page unchanged.")
        if cursor.order is not order:
            raise Invalid(
                f"The cursor belongs to a list ordered by {cursor.order.value!r}, not {order.value!r}. "
                "Request the next page with the order of the first."
            )
        return cursor

    @property
    def text(self) -> str:
        """The cursor as an opaque text of ASCII letters, digits, ``-`` and ``_``."""
        return base64.urlsafe_b64encode(msgspec.msgpack.encode(self)).rstrip(b"=").decode()

    @property
    def _is_valid(self) -> bool:
        named = isinstance(self.key, str)
        ordered = named == (self.order.field == "name") and (named or math.isfinite(float(self.key)))
        return ordered and 0 < self.number <= _LARGEST


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs a list contains: those that match every field that is set.

    Attributes
    ----------
    owner, kind
        The owner and the kind of a run.
    states
        A run is in one of these states.
    tags
        A run has all of these tags.
    name
        The beginning of a run's name.
    text
        Part of a run's name or id; the case of ASCII letters is ignored.
    created_after, created_before, updated_after, updated_before
        Unix times in seconds, exclusive.
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
        """The text to search for, with ASCII letters in lower case as SQL's ``lower`` makes them."""
        if self.text is None:
            return None
        return self.text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


ALL: Final = RunFilter()
"""The filter of all runs."""


def bounds(filter: RunFilter, order: RunOrder, cursor: Cursor | None) -> tuple[OrderPosition, OrderPosition]:
    """Return the two positions between which a page lies, both exclusive."""
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
