"""An instance that can't be read: it is stopped and expires like any other, and keeps nobody back."""

import asyncio

import pytest
from tests.support.bptk_dialect import LASTING, Clock, begun, dialect_on

from perdure.dialects.bptk.instance import DIALECT, Instance
from perdure.dialects.bptk.instance_sessions import InstanceSessions
from perdure.dialects.bptk.timeouts import checked_timeout
from perdure.errors import CorruptBlob, InstanceNotFound, TooMany
from perdure.state.codec import encode
from perdure.stores.commands import Document, PutDocument
from perdure.stores.memory import MemoryStore

pytestmark = pytest.mark.usefixtures("no_background")

DAMAGED = [
    pytest.param(b"garbage", id="no blob"),
    pytest.param(encode({"id": "x"}), id="fields missing"),
    pytest.param(encode([1, 2]), id="a list"),
    pytest.param(encode({"id": 1, "owner": "ada"}), id="a field of another kind"),
]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def damage(store: MemoryStore, instance: str, blob: bytes) -> None:
    kept = store.document(DIALECT, instance)
    assert kept is not None
    store.submit(PutDocument(DIALECT, instance, blob, kept.version, kept.use)).result()


async def swept(dialect: InstanceSessions) -> None:
    await dialect._instances._rows.look()
    await dialect._instances.sweep()


@pytest.mark.parametrize("blob", DAMAGED)
def test_a_document_that_holds_no_instance_is_corrupt(blob: bytes) -> None:
    with pytest.raises(CorruptBlob):
        Instance.of(Document("id", blob, 1))


@pytest.mark.parametrize("blob", DAMAGED)
def test_a_damaged_instance_expires_and_so_does_what_is_due_behind_it(clock: Clock, blob: bytes) -> None:
    async def run() -> None:
        store = MemoryStore()
        async with dialect_on(store, clock, max_instances=2) as dialect:
            first, second = await begun(dialect, seconds=10), await begun(dialect, seconds=10)
            damage(store, first, blob)
            await swept(dialect)
            clock.now += 5.0
            with pytest.raises(InstanceNotFound):  # to ask for it lets nothing begin anew
                await dialect.log("ada", first)
            await swept(dialect)
            assert set(store.uses(DIALECT)) == {first, second}
            clock.now += 6.0
            await swept(dialect)
            assert store.uses(DIALECT) == {}
            assert len(await dialect.start("ada", 2, LASTING)) == 2

    asyncio.run(run())


@pytest.mark.parametrize("blob", DAMAGED)
def test_a_damaged_instance_is_stopped_by_its_owner_alone(clock: Clock, blob: bytes) -> None:
    async def run() -> None:
        store = MemoryStore()
        async with dialect_on(store, clock, max_instances=1) as dialect:
            instance = await begun(dialect)
            damage(store, instance, blob)
            await dialect.stop("bob", instance)
            assert set(store.uses(DIALECT)) == {instance}
            with pytest.raises(TooMany):
                await dialect.start("ada", 1, LASTING)
            await dialect.stop("ada", instance)
            assert store.uses(DIALECT) == {}
            assert len(await dialect.start("ada", 1, LASTING)) == 1

    asyncio.run(run())


def test_a_damaged_instance_that_another_server_still_steps_does_not_expire(clock: Clock) -> None:
    async def run() -> None:
        store = MemoryStore()
        async with dialect_on(store, clock) as one:
            (instance,) = await one.start("ada", 1, checked_timeout({"seconds": 10}))
            damage(store, instance, b"garbage")
            await swept(one)
            async with dialect_on(store, clock) as other:
                clock.now += 20.0
                kept = store.document(DIALECT, instance)
                assert kept is not None and kept.use is not None
                used = other._instances._rows.use(
                    Instance(id=instance, owner="ada", timeout=dict(LASTING), accessed=clock.now)
                )
                store.submit(PutDocument(DIALECT, instance, b"garbage", kept.version, used)).result()
                await one._instances.sweep()
                assert set(store.uses(DIALECT)) == {instance}

    asyncio.run(run())
