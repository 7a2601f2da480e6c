"""Workers that share a store say what they lack, so that a run can say what nobody has."""

import asyncio
import re
import secrets
import threading
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests.support.deaf import DeafStore
from tests.support.in_process import in_process

from perdure.errors import StoreUnavailable
from perdure.execution import local, presence
from perdure.execution.body import Body
from perdure.execution.local import LocalExecutor
from perdure.execution.presence import Announcement, Presence, Workers
from perdure.execution.unplaced import Unplaced
from perdure.settings import Settings
from perdure.stores.base import Store
from perdure.stores.commands import Command, PutDocument
from perdure.stores.memory import MemoryStore
from perdure.stores.queue import ANY_TAG, QueueGroup
from perdure.testing.executors import WAIT, Trial

BODY = "perdure.testing.bodies:run"


class SharedStore(DeafStore):
    """A store that another process uses, too."""

    shared = True


@pytest.fixture
def store() -> SharedStore:
    return SharedStore(MemoryStore())


@pytest.fixture(autouse=True)
def read_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "FRESH", 0.0)


def announced(
    store: Store, lacks: dict[str, dict[str, str]], *tags: str, **slots: dict[str, int]
) -> Announcement:
    announcement = Announcement(store, secrets.token_hex(4))
    announcement.put(Presence(lacks, tags or (ANY_TAG,), **slots))
    return announcement


def test_where_nobody_else_can_be_what_this_process_lacks_counts() -> None:
    workers = Workers(MemoryStore())
    assert workers.lack("task", "gpu", (), "It has no GPU.") == "It has no GPU."
    assert workers.lack("task", "", (), "") == ""


def test_a_run_lacks_what_all_workers_for_it_lack(store: SharedStore) -> None:
    workers = Workers(store)
    announced(store, {"task": {"gpu": "It has no GPU."}})
    assert workers.lack("task", "gpu", (), "") == "It has no GPU."
    assert workers.lack("task", "cpu", (), "It has no task.") == ""  # of this process, which is no worker
    able = announced(store, {"task": {}}, "big")
    assert workers.lack("task", "gpu", ("big", "red"), "") == ""
    assert workers.lack("task", "gpu", ("red",), "") == "It has no GPU."
    able.withdraw()
    assert workers.lack("task", "gpu", ("big",), "") == "It has no GPU."


def test_a_run_without_any_worker_for_it_says_so(store: SharedStore) -> None:
    workers = Workers(store)
    announced(store, {"experiment": {}}, "red")
    for kind, tags in (("task", ("red",)), ("experiment", ("blue",)), ("experiment", ())):
        assert "No worker for its kind and tags is running." in workers.lack(kind, "", tags, "")
    assert workers.lack("experiment", "", ("red",), "") == ""


def test_a_worker_that_was_killed_does_not_count_for_long(
    store: SharedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = Workers(store)
    monkeypatch.setattr(presence, "LASTS", -1.0)
    killed = announced(store, {"task": {}})
    assert "No worker" in workers.lack("task", "", (), "")
    monkeypatch.undo()
    announced(store, {"task": {}}).withdraw()  # which removes what is left
    assert store.documents(presence.DIALECT) == []
    killed.put(Presence({"task": {}}, [ANY_TAG]))  # it wasn't killed but frozen
    assert Workers(store).lack("task", "", (), "") == ""


def test_a_worker_stays_present_after_a_put_whose_outcome_it_did_not_hear(store: SharedStore) -> None:
    worker = announced(store, {"task": {"gpu": "It has no GPU."}})
    (before,) = store.documents(presence.DIALECT)
    put = PutDocument(presence.DIALECT, before.id, before.blob, before.version)
    store.submit(put).result(WAIT)  # which it takes for failed
    for _ in range(2):
        worker.put(Presence({"task": {}}, [ANY_TAG]))
        assert Workers(store).lack("task", "gpu", (), "") == ""
    assert len(store.documents(presence.DIALECT)) == 1


def test_an_announcement_that_fails_is_repeated_after_the_usual_time_and_not_at_each_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "ANNOUNCE", 3600.0)
    enough = threading.Event()

    class Refusing(SharedStore):
        looks = tries = 0

        def waiting_groups(self, tags: Collection[str]) -> Sequence[QueueGroup]:
            self.looks += 1
            if self.looks > 5:
                enough.set()
            return self.store.waiting_groups(tags)

        def submit(self, command: Command[Any]) -> Future[Any]:
            if isinstance(command, PutDocument):
                self.tries += 1
                raise StoreUnavailable(reason="its disk is full")
            return self.store.submit(command)

    store = Refusing(MemoryStore())

    async def work() -> None:
        async with LocalExecutor(store, {"task": Body(path=BODY)}, identity=secrets.token_hex(4), every=0.01):
            assert await asyncio.to_thread(enough.wait, WAIT)

    asyncio.run(work())
    assert store.tries == 1


def test_what_another_version_has_written_is_ignored(store: SharedStore) -> None:
    announced(store, {"task": {}})
    put = PutDocument(presence.DIALECT, "another", b"\xc1", None)
    store.submit(put).result(WAIT)
    assert Workers(store).lack("task", "", (), "") == ""


def test_workers_announce_what_they_lack_while_they_work(store: SharedStore) -> None:
    def worker(lacks: str) -> LocalExecutor:
        body = Body(path=BODY, lacks=lambda needs: lacks if needs else "")
        return LocalExecutor(store, {"task": body}, identity=secrets.token_hex(4), every=0.05)

    async def work() -> None:
        workers = Workers(store)

        async def until(said: str) -> None:
            async with asyncio.timeout(WAIT):
                while await asyncio.to_thread(workers.lack, "task", "gpu", (), "") != said:
                    await asyncio.sleep(0.01)

        async with AsyncExitStack() as stack:
            unable = await stack.enter_async_context(worker("It has no GPU."))
            trial = Trial(store, unable)
            trial.create(needs="gpu", do="echo", value=1)
            await until("It has no GPU.")
            async with worker(""):
                await until("")
                await trial.until_final()
        assert store.documents(presence.DIALECT) == []

    asyncio.run(work())


def test_autoscalers_read_the_queue_and_the_slots_of_all_workers() -> None:
    store = SharedStore(MemoryStore())
    trial = Trial(store, Unplaced(store))
    for number, tags in enumerate(((), ("gpu",), ("gpu", "big"))):
        trial.create(f"run-{number}", tags=tags, do="echo", value=1)
    announced(store, {}, "gpu", slots={"task": 4}, busy={"task": 1})
    announced(store, {}, "gpu", "big", slots={"task": 2}, busy={"task": 3})
    announced(store, {}, slots={"task": 8, "experiment": 16})
    settings = Settings(store="memory://", artifacts_shared=True)
    with in_process(settings, store, executor=Unplaced(store)) as client:
        text = client.get("/metrics").text
    samples = dict(
        line.rsplit(" ", 1)
        for line in text.splitlines()
        if line.startswith(("perdure_queue_waiting{", "perdure_worker_slots{"))
    )
    assert {name: float(value) for name, value in samples.items()} == {
        'perdure_queue_waiting{kind="task",tag=""}': 3,
        'perdure_queue_waiting{kind="task",tag="gpu"}': 2,
        'perdure_queue_waiting{kind="task",tag="big"}': 1,
        'perdure_queue_waiting{kind="experiment",tag=""}': 0,
        'perdure_worker_slots{kind="task",state="busy",tag="gpu"}': 3,
        'perdure_worker_slots{kind="task",state="free",tag="gpu"}': 3,
        'perdure_worker_slots{kind="task",state="busy",tag="big"}': 2,
        'perdure_worker_slots{kind="task",state="free",tag="big"}': 0,
        'perdure_worker_slots{kind="task",state="busy",tag=""}': 0,
        'perdure_worker_slots{kind="task",state="free",tag=""}': 8,
        'perdure_worker_slots{kind="experiment",state="busy",tag=""}': 0,
        'perdure_worker_slots{kind="experiment",state="free",tag=""}': 16,
    }
    waited = re.search(r'perdure_queue_oldest_seconds\{kind="task",tag="gpu"\} (\S+)', text)
    assert waited is not None and 0 <= float(waited[1]) < 2 * WAIT


def test_a_server_with_a_worker_of_its_own_shows_its_slots() -> None:
    with in_process(Settings(store="memory://", max_task_processes=3)) as client:
        text = client.get("/metrics").text
        assert 'perdure_worker_slots{kind="task",state="free",tag=""} 3.0' in text
        assert 'perdure_worker_slots{kind="task",state="busy",tag=""} 0.0' in text
