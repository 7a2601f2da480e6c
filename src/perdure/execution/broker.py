"""The broker: the Celery app that servers and workers share, its queues, and what a message says.

A message says that a run waits, and has its id. It is no more than a hint: workers claim runs from the
store, which alone decides who works on what. So messages may be lost, doubled and late.
"""

import hashlib
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from perdure.errors import Invalid, MissingExtra
from perdure.stores.queue import ANY_TAG

if TYPE_CHECKING:
    from celery import Celery
    from kombu.connection import Connection
    from kombu.entity import Exchange, Queue

__all__ = [
    "NAME",
    "celery_app",
    "exchange",
    "lost_errors",
    "queue_of_worker",
    "queues",
    "routing_keys",
    "task_name",
]

NAME: Final = "perdure"
"""The name of the exchange, and the first part of the names of queues and of Celery's tasks."""

SCHEMES: Final = ("redis", "rediss", "redis+socket", "sentinel", "amqp", "amqps", "pyamqp")

CONNECT = 2.0  # seconds until an attempt to connect fails
ANSWER = 5.0  # seconds until a broker that doesn't answer counts as lost
UNUSED = 86_400.0  # seconds after which a queue from which no worker takes messages is deleted
DEAD = 600.0  # the same for that of one worker
LONGEST_TAG = 128  # bytes of a tag in the name of a queue, of which brokers allow 255

REDIS: Final = {
    "socket_connect_timeout": CONNECT,
    "socket_timeout": ANSWER,
    "socket_keepalive": True,
    "health_check_interval": ANSWER,
}
RABBITMQ: Final = {"read_timeout": ANSWER, "write_timeout": ANSWER}


def celery_app(url: str) -> "Celery":
    """Make a Celery app for a broker: JSON messages only, acknowledged early, and no results.

    Raises
    ------
    MissingExtra
        If Celery isn't installed.
    Invalid
        If the URL isn't that of a Redis or a RabbitMQ.
    """
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise Invalid(
            f"A broker can't have a URL with the scheme {scheme!r}; give one such as redis://host:6379/0 or "
            "amqp://user:password@host:5672//."
        )
    try:
        from celery import Celery
    except ImportError as error:
        raise MissingExtra(what="A broker", package="celery", extra="celery") from error
    app = Celery(NAME, set_as_current=False)
    app.conf.update(
        # Both, since a variable for other Celery apps takes precedence over `broker_url`.
        broker_read_url=url,
        broker_write_url=url,
        broker_connection_timeout=CONNECT,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_heartbeat=2 * ANSWER,
        broker_transport_options=RABBITMQ if "amqp" in scheme else REDIS,
        accept_content=["json"],
        task_serializer="json",
        event_serializer="json",
        task_ignore_result=True,
        task_acks_late=False,
        task_publish_retry=False,
        task_create_missing_queues=False,
        task_default_exchange=NAME,
        worker_enable_remote_control=False,  # nobody who may write to the broker stops a worker
        worker_send_task_events=True,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch="amqp" not in scheme,  # RabbitMQ does without
        worker_cancel_long_running_tasks_on_connection_loss=True,  # concerns late acknowledgement only
        worker_hijack_root_logger=False,
    )
    return app


def lost_errors(connection: "Connection") -> tuple[type[Exception], ...]:
    """Return what is raised when the broker doesn't answer: by its client, or by Celery in place of that."""
    from kombu.exceptions import OperationalError

    return OSError, OperationalError, *connection.connection_errors, *connection.channel_errors


def task_name(kind: str) -> str:
    """Return the name of the Celery task for runs of a kind."""
    return f"{NAME}.{kind}"


def routing_keys(kind: str, tags: Collection[str]) -> Sequence[str]:
    """Return the routing keys of the messages for a run: of workers of its kind, and of those of each tag."""
    return [_key(kind, tag) for tag in (ANY_TAG, *tags)]


def exchange() -> "Exchange":
    """Return the exchange of all messages; it drops those whose routing key has no queue."""
    from kombu.entity import Exchange

    return Exchange(NAME, "direct", durable=True)


def queues(kinds: Collection[str], tags: Collection[str]) -> Sequence["Queue"]:
    """Return the queues of a worker; the first worker that takes messages from a queue creates it."""
    from kombu.entity import Queue

    keys = [_key(kind, tag) for kind in kinds for tag in tags or (ANY_TAG,)]
    return [Queue(key, exchange(), routing_key=key, durable=True, expires=UNUSED) for key in keys]


def queue_of_worker(hostname: str) -> "Queue":
    """Return the queue of the messages that a worker sends to itself; the routing key is its host name."""
    from kombu.entity import Queue

    return Queue(hostname, exchange(), routing_key=hostname, durable=True, expires=DEAD)


def _key(kind: str, tag: str) -> str:
    if tag == ANY_TAG:
        return f"{NAME}.{kind}"
    encoded = tag.encode()
    short = tag if len(encoded) <= LONGEST_TAG else hashlib.sha256(encoded).hexdigest()
    return f"{NAME}.{kind}.{short}"
