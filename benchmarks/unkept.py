"""The baseline of durable steps: the same server on a store that answers each step and keeps none of them.

``python -m benchmarks.unkept`` serves the models of the benchmarks so.
"""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import models
from benchmarks.servers import Server, started
from perdure.api.app import create_app
from perdure.api.server import run_app
from perdure.observability import configure_logging
from perdure.run import Step
from perdure.settings import Settings
from perdure.stores.chain import Chain
from perdure.stores.commands import Append, Appended, Command
from perdure.stores.memory import MemoryStore

__all__ = ["serving"]

R = TypeVar("R")


class UnkeptSteps(MemoryStore):
    """A store that answers each append at once and forgets it; all else is kept in memory."""

    def submit(self, command: Command[R], chain: Chain | None = None) -> Future[R]:
        """Answer as if the entries of an append were kept."""
        if not isinstance(command, Append):
            return super().submit(command, chain)
        answer: Future[Any] = Future()
        answer.set_result(
            Appended(
                tuple(
                    Step(position=at, inputs=entry.inputs, outputs=entry.outputs)
                    for at, entry in enumerate(command.entries, command.position + 1)
                )
            )
        )
        return answer


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Run the server for as long as the context lasts."""
    with started(["-m", "benchmarks.unkept"], folder, {"PERDURE_LOG_LEVEL": "WARNING"}) as server:
        yield server


def _serve() -> None:
    given: dict[str, Any] = {"store": "memory://", "port": 0}
    settings = Settings(**given)
    configure_logging(settings.log_level, as_json=settings.log_json)
    app = create_app(UnkeptSteps(), models.catalogue(), settings)
    run_app(app, settings, settings.host, settings.port, lambda url, _: print(url, flush=True))


if __name__ == "__main__":
    _serve()
