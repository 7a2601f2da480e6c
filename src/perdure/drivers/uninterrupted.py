"""Work that is done to its end, even if the caller is cancelled meanwhile."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import structlog

__all__ = ["Uninterrupted", "uninterrupted"]

T = TypeVar("T")
P = ParamSpec("P")

log = structlog.get_logger(__name__)


class Uninterrupted:
    """What is under way, each in a task of its own; its owner waits for all of it at the end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do the work, and return what it comes to if the caller is still there."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    async def wait(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("request_failed", error=str(error))  # the caller may be gone


class _Worker(Protocol):
    """Whose methods are done to their end."""

    @property
    def _uninterrupted(self) -> Uninterrupted: ...


W = TypeVar("W", bound=_Worker)


def uninterrupted(
    method: Callable[Concatenate[W, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[W, P], Coroutine[Any, Any, T]]:
    """Let a method be done to its end by the `Uninterrupted` of its object."""

    @wraps(method)
    async def done(self: W, /, *given: P.args, **named: P.kwargs) -> T:
        return await self._uninterrupted.do(method(self, *given, **named))

    return done
