"""The bare route: the least that a durable step over HTTP can cost with the same libraries.

A plain Starlette route decodes its body with msgspec, one thread commits what waits together to SQLite, and
the answer leaves after the commit. It has no tokens, no origins, no sessions, no engines and no log lines.
``python -m benchmarks.bare`` serves it.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.servers import Server, started

__all__ = ["new_session", "serving"]


class Step(msgspec.Struct, frozen=True):
    """A request: how many steps."""

    steps: int = 1


class Log:
    """A step log in an SQLite file, which one thread writes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._waiting: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]]] = queue.SimpleQueue()
        threading.Thread(target=self._write, daemon=True).start()

    def append(self, entry: bytes) -> asyncio.Future[None]:
        """Return what ends when an entry is durable."""
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put((entry, durable))
        return durable

    def _write(self) -> None:
        database = sqlite3.connect(self._file, isolation_level=None)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE IF NOT EXISTS log (number INTEGER PRIMARY KEY, entry BLOB)")
        while True:
            items = [self._waiting.get()]
            while not self._waiting.empty():
                items.append(self._waiting.get())
            database.execute("BEGIN")
            database.executemany("INSERT INTO log (entry) VALUES (?)", [(entry,) for entry, _ in items])
            database.execute("COMMIT")
            items[0][1].get_loop().call_soon_threadsafe(_resolve, [durable for _, durable in items])


def _resolve(waiting: list[asyncio.Future[None]]) -> None:
    for one in waiting:
        if not one.done():
            one.set_result(None)


def new_session(server: Server) -> str:
    """Return the path to which steps are posted."""
    return "/runs/bare/steps"


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Run the server for as long as the context lasts."""
    with started(["-m", "benchmarks.bare"], folder) as server:
        yield server


def _serve() -> None:
    log = Log(Path("bare.db"))
    decoder, encoder = msgspec.json.Decoder(Step), msgspec.json.Encoder()

    async def step(request: Request) -> Response:
        body = await request.body()
        asked = decoder.decode(body) if body else Step()
        answer = {"run": request.path_params["run"], "steps": [{"step": asked.steps, "results": {"a": 1.5}}]}
        entry = msgspec.msgpack.encode(answer)
        await log.append(entry)
        return Response(encoder.encode(answer), media_type="application/json")

    class Announced(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            print(f"http://{host}:{port}", flush=True)

    app = Starlette(routes=[Route("/runs/{run}/steps", step, methods=["POST"])])
    config = uvicorn.Config(app, port=0, log_level="warning", access_log=False, lifespan="off")
    Announced(config).run()


if __name__ == "__main__":
    _serve()
