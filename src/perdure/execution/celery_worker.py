"""The Celery worker: takes messages from the broker, and shows each run that is worked on as a Celery task.

Celery runs in a thread of its own, with a pool of threads. They only wait: the executor works on the runs, in
processes that their guards isolate.
"""

import asyncio
import math
import os
import socket
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog

from perdure.errors import PerdureError
from perdure.execution.announcer import Announcer
from perdure.execution.broker import NAME, celery_app, lost_errors, queue_of_worker, queues, task_name
from perdure.execution.local import LocalExecutor
from perdure.observability import Metrics
from perdure.stores.base import Store
from perdure.supervision import keep_going, start_thread

if TYPE_CHECKING:
    from celery import Celery

__all__ = ["CeleryWorker"]

GRACE = 0.2  # seconds in which the message of a run that was claimed may still come
RESTART = 1.0  # seconds until Celery is started again after it has ended
DECLARE = 5.0  # seconds after which queues are declared again, since a broker that was emptied has lost them
SILENT = 60.0  # seconds without a message after which Celery is started again,
UNHEARD = 3  # if as many runs were claimed meanwhile

log = structlog.get_logger(__name__)


class CeleryWorker:
    """Lets messages wake an executor, for example one of `perdure worker`; the caller opens and closes it.

    A Celery task lasts as long as the attempt at its run. The store decides who works on which run: owners
    take turns, and another worker may be quicker. So the worker sends itself a message for each run that it
    has claimed without one.

    Parameters
    ----------
    executor
        What claims runs and works on them; it stays the caller's.
    store
        Where runs are kept.
    url
        The broker: a Redis or a RabbitMQ.
    metrics
        Where it shows whether the broker answers.
    tags
        The tags of the runs that the executor works on; without tags, all runs.

    Raises
    ------
    MissingExtra
        If Celery isn't installed.
    Invalid
        If the URL isn't that of a broker.
    """

    def __init__(
        self,
        executor: LocalExecutor,
        store: Store,
        url: str,
        metrics: Metrics,
        tags: Collection[str] = (),
    ) -> None:
        self._executor = executor
        self._store = store
        self._app = celery_app(url)
        self._hostname = f"{NAME}-{os.getpid()}@{socket.gethostname()}"
        self._queues = self._app.conf.task_queues = [
            *queues(executor.slots, tags),
            queue_of_worker(self._hostname),
        ]
        self._announcer = Announcer(url, metrics)
        for kind in executor.slots:
            self._add_task(kind)
        self._shown: set[str] = set()  # runs with a Celery task
        self._announced: dict[str, float] = {}  # runs of a message to itself, and when it was sent
        self._heard = time.monotonic()  # the time of the last message
        self._begun = 0  # runs that had been claimed then
        self._closing = threading.Event()
        self._controller: Any = None
        self._thread: threading.Thread | None = None
        self._watching: asyncio.Future[Any] | None = None

    async def __aenter__(self) -> "CeleryWorker":
        self._loop = asyncio.get_running_loop()
        self._thread = start_thread("perdure-celery", self._keep_consuming)
        self._watching = asyncio.gather(
            keep_going("watch over Celery", self._watch),
            keep_going("messages to itself", self._keep_showing),
            keep_going("queues", self._keep_declaring),
        )  # cancelled by `aclose`
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Take no more messages, and wait for Celery's end; the executor ends the work on its runs itself."""
        self._closing.set()
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        if self._thread is not None:
            self._end_controller()
            await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._announcer.close)

    # In Celery's threads ------------------------------------------------------------------------------------

    def _add_task(self, kind: str) -> None:
        """Register the Celery task for runs of a kind."""

        def attend(run_id: str) -> str:
            return asyncio.run_coroutine_threadsafe(self._attend(kind, run_id), self._loop).result()

        self._app.task(attend, name=task_name(kind), shared=False)

    def _keep_consuming(self, _: BaseException | None) -> None:
        """Run Celery, again if it ends, until this is closed."""
        from celery.worker import state
        from kombu.asynchronous import set_event_loop

        self._app.set_default()  # the threads of the pool use the app of the process
        while not self._closing.is_set():
            set_event_loop(None)  # that of a former controller has ended
            state.should_terminate = None
            self._controller = self._new_controller(self._app)
            if not self._closing.is_set():
                self._controller.start()
            if not self._closing.is_set():
                log.warning("celery_restarts", meaning="it takes messages again; runs were claimed meanwhile")
            self._closing.wait(RESTART)
        state.should_terminate = None

    def _new_controller(self, app: "Celery") -> Any:
        return app.WorkController(
            app=app,
            hostname=self._hostname,
            pool="threads",
            # One more of each kind: the executor has a slot for a short run.
            concurrency=sum(number + 1 for number in self._executor.slots.values()),
            without_gossip=True,
            without_mingle=True,
        )

    def _end_controller(self) -> None:
        """Have the controller end soon, whatever it does."""
        from celery.worker import state

        state.should_terminate = 0  # the exit code
        hub = getattr(self._controller, "hub", None)
        if hub is not None:
            hub.call_soon(lambda: None)  # wakes it

    # In the event loop --------------------------------------------------------------------------------------

    async def _attend(self, kind: str, run_id: str) -> str:
        """Look for work; if the run of the message is worked on here, wait for the end of the attempt.

        Returns what monitors show as the result.
        """
        self._heard = time.monotonic()
        if not self._executor.is_full(kind):
            await self._executor.look()
        self._begun = self._executor.begun
        if run_id in self._shown or run_id not in self._executor.working(kind):
            return f"{run_id}: it waits for a slot, or another worker has it"
        self._shown.add(run_id)
        try:
            await self._executor.until_ended(run_id)
            run = await asyncio.to_thread(self._store.run, run_id)
        except PerdureError as error:
            return f"{run_id}: {error}"
        finally:
            self._shown.discard(run_id)
        return f"{run_id}: {run.state.value if run.outcome is None else run.outcome.value}"

    async def _keep_showing(self) -> None:
        """Send a message to this worker for each run that it has claimed without one."""
        while True:
            await self._executor.until_changed(DECLARE)
            await asyncio.sleep(GRACE)
            now = time.monotonic()
            working = {it: kind for kind in self._executor.slots for it in self._executor.working(kind)}
            self._announced = {it: at for it, at in self._announced.items() if it in working}
            for run_id, kind in working.items():
                lost = now - self._announced.get(run_id, -math.inf) > 2 * DECLARE
                if run_id not in self._shown and lost:
                    self._announced[run_id] = now
                    self._announcer.announce_to(self._hostname, kind, run_id)

    async def _keep_declaring(self) -> None:
        """Declare the queues from time to time.

        Messages to a queue that wasn't there are lost, so it looks for work once the queues are there.
        """
        declared = False
        while True:
            before, declared = declared, await asyncio.to_thread(self._declare)
            if declared and not before:
                await self._executor.look()
            await asyncio.sleep(DECLARE)

    def _declare(self) -> bool:
        """Declare the queues; return whether the broker has them now."""
        connection = self._app.connection_for_write()
        with suppress(*lost_errors(connection)), connection, connection.channel() as channel:
            for queue in self._queues:
                queue.bind(channel).declare()
            return True
        return False

    async def _watch(self) -> None:
        """Start Celery again if it hears nothing although runs come: its connection may be dead."""
        while True:
            await asyncio.sleep(SILENT / 6)
            silent = time.monotonic() - self._heard
            if silent > SILENT and self._executor.begun - self._begun >= UNHEARD:
                log.warning("broker_silent", seconds=round(silent))
                self._heard, self._begun = time.monotonic(), self._executor.begun
                self._end_controller()
