"""What the tests' servers serve, and how such a server is started: a real process on a free port."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from tests.support.forked import Forked
from tests.support.small import bath

from perdure.api.server import serve
from perdure.engines.system_dynamics import Model
from perdure.observability import configure_logging
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.schemes import socket_path

ROOT = Path(__file__).parents[2]
JSON = {"Content-Type": "application/json"}


def extremes() -> Model:
    """Make a model that leaves the finite numbers, and one value that needs all 17 digits."""
    model = Model(starttime=0.0, stoptime=6.0, dt=1.0, name="extremes")
    growing = model.stock("growing")
    growing.initial_value = 1e200
    growing.equation = growing * 1e60
    third = model.converter("third")
    third.equation = growing / 3.0
    return model


def catalogue() -> Catalogue:
    """Return a bath tub with points, names that are hard to write in a URL, and extreme values."""
    made = Catalogue()
    model = bath()
    model.points["curve"] = [[0.0, 0.0], [10.0, 1.0]]
    made.register_model(
        model, scenario_manager="bath", scenario={"base": {}, "full": {"constants": {"tap": 9.0}}}
    )
    made.register_model(bath(stoptime=5.0), scenario_manager="Ж/ü %2F", scenario={"1": {}, "a/b": {}})
    made.register_model(extremes(), scenario_manager="extremes")
    return made


@dataclass(frozen=True)
class Served:
    """A server process: where it answers, and what it has printed goes to `log`."""

    url: str
    process: Forked
    administrator: Path | None
    log: Path

    def announced(self) -> str:
        """Return the lines that it printed after the first, once it answered; to be asked for once."""
        lines = []
        while not lines or "routes:" not in lines[-1]:
            lines.append(self.process.stdout.readline())
        return "".join(lines)

    def client(self, token: str | None = None) -> httpx.Client:
        """Return a client; whoever asks for it closes it."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=240)


@contextmanager
def served(
    folder: Path, store: str | None = None, *, cwd: Path = ROOT, **settings: object
) -> Iterator[Served]:
    """Run a server in a process of its own, and end it with SIGTERM if it hasn't ended by then."""
    url = store or f"sqlite:///{folder}/perdure.db"
    environment = {f"PERDURE_{name.upper()}": str(value) for name, value in settings.items()}
    log = folder / "server.log"
    process = Forked(
        main,
        folder=cwd,
        environment={
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "PERDURE_STORE": url,
            **environment,
        },
        errors=log,
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("Perdure serves http://"), f"{line}\n{log.read_text()}"
        yield Served(line.split()[2], process, socket_path(url), log)
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        finally:
            process.kill()  # does nothing unless it is hanging
            process.wait()
            process.stdout.close()


def main() -> None:
    """Serve with the settings of the environment; a warning is an error."""
    warnings.simplefilter("error")
    configure_logging("INFO", as_json=True)
    serve(catalogue(), Settings(port=0), announce=lambda told: print(told, flush=True))
