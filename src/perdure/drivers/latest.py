"""The latest commit of a run: what a reader of events gets, however slow it is."""

import asyncio

from perdure.lifecycle import FINAL
from perdure.stores.base import Committed

__all__ = ["Latest"]


class Latest:
    """Holds the newest commit that wasn't taken yet; older ones are passed over."""

    def __init__(self) -> None:
        self._newest: Committed | None = None
        self._waiting = asyncio.Event()

    def put(self, commit: Committed) -> None:
        """Offer a commit; it is passed over if it is none the newer for what was told before."""
        told = self._newest
        if told is None or (commit != told and _rank(commit) >= _rank(told)):
            self._newest = commit
            self._waiting.set()

    async def take(self) -> Committed:
        """Wait for a commit newer than the one taken last."""
        await self._waiting.wait()
        self._waiting.clear()
        assert self._newest is not None, "it is set before the event"
        return self._newest


def _rank(commit: Committed) -> tuple[bool, bool, int]:
    return commit.deleted, commit.state in FINAL, commit.position
