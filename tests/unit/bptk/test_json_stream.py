"""A long answer is sent as it is written, ends with its client, and is broken off where it fails."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import anyio
import pytest
from starlette.responses import Response

from perdure.dialects.bptk import json_stream
from perdure.dialects.bptk.json_stream import json_answer, off_loop


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "PIECE", 4)


class Client:
    """Reads so many messages, then goes away."""

    def __init__(self, reads: int) -> None:
        self.reads = reads
        self.messages: list[Any] = []
        self.gone = asyncio.Event()

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.messages.append(message)
        if len(self.messages) == self.reads:
            self.gone.set()
            await asyncio.sleep(0)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)


def numbers(until: int, closed: list[bool], fails: bool = False) -> AsyncGenerator[bytes, None]:
    def written() -> Iterator[bytes]:
        for number in range(until):
            yield b"%d," % number
        if fails:
            raise ValueError("it can't be read")

    async def pieces() -> AsyncGenerator[bytes, None]:
        try:
            async for piece in off_loop(written(), anyio.CapacityLimiter(1)):
                yield piece
        finally:
            closed.append(True)

    return pieces()


def test_a_short_answer_is_an_ordinary_one() -> None:
    async def run() -> None:
        closed: list[bool] = []
        answer = await json_answer(numbers(1, closed), Client(1).receive)
        assert isinstance(answer, Response)
        assert (answer.body, answer.headers["content-length"]) == (b"0,", "2")
        with pytest.raises(ValueError, match="it can't be read"):  # told with its status
            await json_answer(numbers(1, closed, fails=True), Client(1).receive)
        assert closed == [True, True]

    asyncio.run(run())


def test_a_long_answer_is_sent_in_pieces() -> None:
    async def run() -> None:
        closed: list[bool] = []
        client = Client(1_000)
        await (await json_answer(numbers(50, closed), client.receive))({}, client.receive, client.send)
        assert client.body == b"".join(b"%d," % number for number in range(50))
        assert len(client.messages) > 10
        assert client.messages[-1].get("more_body", False) is False
        assert closed == [True]

    asyncio.run(run())


def test_it_ends_with_its_client_and_is_broken_off_where_it_fails() -> None:
    async def run() -> None:
        closed: list[bool] = []
        client = Client(4)
        await (await json_answer(numbers(10**6, closed), client.receive))({}, client.receive, client.send)
        assert len(client.messages) < 10
        client = Client(1_000)
        answer = await json_answer(numbers(50, closed, fails=True), client.receive)
        with pytest.raises(ValueError, match="it can't be read"):
            await answer({}, client.receive, client.send)
        assert client.messages[-1]["more_body"] is True  # the server ends the connection
        assert closed == [True, True]

    asyncio.run(run())
