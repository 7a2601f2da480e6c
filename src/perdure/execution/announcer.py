"""The announcer: publishes messages to the broker in a thread of its own, so that no request waits."""

import queue
import threading
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import structlog

from perdure.execution.broker import celery_app, exchange, lost_errors, routing_keys, task_name
from perdure.observability import Metrics
from perdure.stores.location import shown_url
from perdure.supervision import start_thread

if TYPE_CHECKING:
    from kombu.connection import Connection

__all__ = ["Announcer"]

BACKLOG = 10_000  # messages to publish; more are dropped, since workers find the runs by themselves
ENOUGH = 1_000  # messages in a queue, beyond which more would wake nobody
UNCHECKED = 100  # messages published to a queue until its length is read
CHECK = 1.0  # seconds between two looks at a broker to which nothing is published
AGAIN = 1.0  # seconds until the next attempt to connect

log = structlog.get_logger(__name__)


class Announcer:
    """Publishes that runs wait; the caller closes it.

    Messages that can't be published are kept for later, up to `BACKLOG`.

    Parameters
    ----------
    url
        The broker.
    metrics
        Where it shows whether the broker answers.

    Raises
    ------
    MissingExtra, Invalid
        As `celery_app` does.
    """

    def __init__(self, url: str, metrics: Metrics) -> None:
        self._app = celery_app(url)
        self._gauge = metrics.broker_up.labels(shown_url(url))
        self._messages: queue.Queue[_Message] = queue.Queue(BACKLOG)
        self._unsent: _Message | None = None
        self._published = Counter[str]()  # to each queue since its length was read
        self._closing = threading.Event()
        self._lost: str | None = "It hasn't answered yet."
        self._gauge.set(0)
        self._thread = start_thread("perdure-announcer", self._keep_publishing)

    @property
    def lost(self) -> str | None:
        """Why the broker can't be used now; None if it can."""
        return self._lost

    def announce(self, kind: str, run_id: str, tags: Collection[str]) -> None:
        """Publish that a run waits, to the workers of its kind and of its tags; returns at once."""
        for key in routing_keys(kind, tags):
            self._put(_Message(key, kind, (run_id,), if_empty=False))

    def announce_to(self, worker: str, kind: str, run_id: str) -> None:
        """Publish to one worker that it has a run; returns at once."""
        self._put(_Message(worker, kind, (run_id,), if_empty=False))

    def offer(self, kind: str, runs: Mapping[str, Collection[str]]) -> None:
        """Publish that runs wait, by their ids and tags, to queues without a message; returns at once."""
        waiting: dict[str, list[str]] = {}
        for run_id, tags in runs.items():
            for key in routing_keys(kind, tags):
                waiting.setdefault(key, []).append(run_id)
        for key, run_ids in waiting.items():
            self._put(_Message(key, kind, tuple(run_ids), if_empty=True))

    def close(self) -> None:
        """End the thread; messages that aren't published yet are dropped."""
        self._closing.set()
        self._thread.join()

    def _put(self, message: "_Message") -> None:
        with suppress(queue.Full):
            self._messages.put_nowait(message)

    def _keep_publishing(self, _: BaseException | None) -> None:
        """Publish over one connection after the other, until this is closed."""
        while not self._closing.is_set():
            connection = self._app.connection_for_write()
            try:
                with connection:
                    connection.connect()
                    self._publish(connection)
            except lost_errors(connection) as error:
                self._set_lost(f"{type(error).__name__}: {error}")
                self._closing.wait(AGAIN)

    def _publish(self, connection: "Connection") -> None:
        """Publish over one connection, until that is lost or this is closed."""
        producer = self._app.amqp.Producer(connection.channel())
        while not self._closing.is_set():
            self._set_lost(None)
            if self._unsent is None:
                try:
                    self._unsent = self._messages.get(timeout=CHECK)
                except queue.Empty:
                    with connection.channel():  # fails if the broker doesn't answer
                        continue
            for run_id in self._unsent.run_ids if self._is_useful(connection, self._unsent) else ():
                self._app.send_task(
                    task_name(self._unsent.kind),
                    (run_id,),
                    producer=producer,
                    exchange=exchange(),
                    routing_key=self._unsent.key,
                    declare=[exchange()],
                    ignore_result=True,
                )
            # Only now that it is published: an error before this keeps it for the next connection.
            self._unsent = None

    def _is_useful(self, connection: "Connection", message: "_Message") -> bool:
        """Return whether a message may wake a worker that those in its queue don't wake."""
        self._published[message.key] += 1
        if not message.if_empty and self._published[message.key] < UNCHECKED:
            return True
        length = _length(connection, message.key)
        if length < ENOUGH:
            del self._published[message.key]
        return length == 0 if message.if_empty else length < ENOUGH

    def _set_lost(self, reason: str | None) -> None:
        if reason == self._lost:
            return
        if self._lost is None:
            log.warning("broker_lost", reason=reason, meaning="workers find runs by themselves meanwhile")
        elif reason is None:
            log.info("broker_answers")
        self._lost = reason
        self._gauge.set(reason is None)


class _Message(NamedTuple):
    """What to publish: the routing key, the runs, and whether only an empty queue needs it."""

    key: str
    kind: str
    run_ids: tuple[str, ...]
    if_empty: bool


def _length(connection: "Connection", name: str) -> int:
    """Return the number of messages in a queue; 0 if there is no such queue."""
    with connection.channel() as channel:  # of its own, since RabbitMQ closes it if there is no such queue
        try:
            return int(channel.queue_declare(name, passive=True).message_count)
        except connection.channel_errors:
            return 0
