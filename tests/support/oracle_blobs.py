"""The blobs of the oracle, which its savepoints name; whoever calls holds the store's lock."""

import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import count
from typing import Any

from perdure.errors import ArtifactsUnavailable
from perdure.stores.commands import Blob, ForgetBlobs, SweepBlobs, UseBlobs

__all__ = ["KeptBlobs"]


@dataclass(slots=True)
class _Kept:
    owner: str
    hash: str
    used: float
    stored: bool = False
    dying: bool = False


class KeptBlobs:
    """The blobs by their numbers.

    Parameters
    ----------
    named
        Returns the numbers that savepoints name.
    """

    def __init__(self, named: Callable[[], Collection[int]]) -> None:
        self._named = named
        self._kept: dict[int, _Kept] = {}
        self._numbers = count(secrets.randbits(52))  # no other store has them
        self._named_before: set[int] = set()

    def execute(self, command: Any) -> Any:
        """Do what a command says."""
        now = time.time()
        self._let_go(now)
        match command:
            case UseBlobs(owner=owner, contents=contents):
                return [self._use(owner, digest, now) for digest, _ in contents]
            case SweepBlobs(seconds=seconds):
                for number, kept in self._kept.items():
                    if kept.used <= now - seconds and number not in self._named_before:
                        kept.dying = True
                return [self._blob(number) for number, kept in self._kept.items() if kept.dying]
            case ForgetBlobs(numbers=numbers):
                for number in numbers:
                    self._kept.pop(number, None)
                return None
        raise AssertionError(f"no such command: {command}")

    def check(self, numbers: Collection[int]) -> None:
        """Raise `ArtifactsUnavailable` unless a savepoint may name these."""
        if any(number not in self._kept or self._kept[number].dying for number in numbers):
            raise ArtifactsUnavailable(reason="the files of a savepoint took more than an hour to be stored")

    def name(self, numbers: Collection[int]) -> None:
        """Note that the objects of blobs that a savepoint names are there."""
        for number in numbers:
            self._kept[number].stored = True

    def _use(self, owner: str, digest: str, now: float) -> Blob:
        for number, kept in self._kept.items():
            if (kept.owner, kept.hash) == (owner, digest) and not kept.dying:
                kept.used = now
                return self._blob(number)
        number = next(self._numbers)
        self._kept[number] = _Kept(owner, digest, now)
        return self._blob(number)

    def _let_go(self, now: float) -> None:
        """Begin the hour of those that no savepoint names any more."""
        named = {*self._named()}
        for number in (self._named_before - named) & self._kept.keys():
            self._kept[number].used = now
        self._named_before = named

    def _blob(self, number: int) -> Blob:
        kept = self._kept[number]
        return Blob(number, kept.owner, kept.hash, kept.stored)
