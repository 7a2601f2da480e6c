"""A lean HTTP client: it sends ready-made requests over connections that stay open, and counts the answers.

General clients need more time for a request than the measured server does, so that they would be measured.
"""

import asyncio
import itertools
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from benchmarks.errors import BenchmarkFailed

__all__ = ["Address", "drive", "load", "post"]

TIME_OUT = 120  # seconds

Address = tuple[str, int]
"""Host and port."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


def post(path: str, **headers: str) -> bytes:
    """Return a POST request without a body, as bytes; ``_`` in a header's name stands for ``-``."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Length: 0"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def drive(address: Address, clients: Sequence[Iterator[bytes]]) -> int:
    """Let each client send its requests one after the other; return how many were answered."""
    async with asyncio.timeout(TIME_OUT):
        return (await _run([address], clients, None)).answers


async def load(
    addresses: Sequence[Address], clients: Sequence[Iterator[bytes]], warm_up: float, seconds: float
) -> float:
    """Let clients send requests for a while after a warm-up, each to one server, whose turn it is.

    Returns the answers a second.
    """
    loop = asyncio.get_running_loop()
    tally = _Tally()
    marks: list[tuple[int, float]] = []

    def mark() -> None:
        marks.append((tally.answers, time.perf_counter()))

    loop.call_later(warm_up, mark)
    loop.call_later(warm_up + seconds, mark)
    loop.call_later(warm_up + seconds, tally.stop)
    async with asyncio.timeout(warm_up + seconds + TIME_OUT):
        await _run(addresses, clients, tally)
    if len(marks) < 2:
        raise BenchmarkFailed("the clients had sent all their requests before the time was over")
    (before, begun), (after, ended) = marks
    return (after - before) / (ended - begun)


@dataclass
class _Tally:
    answers: int = 0
    stopped: bool = False

    def stop(self) -> None:
        self.stopped = True


async def _run(
    addresses: Sequence[Address], clients: Sequence[Iterator[bytes]], tally: _Tally | None
) -> _Tally:
    counted = tally or _Tally()
    turns = zip(itertools.cycle(addresses), clients)
    await asyncio.gather(*(_send_all(address, requests, counted) for address, requests in turns))
    return counted


async def _send_all(address: Address, requests: Iterator[bytes], tally: _Tally) -> None:
    """Send a client's requests, over a new connection whenever the server closes one."""
    loop = asyncio.get_running_loop()
    done = False
    while not done:
        _, connection = await loop.create_connection(partial(_Connection, requests, tally), *address)
        done = await connection.ended


class _Connection(asyncio.Protocol):
    """One connection, which sends its next request when the last was answered.

    `ended` tells whether all requests were sent; if not, the server closes the connection after an answer.
    """

    def __init__(self, requests: Iterator[bytes], tally: _Tally) -> None:
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._tally = tally
        self._received = b""
        self._size = 0  # of the answer that is being received; 0 while its headers aren't all there
        self._closes = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._size:
            headers, end, _ = self._received.partition(b"\r\n\r\n")
            if not end:
                return
            length = _LENGTH.search(headers)
            if length is None:
                self._end(BenchmarkFailed("an answer has no Content-Length"))
                return
            self._size = len(headers) + len(end) + int(length[1])
            self._closes = _CLOSES.search(headers) is not None
        if len(self._received) < self._size:
            return
        if self._received[8:13] != b" 200 ":
            self._end(BenchmarkFailed(self._received.decode("latin-1")))
            return
        self._received, self._size = b"", 0
        self._tally.answers += 1
        if self._closes:
            self._end(False)
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(BenchmarkFailed(f"the server closed a connection: {exc}"))

    def _send(self) -> None:
        assert self._transport is not None
        request = None if self._tally.stopped else next(self._requests, None)
        if request is None:
            self._end(True)
        else:
            self._transport.write(request)

    def _end(self, outcome: bool | BenchmarkFailed) -> None:
        if not self.ended.done():
            if isinstance(outcome, bool):
                self.ended.set_result(outcome)
            else:
                self.ended.set_exception(outcome)
        if self._transport is not None:
            self._transport.close()
