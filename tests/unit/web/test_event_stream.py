"""An event stream ends with its source, its client or the server, and closes its source each time."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from perdure.web import events
from perdure.web.events import EventStream


class Source:
    """Events as they are put; None ends them."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.closed = False

    async def stream(self) -> AsyncGenerator[bytes, None]:
        try:
            while (text := await self.queue.get()) is not None:
                yield text
        finally:
            self.closed = True


class Client:
    """The other end of a stream."""

    def __init__(self) -> None:
        self.leaving = asyncio.Event()
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receive(self) -> dict[str, Any]:
        await self.leaving.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.sent.put(message)

    async def body(self) -> bytes:
        message = await self.sent.get()
        if message["type"] == "http.response.start":
            assert dict(message["headers"])[b"content-type"] == b"text/event-stream"
            return await self.body()
        part: bytes = message["body"]
        return part


async def started(source: Source, closing: asyncio.Event) -> tuple[Client, asyncio.Task[None]]:
    client = Client()
    stream = EventStream(source.stream(), closing)
    task = asyncio.create_task(stream({}, client.receive, client.send))
    source.queue.put_nowait(b"first")
    assert await client.body() == b"first"
    return client, task


def test_it_ends_with_its_source() -> None:
    async def main() -> None:
        source = Source()
        client, task = await started(source, asyncio.Event())
        source.queue.put_nowait(None)
        await task
        assert await client.body() == b""
        assert source.closed

    asyncio.run(main())


def test_it_ends_with_the_server() -> None:
    async def main() -> None:
        source, closing = Source(), asyncio.Event()
        client, task = await started(source, closing)
        closing.set()
        await task
        assert await client.body() == b""
        assert source.closed

    asyncio.run(main())


def test_it_ends_with_its_client() -> None:
    async def main() -> None:
        source = Source()
        client, task = await started(source, asyncio.Event())
        client.leaving.set()
        await task
        assert source.closed

    asyncio.run(main())


def test_it_ends_with_the_login_that_it_is_read_by() -> None:
    async def main() -> None:
        source, client = Source(), Client()
        stream = EventStream(source.stream(), asyncio.Event(), first=b"first", expires=0.0)
        await stream({}, client.receive, client.send)
        assert [await client.body() for _ in range(2)] == [b"first", b""]

    asyncio.run(main())


def test_it_closes_its_source_when_it_is_cancelled() -> None:
    async def main() -> None:
        source = Source()
        _, task = await started(source, asyncio.Event())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert source.closed

    asyncio.run(main())


def test_a_source_that_fails_breaks_it_off() -> None:
    async def failing() -> AsyncGenerator[bytes, None]:
        yield b"first"
        raise RuntimeError("damaged")

    async def main() -> None:
        client = Client()
        with pytest.raises(RuntimeError, match="damaged"):
            await EventStream(failing(), asyncio.Event())({}, client.receive, client.send)

    asyncio.run(main())


def test_it_sends_comments_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_SECONDS", 0.01)

    async def main() -> None:
        source = Source()
        client, task = await started(source, asyncio.Event())
        assert [await client.body() for _ in range(3)] == [b": keep-alive\n\n"] * 3
        source.queue.put_nowait(b"second")
        while (part := await client.body()) != b"second":
            assert part == b": keep-alive\n\n"
        client.leaving.set()
        await task

    asyncio.run(main())
