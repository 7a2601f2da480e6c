"""The order of commands: those with a lock in common are executed as they were submitted."""

from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from perdure.stores.chain import ChainLink
from perdure.stores.commands import Command
from perdure.stores.commands.locks import Lock

__all__ = ["Item", "Schedule"]

BATCH = 64  # items


@dataclass(slots=False, eq=False)
class Item:
    """A command that waits for its commit; `until` is when its submitter stops waiting for the database."""

    command: Command[Any]
    link: ChainLink | None
    until: float
    future: Future[Any] = field(default_factory=Future)
    blockers: int = 0  # earlier items that it waits for
    followers: list["Item"] = field(default_factory=list)

    @cached_property
    def locks(self) -> tuple[Lock, ...]:
        """The locks of the command."""
        return tuple(self.command.locks())


class Schedule:
    """Items that wait, are ready, or are being executed; only the loop of the writer uses it."""

    def __init__(self) -> None:
        self._last: dict[str, Item] = {}  # the last item with a lock, by the lock's name
        self._ready: deque[Item] = deque()

    @property
    def ready(self) -> bool:
        """Whether an item can be executed."""
        return bool(self._ready)

    def add(self, item: Item) -> None:
        """Add an item behind all earlier ones with which it has a lock in common.

        Those who share a lock don't wait for each other here, but in the database.
        """
        before: set[Item] = set()
        for lock in item.locks:
            if not lock.shared:
                last = self._last.get(lock.name)
                if last is not None:
                    before.add(last)
                self._last[lock.name] = item
        for earlier in before:
            earlier.followers.append(item)
        item.blockers = len(before)
        if not before:
            self._ready.append(item)

    def take(self) -> list[Item]:
        """Return a ready item, with those that wait for nothing but it: one transaction executes them all."""
        batch = [self._ready.popleft()]
        if batch[0].command.at_once:
            return batch
        met: Counter[Item] = Counter()
        for item in batch:
            for follower in item.followers:
                met[follower] += 1
                if met[follower] == follower.blockers and len(batch) < BATCH and not follower.command.at_once:
                    batch.append(follower)
        return batch

    def end(self, items: Sequence[Item]) -> None:
        """Remove items whose futures are resolved; what waited for them becomes ready."""
        ended = set(items)
        for item in items:
            for lock in item.locks:
                if self._last.get(lock.name) is item:
                    del self._last[lock.name]
            for follower in item.followers:
                follower.blockers -= 1
                if follower.blockers == 0 and follower not in ended:
                    self._ready.append(follower)
