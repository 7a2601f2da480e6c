"""A server that starts or ends writes all instances at once, and the store makes them durable together."""

import asyncio
from concurrent.futures import Future
from typing import Any

import pytest
from tests.support.bptk_dialect import LASTING, Clock, dialect_on

from perdure.dialects.bptk.instance import DIALECT, Instance
from perdure.stores.commands import PutDocument, Touch
from perdure.stores.memory import MemoryStore

pytestmark = pytest.mark.usefixtures("no_background")

MANY = 40
SOON = 20.0  # seconds after which a test gives up


class Together(MemoryStore):
    """Executes the writes of instances only when so many are there as a test expects."""

    def __init__(self) -> None:
        super().__init__()
        self.expected = 0
        self._waiting: list[tuple[Any, Future[Any]]] = []

    def submit(self, command: Any, chain: Any = None) -> Any:
        if not self.expected or not isinstance(command, PutDocument | Touch):
            return super().submit(command, chain)
        answer: Future[Any] = Future()
        self._waiting.append((command, answer))
        if len(self._waiting) == self.expected:
            self.expected = 0
            for waiting, waits in self._waiting:
                waits.set_result(super().submit(waiting).result())
        return answer


def test_the_uses_that_a_server_has_not_written_are_written_at_once_when_it_ends() -> None:
    async def run() -> None:
        store, clock = Together(), Clock()
        async with asyncio.timeout(SOON):
            async with dialect_on(store, clock) as dialect:
                ids = await dialect.start("ada", MANY, LASTING)
                clock.now += 1.0
                for instance in ids:
                    await dialect._instances.on("ada", instance, nothing)
                store.expected = MANY
        assert {use.accessed for use in store.uses(DIALECT).values()} == {clock.now}
        assert len(store.uses(DIALECT)) == MANY

    asyncio.run(run())


def test_instances_of_a_former_release_are_adopted_at_once_when_a_server_starts() -> None:
    async def run() -> None:
        store, clock = Together(), Clock()
        for number in range(MANY):
            instance = Instance(id=f"{number:032x}", owner="ada", timeout=LASTING, accessed=clock.now)
            store.submit(PutDocument(DIALECT, instance.id, instance.to_blob(), None)).result()
        store.expected = MANY
        async with asyncio.timeout(SOON), dialect_on(store, clock):
            assert len(store.uses(DIALECT)) == MANY

    asyncio.run(run())


async def nothing(instance: Instance) -> None:
    """Do nothing with an instance, which is a use of it."""
