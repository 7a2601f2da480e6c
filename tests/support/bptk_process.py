"""BPTK servers in processes of their own, which start fast: they are forked from one that imported all."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
from tests.support.forked import context
from tests.support.models import catalogue

from perdure.api.bptk_server import BptkServer
from perdure.api.server import serve
from perdure.dialects.bptk.external_state import FileAdapter
from perdure.observability import configure_logging
from perdure.settings import Settings

DURABLE = (
    "files",
    "compressed files",
    "externalized",
    "externalized, compressed",
    "perdure serve",
)


class BptkProcess:
    """A server on a free port whose state is in a folder, to be killed and started again."""

    def __init__(self, configuration: str, folder: Path) -> None:
        self._given = configuration, folder
        self.starts = 0
        self.start()

    def start(self) -> None:
        """Start it; it answers when this returns."""
        told, tells = context.Pipe(duplex=False)
        self._process = context.Process(target=_serve, args=(*self._given, tells))
        self._process.start()
        tells.close()
        try:
            url = told.recv()
        except BaseException:
            self._end()
            raise
        finally:
            told.close()
        self.client = httpx.Client(base_url=url, timeout=240)
        self.starts += 1

    def kill(self) -> None:
        """End it as a crash does."""
        self.client.close()
        self._end()

    def _end(self) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()


@contextmanager
def bptk_process(configuration: str, folder: Path) -> Iterator[BptkProcess]:
    """Yield a server that is gone afterwards."""
    process = BptkProcess(configuration, folder)
    try:
        yield process
    finally:
        process.kill()


def _serve(configuration: str, folder: Path, tells: Connection) -> None:
    configure_logging("WARNING", as_json=True)
    if configuration == "perdure serve":
        store = f"sqlite:///{folder}/perdure.db"
        settings = Settings(port=0, store=store, savepoint_every=3)
        serve(catalogue(), settings, announce=lambda told: tells.send(_url_of(told)))
        return
    (folder / "state").mkdir(exist_ok=True)
    server = BptkServer(
        "tests",
        catalogue,
        external_state_adapter=FileAdapter("compressed" in configuration, str(folder / "state")),
        externalize_state_completely="externalized" in configuration,
    )
    server.run(port=0, announce=lambda told: tells.send(_url_of(told)))


def _url_of(told: str) -> str:
    found = re.search(r"http://[^\s]+", told)
    assert found is not None, told
    return found[0]
