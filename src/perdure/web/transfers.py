"""Transfers: files up and down, streamed, with the storage's waiting kept off the event loop."""

import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, closing
from functools import partial
from typing import IO, TypeVar
from urllib.parse import quote

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import StreamingResponse

__all__ = ["Transfers", "download", "media_type"]

THREADS = 16
IN_MEMORY = 1_000_000  # bytes of an upload; what is more waits on the disk

OCTETS = "application/octet-stream"
TEXT = "text/plain; charset=utf-8"

_TYPES: Mapping[str, str] = {
    **dict.fromkeys(("cfg", "ini", "log", "md", "py", "toml", "txt", "yaml", "yml"), TEXT),
    "csv": "text/csv; charset=utf-8",
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "png": "image/png",
    "zip": "application/zip",
}

T = TypeVar("T")


class Transfers:
    """The threads in which files are moved; a slow storage keeps nobody else waiting."""

    def __init__(self) -> None:
        self._limiter = anyio.CapacityLimiter(THREADS)

    async def run(self, work: Callable[[], T]) -> T:
        """Do work that waits for the storage."""
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)

    @asynccontextmanager
    async def received(self, request: Request) -> AsyncIterator[IO[bytes]]:
        """Yield the body of a request as a file that is gone afterwards.

        Raises
        ------
        ClientDisconnect
            If the client went away.
        """
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
            waiting = bytearray()
            async for chunk in request.stream():
                waiting += chunk
                if len(waiting) >= IN_MEMORY:
                    part = bytes(waiting)
                    waiting.clear()
                    await self.run(partial(file.write, part))
            await self.run(partial(file.write, bytes(waiting)))
            file.seek(0)
            yield file

    async def streamed(self, chunks: Generator[bytes, None, None]) -> AsyncGenerator[bytes, None]:
        """Return what yields the same; its first part has been read, so that no answer is begun in vain."""
        first = await self.run(partial(next, chunks, None))

        async def stream() -> AsyncGenerator[bytes, None]:
            with closing(chunks):
                chunk = first
                while chunk is not None:
                    if chunk:
                        yield chunk
                    chunk = await self.run(partial(next, chunks, None))

        return stream()


def download(
    chunks: AsyncGenerator[bytes, None], name: str, headers: Mapping[str, str] | None = None
) -> StreamingResponse:
    """Return the answer that gives a browser a file to keep, and nothing to run or to show as a page.

    Parameters
    ----------
    name
        What the file is called; only what follows the last slash counts.
    headers
        Further headers.
    """
    name = name.rpartition("/")[2]
    exact = quote(name, safe="")
    plain = "".join(it if it.isascii() and it.isprintable() and it not in '"\\%' else "_" for it in name)
    return StreamingResponse(
        chunks,
        media_type=media_type(name),
        headers={
            # RFC 6266: the first for old clients, the second exact.
            "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
            **(headers or {}),
        },
    )


def media_type(name: str) -> str:
    """Return the media type of a file by its ending; of nothing that a browser would run."""
    return _TYPES.get(name.rpartition(".")[2].lower(), OCTETS)
