"""Logging, metrics and terminal text: their format. Other modules decide what is logged and counted."""

import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from perdure.terminal import printable

__all__ = ["Metrics", "configure_logging", "json_line"]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ReadHistogram(Collector):
    """A histogram that is counted elsewhere, and set before it is exposed."""

    def __init__(self, name: str, documentation: str) -> None:
        self._name = name
        self._documentation = documentation
        self._buckets: Sequence[tuple[str, float]] = (("+Inf", 0.0),)
        self._seconds = 0.0

    def set(self, limits: Sequence[float], counts: Sequence[int], seconds: float) -> None:
        """Set how many took at most as long as each of the limits, how many there are, and their sum."""
        self._buckets = tuple(zip((*map(str, limits), "+Inf"), counts, strict=True))
        self._seconds = seconds

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield it."""
        yield HistogramMetricFamily(self._name, self._documentation, list(self._buckets), self._seconds)


class Metrics:
    """The counters of one server, in a registry of its own, so that a process can have several."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.steps = Counter(
            "perdure_steps", "Acknowledged steps: durable and answered.", registry=self.registry
        )
        self.replayed_answers = Counter(
            "perdure_replayed_answers",
            "Requests answered from the step log because their idempotency key was known.",
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
            "perdure_replayed_steps",
            "Steps replayed while restoring, or taken over from other servers.",
            registry=self.registry,
        )
        self.damaged_savepoints = Counter(
            "perdure_damaged_savepoints", "Corrupt savepoints found while restoring.", registry=self.registry
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
            "HTTP responses, by method and status.",
            ("method", "status"),
            registry=self.registry,
        )
        self._answers: dict[tuple[str, int], Counter] = {}  # finding one by its labels takes longer
        self.answer_seconds = Histogram(
            "perdure_http_answer_seconds",
            "Seconds from a request's headers to the end of its response.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
            registry=self.registry,
        )
        self.queue = Gauge(
            "perdure_queue_runs",
            "Tasks and experiments that haven't ended: waiting for a slot, working, or paused.",
            ("kind", "state"),
            registry=self.registry,
        )
        self.queue_waiting = Gauge(
            "perdure_queue_waiting",
            "Runs that wait for a worker, by kind and tag; without a tag, all of the kind.",
            ("kind", "tag"),
            registry=self.registry,
        )
        self.queue_oldest_seconds = Gauge(
            "perdure_queue_oldest_seconds",
            "Seconds since the last change of the run that waits longest, by kind and tag.",
            ("kind", "tag"),
            registry=self.registry,
        )
        self.worker_slots = Gauge(
            "perdure_worker_slots",
            "Slots of the workers by kind, tag and state; without a tag, of workers of all runs.",
            ("kind", "tag", "state"),
            registry=self.registry,
        )
        self.attempts = Counter(
            "perdure_attempts",
            "Processes started for tasks and experiments; several for a run after crashes.",
            ("kind",),
            registry=self.registry,
        )
        self.ended = Counter(
            "perdure_runs_ended",
            "Ended tasks and experiments, by outcome.",
            ("kind", "outcome"),
            registry=self.registry,
        )
        self.broker_up = Gauge(
            "perdure_broker_up",
            "1 while the broker of the workers answers; without a broker there is no sample.",
            ("broker",),
            registry=self.registry,
        )
        self.store_changes = Counter(
            "perdure_store_changes", "Committed changes of runs.", registry=self.registry
        )
        self.store_waiting = Gauge(
            "perdure_store_waiting", "Writes that wait for their commit.", registry=self.registry
        )
        self.store_bytes = Gauge(
            "perdure_store_bytes",
            "Bytes of the store's parts; for an SQLite file, the database and its write-ahead log.",
            ("file",),
            registry=self.registry,
        )
        self.store_commit_seconds = ReadHistogram(
            "perdure_store_commit_seconds",
            "Seconds from the beginning of a transaction until it was durable.",
        )
        self.registry.register(self.store_commit_seconds)

    def count_end(self, kind: str, outcome: str) -> None:
        """Count a task or an experiment that has ended."""
        self.ended.labels(kind, outcome).inc()

    def count_answer(self, method: str, status: int, seconds: float) -> None:
        """Count an HTTP response; methods that no route takes are counted together."""
        answers = self._answers.get((method, status))
        if answers is None:
            named = method if method in _METHODS else "other"
            answers = self.answers.labels(named, status)
            if named == method:  # other methods may have any name
                self._answers[method, status] = answers
        answers.inc()
        self.answer_seconds.observe(seconds)

    def text(self) -> bytes:
        """Return the metrics in Prometheus's text format."""
        return generate_latest(self.registry)


def json_line(event: str, **values: object) -> str:
    """Return an event as a line of JSON for programs, with the fields of log lines."""
    line: structlog.types.EventDict = {"event": event, **values, "level": "info"}
    stamped = structlog.processors.TimeStamper(fmt="iso", utc=True)(None, "info", line)
    return str(structlog.processors.JSONRenderer()(None, "info", stamped))


def configure_logging(level: str, *, as_json: bool) -> None:
    """Send structured log lines to standard error.

    Tracebacks don't show the values of variables, since those of a request include its tokens.
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
    """Escape the texts of a log line, which may include names that clients chose, also in tracebacks."""
    return {
        name: "\n".join(map(printable, value.split("\n")))
        if name == "exception"
        else printable(value)
        if isinstance(value, str)
        else value
        for name, value in line.items()
    }


class _LinePrinter(structlog.PrintLogger):
    """Prints log lines, and drops those that can't be written: on a full disk, or to a closed pipe or file.

    So a failing log doesn't stop any work.
    """

    def msg(self, message: str) -> None:
        """Print a line."""
        with suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def _to_stderr(*_: object) -> _LinePrinter:
    """Return a printer for the current standard error, which a program may have replaced."""
    return _LinePrinter(sys.stderr)
