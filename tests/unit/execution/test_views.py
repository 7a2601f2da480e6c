"""Views of runs: made while somebody watches, at most four times a second, and of no other use."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from perdure.execution import views
from perdure.execution.conversation import Conversation
from perdure.execution.messages import Show
from perdure.execution.views import EVERY, StoredView, Viewing, forget_views, newest_view, watch
from perdure.run import Execution, Run
from perdure.stores.commands import CreateRun, DeleteRun, PutDocument
from perdure.stores.memory import MemoryStore

RUN = Execution(run_id="run", kind="experiment", owner="me", fence=7)


class Child:
    """A child that answers each request for a view at once, with a number; or never."""

    def __init__(self, answers: bool = True) -> None:
        self.views: asyncio.Queue[bytes] = asyncio.Queue(1)
        self.asked: list[float] = []
        self._answers = answers

    def send(self, message: object) -> None:
        assert message == Show()
        self.asked.append(time.monotonic())
        if self._answers:
            self.views.put_nowait(str(len(self.asked)).encode())


class Watched(MemoryStore):
    """A store that counts how often somebody has asked whether a run is watched."""

    looks = 0

    def document(self, dialect: str, id: str) -> Any:
        self.looks += dialect == "watched"
        return super().document(dialect, id)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setattr(views, "LOOK", 0.01)
    made = Watched()
    made.submit(CreateRun(Run(id="run", kind="experiment", owner="me", spec=b"", created=0, updated=0)))
    yield made
    made.close()


async def seen(store: Watched, child: Child, until: Any) -> None:
    """Let a worker look after views until something is so."""
    viewing = asyncio.create_task(Viewing(store, RUN, cast(Conversation, child)).run())
    try:
        while not until():
            await asyncio.sleep(0.005)
            assert not viewing.done(), viewing.exception()
    finally:
        viewing.cancel()
        await asyncio.wait({viewing})


def test_a_child_is_never_asked_while_nobody_watches(store: Watched) -> None:
    child = Child()
    asyncio.run(seen(store, child, lambda: store.looks >= 5))
    assert child.asked == []
    assert newest_view(store, "run") is None


def test_views_are_kept_while_somebody_watches_four_times_a_second_at_most(store: Watched) -> None:
    child = Child()

    async def watched() -> None:
        await watch(store, "run")
        await seen(store, child, lambda: newest_view(store, "run") == StoredView(7, b"3"))

    asyncio.run(watched())
    assert child.asked[2] - child.asked[0] >= 2 * EVERY


def test_who_watches_on_and_on_writes_seldom(store: Watched) -> None:
    async def watched() -> None:
        for _ in range(20):
            await watch(store, "run")

    asyncio.run(watched())
    kept = store.document("watched", "run")
    assert kept.version == store.submit(PutDocument("other", "x", b"", None)).result().version - 1


def test_a_time_of_another_clock_lets_nobody_watch(store: Watched) -> None:
    late = views.msgspec.msgpack.encode(store.clock() + 1000)
    store.submit(PutDocument("watched", "run", late, None)).result()
    child = Child()
    asyncio.run(seen(store, child, lambda: store.looks >= 5))
    assert child.asked == []
    asyncio.run(watch(store, "run"))
    asyncio.run(seen(store, child, lambda: child.asked))


def test_a_child_that_stands_still_is_asked_once(store: Watched) -> None:
    child = Child(answers=False)

    async def watched() -> None:
        await watch(store, "run")
        await seen(store, child, lambda: store.looks >= 8)

    asyncio.run(watched())
    assert len(child.asked) == 1


def test_views_are_forgotten_with_their_run(store: Watched) -> None:
    async def watched() -> None:
        await watch(store, "run")
        await seen(store, Child(), lambda: newest_view(store, "run"))
        await forget_views(store, "run")
        await forget_views(store, "run")

    asyncio.run(watched())
    assert [store.documents(dialect) for dialect in ("watched", "views")] == [[], []]


def test_who_watches_a_run_that_is_deleted_meanwhile_leaves_nothing(store: Watched) -> None:
    store.submit(DeleteRun("run")).result()
    asyncio.run(watch(store, "run"))
    assert store.documents("watched") == []


@pytest.mark.parametrize("blob", [b"", b"x", b"\xc1"])
def test_what_is_no_view_is_none(store: Watched, blob: bytes) -> None:
    store.submit(PutDocument("views", "run", blob, None)).result()
    assert newest_view(store, "run") is None
