"""Celery with a real broker: what wakes a worker, what monitors see, and which faults break nothing."""

import asyncio
import pickle
import re
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from structlog.testing import capture_logs
from tests.support.brokers import RedisServer, free_ports, redis_server
from tests.support.deaf import DeafStore
from tests.support.in_process import TASKS, in_process

from perdure import supervision
from perdure.errors import Invalid, MissingExtra
from perdure.execution import announcer, broker, celery_worker
from perdure.execution.announcer import Announcer
from perdure.execution.body import Body
from perdure.execution.broker import celery_app, exchange
from perdure.execution.celery_executor import CeleryExecutor
from perdure.execution.celery_worker import CeleryWorker
from perdure.execution.executor import Executor
from perdure.execution.local import LocalExecutor
from perdure.lifecycle import Outcome
from perdure.observability import Metrics
from perdure.settings import Settings
from perdure.stores.base import Store
from perdure.stores.commands import Lease
from perdure.stores.memory import MemoryStore
from perdure.stores.sqlite import SqliteStore
from perdure.testing.executors import BODIES, WAIT, ExecutorConformance, Trial
from perdure.worker import work

NEVER = 3600.0  # seconds: workers find no run by themselves
OFTEN = 0.1


@asynccontextmanager
async def working(
    store: Store, url: str, *, every: float = NEVER, tags: tuple[str, ...] = (), slots: int = 2
) -> AsyncIterator[LocalExecutor]:
    """Run a worker of a broker."""
    bodies = {"task": Body(path="perdure.testing.bodies:run", slots=slots)}
    worker = LocalExecutor(store, bodies, identity=secrets.token_hex(8), every=every, tags=tags)
    async with worker, CeleryWorker(worker, store, url, Metrics(), tags):
        yield worker


@contextmanager
def monitored(url: str) -> Iterator[Callable[[Callable[[Any], bool]], None]]:
    """Receive what monitors of Celery do; yields what waits until its state fulfils a condition."""
    app = celery_app(url)
    state, changed = app.events.State(), threading.Condition()

    def note(event: Any) -> None:
        with changed:
            state.event(event)
            changed.notify_all()

    def until(condition: Callable[[Any], bool]) -> None:
        with changed:
            assert changed.wait_for(lambda: condition(state), WAIT)

    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": note})
        thread = threading.Thread(target=receiver.capture)
        thread.start()
        try:
            yield until
        finally:
            receiver.should_stop = True
            thread.join()


class TestCeleryExecutor(ExecutorConformance):
    @pytest.fixture(autouse=True)
    def _broker(self, redis_url: str) -> None:
        self.url = redis_url

    @asynccontextmanager
    async def opened(self, store: Store) -> AsyncIterator[Executor]:
        async with CeleryExecutor(store, self.url, BODIES, every=OFTEN) as executor, working(store, self.url):
            yield executor


@asynccontextmanager
async def trial(
    store: Store,
    url: str,
    *,
    every: float = NEVER,
    offered: float = OFTEN,
    metrics: Metrics | None = None,
    **worker: Any,
) -> AsyncIterator[Trial]:
    """Open a server's executor and a worker, on one store and one broker."""
    async with (
        CeleryExecutor(store, url, BODIES, every=offered, metrics=metrics) as executor,
        working(store, url, every=every, **worker),
    ):
        yield Trial(store, executor)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(WAIT):
        while not condition():
            await asyncio.sleep(0.02)


def results(state: Any) -> list[str]:
    """Return the results of Celery's tasks that have ended, as monitors show them."""
    return sorted(task.result for task in state.tasks.values() if task.succeeded)


@pytest.mark.parametrize("fixture", ["redis_url", "rabbitmq_url"])
def test_a_celery_task_lasts_as_long_as_its_run(
    fixture: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue(fixture)

    async def work() -> None:
        with monitored(url) as monitor:
            async with trial(MemoryStore(), url) as it:
                await it.submit(do="march", until=str(tmp_path / "end"))
                await it.until_reported()
                started = ("perdure.task", "STARTED", "('run',)")
                await asyncio.to_thread(
                    monitor,
                    lambda state: started in {(it.name, it.state, it.args) for it in state.tasks.values()},
                )
                (tmp_path / "end").touch()
                await it.until_final()
                await asyncio.to_thread(monitor, lambda state: "'run: succeeded'" in results(state))
                assert it.store.execution("run").attempt == 1

    asyncio.run(work())


class Bomb:
    """What leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


def test_messages_may_be_doubled_meaningless_or_hostile(redis_url: str, tmp_path: Path) -> None:
    async def work() -> None:
        app = celery_app(redis_url)
        async with trial(MemoryStore(), redis_url) as it:
            await it.submit("first", do="echo", value=1)
            await it.until_final("first")
            with app.connection_for_write() as connection, connection.channel() as channel:
                queue = {"exchange": exchange(), "routing_key": "perdure.task", "declare": [exchange()]}
                producer = app.amqp.Producer(channel)
                for name, args in (
                    ("perdure.task", ("first",)),
                    ("perdure.task", ("first",)),
                    ("perdure.task", ("nobody",)),
                    ("perdure.task", ()),
                    ("perdure.task", ({"a": 1}, 2)),
                    ("os.system", ("true",)),
                ):
                    app.send_task(name, args, producer=producer, ignore_result=True, **queue)
                producer.publish("no task", serializer="json", **queue)
                producer.publish(
                    pickle.dumps(((Bomb(tmp_path / "exploded"),), {}, {})),
                    content_type="application/x-python-serialize",
                    content_encoding="binary",
                    headers={"task": "perdure.task", "id": "bomb"},
                    **queue,
                )
            for _ in range(3):
                await it.executor.submit("first")
            await it.submit("last", do="echo", value=2)
            await it.until_final("last")
            assert {it.store.execution(id).attempt for id in ("first", "last")} == {1}
            with Redis.from_url(redis_url) as redis:
                await until(lambda: not redis.exists("perdure.task"))
        assert not (tmp_path / "exploded").exists()

    asyncio.run(work())


def test_a_broker_that_is_frozen_or_gone_refuses_and_delays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(broker.REDIS, "socket_timeout", 0.5)

    async def work(server: RedisServer) -> None:
        metrics, sample = Metrics(), f'perdure_broker_up{{broker="{server.url()}"}}'

        def up(value: float) -> bool:
            return f"{sample} {value}" in metrics.text().decode()

        async with trial(MemoryStore(), server.url(), every=OFTEN, metrics=metrics) as it:
            await until(lambda: up(1.0))
            server.service.freeze()
            await it.submit("frozen", do="echo", value=1)
            await it.until_final("frozen")
            await until(lambda: up(0.0))
            server.service.stop()
            await it.submit("gone", do="echo", value=2)
            await it.until_final("gone")
            server.service.start()
            await until(lambda: up(1.0))

    with redis_server() as server:
        asyncio.run(work(server))


def test_messages_wake_workers_again_after_a_broker_was_emptied_and_after_it_was_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(celery_worker, "DECLARE", OFTEN)

    async def work(server: RedisServer) -> None:
        async with trial(MemoryStore(), server.url()) as it:  # whose worker finds no run by itself
            for fault in (server.flush, server.service.kill):
                await it.submit(f"before-{fault.__name__}", do="echo", value=1)
                await it.until_final(f"before-{fault.__name__}")
                fault()
                await it.submit(f"after-{fault.__name__}", do="echo", value=2)
                if server.service.process is None:
                    server.service.start()
                await it.until_final(f"after-{fault.__name__}")

    with redis_server() as server:
        asyncio.run(work(server))


def test_what_a_worker_that_died_had_leased_is_offered_again_by_any_server(redis_url: str) -> None:
    async def work() -> None:
        store = MemoryStore()
        async with trial(DeafStore(store), redis_url) as it:
            it.create(do="echo", value="done")
            store.submit(Lease("run", "a worker that died", -1.0)).result(WAIT)
            run, execution = await it.until_final()
            assert (run.outcome, execution.attempt) == (Outcome.SUCCEEDED, 2)

    asyncio.run(work())


def test_a_worker_of_a_tag_has_a_queue_of_its_own_and_other_tags_leave_no_messages(redis_url: str) -> None:
    async def work() -> None:
        async with trial(MemoryStore(), redis_url, tags=("gpu",)) as it:
            await it.submit("other", tags=("sweep-1",), do="echo", value=1)
            await it.submit("tagged", tags=("sweep-1", "gpu"), do="echo", value=2)
            await it.until_final("tagged")
            assert it.store.execution("other").attempt == 0
            with Redis.from_url(redis_url) as redis:
                assert not redis.exists("perdure.task") and not redis.exists("perdure.task.sweep-1")
                assert any(b"perdure.task.gpu" in bound for bound in redis.smembers("_kombu.binding.perdure"))

    asyncio.run(work())


class SharedStore(MemoryStore):
    """A store that says that it is shared."""

    shared = True


def test_a_server_with_a_broker_accepts_tasks_and_says_whether_it_answers(redis_url: str) -> None:
    settings = Settings(store="memory://", artifacts_shared=True, tasks=(TASKS,), broker=redis_url)
    sample = f'perdure_broker_up{{broker="{redis_url}"}}'
    with in_process(settings, SharedStore()) as client:
        while client.get("/ready").json() != {"status": "ready", "broker": "up"}:
            time.sleep(0.02)
        assert f"{sample} 1.0" in client.get("/metrics").text
        body = {"kind": "task", "task": "add", "input": {"numbers": [1]}}
        queued = client.post("/runs", json=body)
        assert (queued.status_code, queued.json()["state"]) == (201, "created")


def test_without_a_broker_nothing_is_said_of_one_and_a_broker_that_is_away_refuses_nothing() -> None:
    with in_process() as client:
        assert client.get("/ready").json() == {"status": "ready"}
        assert "perdure_broker_up{" not in client.get("/metrics").text
    (port,) = free_ports(1)
    settings = Settings(
        store="memory://", artifacts_shared=True, tasks=(TASKS,), broker=f"redis://127.0.0.1:{port}/0"
    )
    with in_process(settings, SharedStore()) as client:
        answer = client.get("/ready")
        assert (answer.status_code, answer.json()) == (200, {"status": "ready", "broker": "down"})
        body = {"kind": "task", "task": "add", "input": {"numbers": [1]}}
        for _ in range(20):
            assert client.post("/runs", json=body).status_code == 201


@pytest.mark.parametrize(
    ("broker", "store", "words"),
    [
        ("redis://127.0.0.1/0", MemoryStore, "store that several processes share"),
        ("sqs://", SharedStore, "scheme 'sqs'"),
        ("broker:6379", SharedStore, "redis://host:6379/0"),
    ],
)
def test_a_broker_that_cannot_be_used_is_refused(broker: str, store: type[MemoryStore], words: str) -> None:
    settings = Settings(store="memory://", artifacts_shared=True, broker=broker)
    with pytest.raises(Invalid, match=words), in_process(settings, store()):
        pass


def test_a_broker_without_celery_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "celery", None)
    with pytest.raises(MissingExtra, match=re.escape("pip install 'perdure[celery]'")):
        celery_app("redis://127.0.0.1/0")


def test_messages_that_cannot_be_published_are_kept_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcer, "BACKLOG", 3)
    (port,) = free_ports(1)
    waiting = Announcer(f"redis://127.0.0.1:{port}/0", Metrics())
    for number in range(100):
        waiting.announce("task", f"run-{number}", ("gpu",))
    assert waiting.lost is not None
    waiting.close()


def test_a_broker_that_is_killed_is_lost_and_no_unexpected_error() -> None:
    def until(condition: Callable[[], bool]) -> None:
        while not condition():
            waiting.announce("task", "run", ())
            time.sleep(0.01)

    with redis_server() as server, capture_logs() as logged:
        waiting = Announcer(server.url(), Metrics())
        for _ in range(3):
            until(lambda: waiting.lost is None)
            server.service.kill()
            until(lambda: waiting.lost is not None)
            server.service.start()
        waiting.close()
    assert {line["event"] for line in logged} == {"broker_answers", "broker_lost"}


def test_what_a_worker_does_beside_its_runs_goes_on_after_an_unexpected_error(
    monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    monkeypatch.setattr(supervision, "PAUSE", 0.001)
    called: Counter[str] = Counter()

    def fails_once(name: str) -> Callable[[CeleryWorker], Coroutine[Any, Any, None]]:
        async def work(worker: CeleryWorker) -> None:
            called[name] += 1
            if called[name] == 1:
                raise RuntimeError("unexpected")

        return work

    loops = ("_watch", "_keep_showing", "_keep_declaring")
    for name in loops:
        monkeypatch.setattr(CeleryWorker, name, fails_once(name))

    async def body() -> None:
        async with working(MemoryStore(), redis_url):
            await until(lambda: sum(called.values()) == 2 * len(loops))

    asyncio.run(body())
    assert called == dict.fromkeys(loops, 2)


def test_a_worker_of_a_store_that_cannot_be_shared_refuses_a_broker(tmp_path: Path, redis_url: str) -> None:
    file = tmp_path / "perdure.db"
    SqliteStore(file).close()
    with pytest.raises(Invalid, match="store that several processes share"):
        work(Settings(store=f"sqlite:///{file}", broker=redis_url))
