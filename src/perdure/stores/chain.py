"""The chain: the steps of one request, of which none is done after one that wasn't.

Without it, a later one could fit by chance where somebody else has moved the log on.
"""

import copy
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from threading import Lock
from typing import Any, TypeVar

from perdure.errors import PositionConflict
from perdure.stores.commands import Appended

__all__ = ["Chain", "Link"]

R = TypeVar("R")
T = TypeVar("T")


class Chain:
    """The appends of one request, in the order in which the store is given them; safe in any thread."""

    def __init__(self) -> None:
        self._numbers = count()
        self._lock = Lock()
        self._broken: tuple[int, BaseException] | None = None  # the first link that wasn't done, and why

    def link(self) -> "Link":
        """Return the next append's place; a store asks for it when it is given the append."""
        return Link(self, next(self._numbers))

    def check(self, number: int) -> None:
        """Raise why an append isn't done, if one before it wasn't: an error of its own for each."""
        with self._lock:
            broken = self._broken
        if broken is not None and broken[0] < number:
            raise _copied(broken[1])

    def break_at(self, number: int, why: BaseException) -> None:
        """Refuse all appends after one; those before it are still done."""
        with self._lock:
            if self._broken is None or number < self._broken[0]:
                self._broken = number, why


class Link:
    """An append's place in its chain: a store does it by `do`, and lets the link follow its future."""

    def __init__(self, chain: Chain, number: int) -> None:
        self._chain = chain
        self._number = number

    def do(self, append: Callable[[], tuple[R, T]]) -> tuple[R, T]:
        """Do the append unless one before it wasn't done; its answer when its key is known counts as none.

        If this raises, call `fail` or resolve the future before the next one, or do the append once more.
        """
        self._chain.check(self._number)
        appended, changes = append()
        if isinstance(appended, Appended) and appended.replayed:
            why = "A step before this one was answered from its key, so this one was not taken."
            self._chain.break_at(self._number, PositionConflict(why))
        return appended, changes

    def fail(self, error: BaseException) -> None:
        """Refuse the later ones: this one was refused."""
        self._chain.break_at(self._number, error)

    def follow(self, future: Future[Any]) -> None:
        """Refuse the later ones if this one gets no answer: its commit failed, or it was cancelled."""
        future.add_done_callback(self._ended)

    def _ended(self, future: Future[Any]) -> None:
        if future.cancelled():
            why = "A step before this one was cancelled, so this one was not taken."
            self._chain.break_at(self._number, PositionConflict(why))
        elif (error := future.exception()) is not None:
            self.fail(error)


def _copied(error: BaseException) -> BaseException:
    """Return an error of the same kind and message: whoever catches one may change it, and its traceback."""
    try:
        return copy.copy(error)
    except Exception:  # one that can't be made of its own arguments
        return PositionConflict(f"A step before this one was not taken: {error}")
