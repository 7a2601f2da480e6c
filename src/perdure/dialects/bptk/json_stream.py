"""The JSON stream: a response generated in pieces, off the event loop, as fast as the client reads it.

A short one is an ordinary response. If a long one fails midway, the connection is closed, so that it isn't
taken for complete.
"""

from collections.abc import AsyncGenerator, Iterator

import anyio.to_thread
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from perdure.web.disconnection import until_disconnected

__all__ = ["json_answer", "off_loop"]

PIECE = 1 << 16  # bytes in a piece
JSON = "application/json"


async def json_answer(pieces: AsyncGenerator[bytes, None], receive: Receive) -> ASGIApp:
    """Return a response with pieces of JSON, which are closed at the end."""
    first = bytearray()
    async for piece in pieces:
        first += piece
        if len(first) >= PIECE:
            return _JsonStream(bytes(first), pieces, receive)
    return Response(bytes(first), media_type=JSON)


async def off_loop(pieces: Iterator[bytes], limiter: anyio.CapacityLimiter) -> AsyncGenerator[bytes, None]:
    """Yield the output of a blocking iterator, in pieces of a suitable size."""

    def more() -> bytes:
        data = bytearray()
        for piece in pieces:
            data += piece
            if len(data) >= PIECE:
                break
        return bytes(data)

    while data := await anyio.to_thread.run_sync(more, limiter=limiter):
        yield data


class _JsonStream:
    """An ASGI app that sends pieces until they end or the client disconnects."""

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None], receive: Receive) -> None:
        self._first = first
        self._rest = rest
        self._receive = receive

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with until_disconnected(self._rest, self._receive) as gone:
            headers = [(b"content-type", JSON.encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": self._first, "more_body": True})
            async for piece in self._rest:
                if gone():
                    return
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
