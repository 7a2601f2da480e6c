"""Traces: spans from a request to the process that works on a run, exported by OpenTelemetry.

They are off unless `PERDURE_TRACES` names a collector. OpenTelemetry is imported only then; otherwise a span
is one object that does nothing.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Final

from perdure.errors import MissingExtra

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Tracer

__all__ = ["current", "enabled", "exporting", "note", "processed_by", "record", "server_span", "span"]

EXTRA: Final = "otel"
SERVICE: Final = "perdure"
FLUSH_SECONDS: Final = 5


class _NoSpan:
    """The span of a process that doesn't trace."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


_NO_SPAN: Final = _NoSpan()

_tracer: "Tracer | None" = None


def enabled() -> bool:
    """Return whether this process traces."""
    return _tracer is not None


def span(name: str, **attributes: str | int) -> AbstractContextManager[object]:
    """Return a span that is a child of the current one, and the current one within its block.

    An error that leaves the block is recorded.
    """
    return _NO_SPAN if _tracer is None else _tracer.start_as_current_span(name, attributes=attributes)


def server_span(name: str, parent: str, **attributes: str | int) -> AbstractContextManager[object]:
    """Return a span for a request or an attempt, which continues the trace of its client.

    Parameters
    ----------
    parent
        The client's span, as a `traceparent` header has it; empty or malformed, the span begins a trace.
    """
    if _tracer is None:
        return _NO_SPAN
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({"traceparent": parent}, Context())
    return _tracer.start_as_current_span(name, context, SpanKind.SERVER, attributes)


def note(**attributes: str | int) -> None:
    """Add attributes to the current span."""
    if _tracer is not None:
        from opentelemetry.trace import get_current_span

        get_current_span().set_attributes(dict(attributes))


def record(name: str, began: int, ended: int, **attributes: str | int) -> None:
    """Record a span that is over, as a child of the current one; times are Unix nanoseconds."""
    if _tracer is not None:
        _tracer.start_span(name, attributes=attributes, start_time=began).end(max(began, ended))


def current() -> str:
    """Return the current span as a `traceparent` header has it; empty without one."""
    if _tracer is None:
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")


@contextmanager
def exporting(url: str | None) -> Iterator[None]:
    """Export the spans of this process to a collector while the block lasts; None is off.

    Other options are set by OpenTelemetry's own variables, such as OTEL_EXPORTER_OTLP_HEADERS,
    OTEL_SERVICE_NAME and OTEL_TRACES_SAMPLER.

    Raises
    ------
    MissingExtra
        If OpenTelemetry isn't installed.
    """
    if url is None:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        package = "opentelemetry-exporter-otlp-proto-http"
        raise MissingExtra(what="PERDURE_TRACES", package=package, extra=EXTRA) from error
    exporter = OTLPSpanExporter(f"{url.rstrip('/')}/v1/traces", timeout=FLUSH_SECONDS)
    with processed_by(BatchSpanProcessor(exporter)):
        yield


@contextmanager
def processed_by(processor: "SpanProcessor") -> Iterator[None]:
    """Pass the spans of this process to a processor while the block lasts."""
    global _tracer
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider

    name = os.environ.get("OTEL_SERVICE_NAME", SERVICE)
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    _tracer = provider.get_tracer(SERVICE)
    try:
        yield
    finally:
        _tracer = None
        provider.shutdown()
