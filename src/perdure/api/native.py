"""The native API as the edge knows it: the operations that must be quick, and the shape of its errors."""

from contextlib import nullcontext
from typing import Final

from perdure.api import events, run_events, steps
from perdure.web.dialect import Dialect, Route
from perdure.web.errors import error_body
from perdure.web.openapi import describe
from perdure.web.operations import route
from perdure.web.services import AppServices

__all__ = ["NATIVE"]

_OPERATIONS = (*steps.OPERATIONS, events.FOLLOW, run_events.FOLLOW_RUNS)
_DESCRIBED, _SCHEMAS = describe(_OPERATIONS)
_ROUTES: list[Route[AppServices]] = [
    route(operation, described) for operation, described in zip(_OPERATIONS, _DESCRIBED, strict=True)
]

NATIVE: Final = Dialect(
    name="runs",
    description="Sessions, tasks and experiments: made, steered, stepped, read.",
    routes=_ROUTES,
    opened=nullcontext,
    error=error_body,
    schemas=_SCHEMAS,
    request_headers="Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID",
)
"""The native API, but for its routes of FastAPI."""
