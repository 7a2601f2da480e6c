"""The chain: the steps of one request. After one that fails, no later one is executed.

Without it, a later step could match the position of the log by chance after another writer has moved it on.
"""

import copy
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from threading import Lock
from typing import Any, TypeVar

from perdure.errors import PositionConflict
from perdure.stores.commands import Appended

__all__ = ["Chain", "ChainLink"]

R = TypeVar("R")
T = TypeVar("T")


class Chain:
    """The appends of one request, in the order in which they are submitted; safe in any thread."""

    def __init__(self) -> None:
        self._numbers = count()
        self._lock = Lock()
        self._broken: tuple[int, BaseException] | None = (
            None  # number of the first failed link, and its error
        )

    def link(self) -> "ChainLink":
        """Return the link of the next append; the store calls this when the append is submitted."""
        return ChainLink(self, next(self._numbers))

    def check(self, number: int) -> None:
        """Raise a copy of the error of an earlier link that failed, if one did."""
        with self._lock:
            broken = self._broken
        if broken is not None and broken[0] < number:
            raise _copied(broken[1])

    def break_at(self, number: int, why: BaseException) -> None:
        """Refuse all appends after `number`; those before it are still executed."""
        with self._lock:
            if self._broken is None or number < self._broken[0]:
                self._broken = number, why


class ChainLink:
    """An append's position in its chain.

    A store executes the append with `do` and has the link follow its future.
    """

    def __init__(self, chain: Chain, number: int) -> None:
        self._chain = chain
        self._number = number

    def do(self, append: Callable[[], tuple[R, T]]) -> tuple[R, T]:
        """Execute the append unless an earlier one failed. A replayed append counts as failed for later ones.

        If this raises, call `fail` or resolve the future before the next append, or execute the append again.
        """
        self._chain.check(self._number)
        appended, changes = append()
        if isinstance(appended, Appended) and appended.replayed:
            why = "A step before this one was answered from its key, so this one was not taken."
            self._chain.break_at(self._number, PositionConflict(why))
        return appended, changes

    def fail(self, error: BaseException) -> None:
        """Refuse the later appends, since this one was refused."""
        self._chain.break_at(self._number, error)

    def follow(self, future: Future[Any]) -> None:
        """Refuse the later appends if this one's future fails or is cancelled."""
        future.add_done_callback(self._ended)

    def _ended(self, future: Future[Any]) -> None:
        if future.cancelled():
            why = "A step before this one was cancelled, so this one was not taken."
            self._chain.break_at(self._number, PositionConflict(why))
        elif (error := future.exception()) is not None:
            self.fail(error)


def _copied(error: BaseException) -> BaseException:
    """Return a copy of an error: its receiver may change it, and its traceback."""
    try:
        return copy.copy(error)
    except Exception:  # it can't be constructed from its own arguments
        return PositionConflict(f"A step before this one was not taken: {error}")
