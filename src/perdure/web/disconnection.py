"""The disconnection: how an answer that takes long learns that its client has gone."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
from starlette.types import Receive

__all__ = ["disconnected", "until_disconnected"]


async def disconnected(receive: Receive) -> None:
    """Return when the client has gone; the request's body has been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


@asynccontextmanager
async def until_disconnected(
    source: AsyncGenerator[Any, None], receive: Receive
) -> AsyncIterator[Callable[[], bool]]:
    """Close at the end what is sent to a client; yields a function that returns whether it has gone."""
    gone = asyncio.ensure_future(disconnected(receive))
    try:
        yield gone.done
    finally:
        with anyio.CancelScope(shield=True):
            gone.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await gone
            await source.aclose()
