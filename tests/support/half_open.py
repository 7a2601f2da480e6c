"""A proxy between clients and a server that loses connections in every way a network does."""

import asyncio
import threading
from pathlib import Path

__all__ = ["Proxy"]


class Proxy:
    """Forwards connections from one Unix socket to another, in a thread of its own.

    Parameters
    ----------
    path, target
        The sockets of the proxy and of the server.
    """

    def __init__(self, path: Path, target: Path) -> None:
        self._path = path
        self._target = target
        self._silent = False
        self._drops: bytes | None = None
        self._dropped = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), name="proxy")
        self._thread.start()
        started.wait()

    def close(self) -> None:
        """End all connections and the thread."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def silence(self, silent: bool = True) -> None:
        """Keep all connections open, but pass nothing on, in neither direction; or pass on again."""
        self._silent = silent

    def drop_answer_to(self, sent: bytes) -> None:
        """Pass on the next message of a client that contains some bytes, and then end its connection.

        The server receives and executes the message; its answer is lost.
        """
        self._dropped.clear()
        self._drops = sent

    def dropped(self, seconds: float) -> bool:
        """Wait until that has happened; return whether it did."""
        return self._dropped.wait(seconds)

    async def _serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_unix_server(self._connected, self._path)
        self._path.chmod(0o777)
        started.set()
        await self._stop.wait()
        server.close()
        for writer in tuple(self._writers):
            writer.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            to_reader, to_writer = await asyncio.open_unix_connection(self._target)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, to_writer}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._forward(reader, to_writer, to_reader, writer))
                tasks.create_task(self._pass(to_reader, writer))
        except* (OSError, _Dropped):
            pass
        finally:
            for each in (writer, to_writer):
                each.close()
                self._writers.discard(each)

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        to_writer: asyncio.StreamWriter,
        to_reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        while data := await reader.read(1 << 16):
            await self._while_silent()
            drops = self._drops is not None and self._drops in data
            if drops:
                self._drops = None
                writer.close()  # before the answer can come
            to_writer.write(data)
            await to_writer.drain()
            if drops:
                self._dropped.set()
                await asyncio.sleep(0.2)  # the server executes it
                raise _Dropped
        raise _Dropped

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            await self._while_silent()
            writer.write(data)
            await writer.drain()
        raise _Dropped

    async def _while_silent(self) -> None:
        while self._silent:
            await asyncio.sleep(0.02)


class _Dropped(Exception):
    """A connection ended."""
