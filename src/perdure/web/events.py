"""Server-sent events: a stream that stays open, and ends cleanly with its client, its source or the server.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import suppress

import anyio
from starlette.types import Receive, Scope, Send

from perdure.web.disconnection import disconnected

__all__ = ["EventStream", "event"]

KEEP_ALIVE_SECONDS = 15.0
_KEEP_ALIVE = b": keep-alive\n\n"


def event(kind: str, identifier: int | str, data: bytes) -> bytes:
    """Return one event as bytes; none of them has line breaks."""
    return b"event: %b\nid: %b\ndata: %b\n\n" % (kind.encode(), str(identifier).encode(), data)


class EventStream:
    """An ASGI app that sends events until they end, the client or its login goes away or the server closes.

    Parameters
    ----------
    events
        What is sent, each as `event` makes it; closed at the end.
    closing
        Set when the server closes.
    first
        Sent before them.
    expires
        When the login ends that the client may read it by; Unix time, in seconds. None is never.
    """

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        closing: asyncio.Event,
        *,
        first: bytes = b"",
        expires: float | None = None,
    ) -> None:
        self._events = events
        self._closing = closing
        self._first = first
        self._expires = expires

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        upcoming = asyncio.ensure_future(anext(self._events, None))
        ends = {asyncio.ensure_future(self._closing.wait()), asyncio.ensure_future(disconnected(receive))}
        if self._expires is not None:
            ends.add(asyncio.ensure_future(asyncio.sleep(max(0.0, self._expires - time.time()))))
        try:
            headers = [
                (b"content-type", b"text/event-stream"),
                (b"cache-control", b"no-store"),
                (b"x-accel-buffering", b"no"),  # nginx would hold events back until there are many
            ]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if self._first:
                await send({"type": "http.response.body", "body": self._first, "more_body": True})
            while True:
                done, _ = await asyncio.wait(
                    {upcoming, *ends}, timeout=KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if upcoming in done:
                    text = upcoming.result()
                    if text is None:
                        break
                    await send({"type": "http.response.body", "body": text, "more_body": True})
                    upcoming = asyncio.ensure_future(anext(self._events, None))
                elif done:
                    break
                else:
                    await send({"type": "http.response.body", "body": _KEEP_ALIVE, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            with anyio.CancelScope(shield=True):
                for task in (upcoming, *ends):
                    task.cancel()
                    with suppress(asyncio.CancelledError, Exception):
                        await task
                await self._events.aclose()
