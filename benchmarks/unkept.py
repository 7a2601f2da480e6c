"""The baseline of durable steps: the same server on a store that answers each step and keeps none of them.

``python -m benchmarks.unkept`` serves the models of the benchmarks so.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import models
from benchmarks.servers import Server, started
from perdure.api.app import create_app
from perdure.api.server import run_app
from perdure.observability import configure_logging
from perdure.run import Change, Entry, Step
from perdure.settings import Settings
from perdure.state.savepoint import Savepoint
from perdure.stores.base import Appended, Chain
from perdure.stores.memory import MemoryStore

__all__ = ["serving"]


class UnkeptSteps(MemoryStore):
    """A store that answers each append at once and forgets it; all else is kept in memory."""

    def append(
        self,
        run_id: str,
        fence: int,
        position: int,
        entries: Sequence[Entry],
        savepoint: Savepoint | None = None,
        change: Change | None = None,
        chain: Chain | None = None,
    ) -> Future[Appended]:
        """Answer as if the entries were appended."""
        answer: Future[Appended] = Future()
        answer.set_result(
            Appended(
                tuple(
                    Step(position=at, inputs=entry.inputs, outputs=entry.outputs)
                    for at, entry in enumerate(entries, position + 1)
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
