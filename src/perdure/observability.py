"""What operators see: log lines, metrics, text in a terminal. Who logs is elsewhere; how, is here."""

import logging
import sys
import threading
from contextlib import suppress

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from perdure.terminal import printable

__all__ = ["Metrics", "configure_logging", "json_line"]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The counters of one server; its own registry, so that several may live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.steps = Counter(
            "perdure_steps", "Steps acknowledged, that is durable and answered.", registry=self.registry
        )
        self.replayed_answers = Counter(
            "perdure_replayed_answers",
            "Requests answered from the log because their idempotency key was known.",
            registry=self.registry,
        )
        self.step_seconds = Histogram(
            "perdure_step_seconds",
            "Seconds from a step request to its durable answer.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=self.registry,
        )
        self.restores = Counter(
            "perdure_restores", "Sessions restored from a savepoint.", registry=self.registry
        )
        self.replayed_steps = Counter(
            "perdure_replayed_steps", "Steps replayed while restoring.", registry=self.registry
        )
        self.damaged_savepoints = Counter(
            "perdure_damaged_savepoints", "Corrupt savepoints met while restoring.", registry=self.registry
        )
        self.live_sessions = Gauge("perdure_live_sessions", "Sessions in memory.", registry=self.registry)
        self.bptk_instances = Gauge(
            "bptk_instance_count", "Instances of the BPTK dialect.", registry=self.registry
        )
        Gauge("bptk_thread_count", "Threads of the process.", registry=self.registry).set_function(
            threading.active_count
        )
        self.ready = Gauge("perdure_ready", "1 while the store can be written.", registry=self.registry)
        self.answers = Counter(
            "perdure_http_answers",
            "Answers over HTTP, by method and status.",
            ("method", "status"),
            registry=self.registry,
        )
        self.answer_seconds = Histogram(
            "perdure_http_answer_seconds",
            "Seconds from a request's headers to the end of its answer.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
            registry=self.registry,
        )
        self.queue = Gauge(
            "perdure_queue_runs",
            "Tasks and experiments that haven't ended: waiting for a slot, working, or paused.",
            ("kind", "state"),
            registry=self.registry,
        )
        self.attempts = Counter(
            "perdure_attempts",
            "Processes that were started for tasks and experiments; more than one a run after crashes.",
            ("kind",),
            registry=self.registry,
        )
        self.ended = Counter(
            "perdure_runs_ended",
            "Tasks and experiments that ended, by outcome.",
            ("kind", "outcome"),
            registry=self.registry,
        )
        self.store_changes = Counter(
            "perdure_store_changes", "Changes of runs that were committed.", registry=self.registry
        )
        self.store_waiting = Gauge(
            "perdure_store_waiting", "Writes that wait for their commit.", registry=self.registry
        )
        self.store_bytes = Gauge(
            "perdure_store_bytes",
            "Sizes of the store's parts; of an SQLite file, the database and its write-ahead log.",
            ("file",),
            registry=self.registry,
        )

    def count_end(self, kind: str, outcome: str) -> None:
        """Count a task or an experiment that came to its end."""
        self.ended.labels(kind, outcome).inc()

    def count_answer(self, method: str, status: int, seconds: float) -> None:
        """Count an answer over HTTP; methods that no route takes are one."""
        self.answers.labels(method if method in _METHODS else "other", status).inc()
        self.answer_seconds.observe(seconds)

    def text(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self.registry)


def json_line(event: str, **values: object) -> str:
    """Return what a program prints as a line of JSON, with the fields that its log lines have."""
    line: structlog.types.EventDict = {"event": event, **values, "level": "info"}
    stamped = structlog.processors.TimeStamper(fmt="iso", utc=True)(None, "info", line)
    return str(structlog.processors.JSONRenderer()(None, "info", stamped))


def configure_logging(level: str, *, as_json: bool) -> None:
    """Send structured log lines to standard error.

    A traceback never shows the values of variables: among a request's are its tokens.
    """
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            *([] if as_json else [_printable_values]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level)),
        logger_factory=_to_stderr,
        cache_logger_on_first_use=False,
    )


def _printable_values(
    _logger: object, _method: str, line: structlog.types.EventDict
) -> structlog.types.EventDict:
    """Escape the texts of a log line: names that clients chose are among them, also in tracebacks."""
    return {
        name: "\n".join(map(printable, value.split("\n")))
        if name == "exception"
        else printable(value)
        if isinstance(value, str)
        else value
        for name, value in line.items()
    }


class _LinePrinter(structlog.PrintLogger):
    """Prints log lines, and drops those that can't be written: on a full disk, into a closed pipe or file.

    No work depends on its log line.
    """

    def msg(self, message: str) -> None:
        """Print a line."""
        with suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def _to_stderr(*_: object) -> _LinePrinter:
    """Return what writes to the standard error of the moment, which a program may have replaced."""
    return _LinePrinter(sys.stderr)
