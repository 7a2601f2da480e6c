"""Steps over HTTP, the hot path: taken, and read back as a log and as results."""

import re
from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread
import msgspec
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from perdure.api.context import context_of
from perdure.api.results_csv import CSV, csv_pages
from perdure.api.step_schemas import (
    LogPage,
    LogQuery,
    ResultsQuery,
    SessionResults,
    Steps,
    StepsTaken,
    engine_inputs,
    log_page,
    results_page,
    steps_taken,
)
from perdure.drivers.session_requests import Answer, StepLogPage, StepRequest
from perdure.web.idempotency import make_key
from perdure.web.operations import Call, Operation, route

__all__ = ["routes"]

_READING = (401, 403, 404, 409, 422, 500, 503)
_PAGE = 1000  # steps read at once
_MANY_ROWS = 50  # an answer with more is put together off the event loop

_encoder = msgspec.json.Encoder()

T = TypeVar("T", Answer, StepLogPage)


async def take_steps(call: Call[Steps, None]) -> bytes:
    """Take one step or many of all scenarios that haven't finished; each is durable when this answers."""
    body = call.body
    request = StepRequest(
        settings=engine_inputs(body.settings) if body.settings else {},
        steps=int(body.steps),
        expected=None if body.expected_step is None else int(body.expected_step),
    )
    key = make_key(call.key, "POST steps", body)
    answer = await context_of(call.scope).sessions.step(call.owner, call.run_id, request, key)
    return await _encoded(answer, len(answer.steps), steps_taken)


async def read_steps(call: Call[None, LogQuery]) -> bytes:
    """Read a page of the step log: what each step was given and what it answered."""
    query = call.query
    log = await context_of(call.scope).sessions.log(call.owner, call.run_id, query.after, query.limit)
    return await _encoded(log, len(log.steps), log_page)


async def read_results(call: Call[None, ResultsQuery]) -> bytes | ASGIApp:
    """Read results as columns, a page at a time, or all from a step on as CSV."""
    query = call.query
    sessions = context_of(call.scope).sessions

    async def read(after: int, most: int | None) -> StepLogPage:
        return await sessions.log(call.owner, call.run_id, after, min(most or _PAGE, _PAGE))

    log = await read(query.after, query.limit)
    if query.format == "csv" or _accepts_csv(call.scope):
        return StreamingResponse(csv_pages(log, read, query.limit), media_type=CSV)
    return await _encoded(log, len(log.steps), results_page)


async def _encoded(answer: T, rows: int, shape: Callable[[T], object]) -> bytes:
    """Encode an answer; a long one off the event loop, which others wait for."""
    if rows * len(answer.spec.scenarios) <= _MANY_ROWS:
        return _encoder.encode(shape(answer))
    return await anyio.to_thread.run_sync(lambda: msgspec.json.encode(shape(answer)))


def _accepts_csv(scope: Scope) -> bool:
    accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
    return re.match(rb"\s*text/csv\b", accept) is not None


_OPERATIONS = (
    Operation(
        path="/runs/{run_id}/steps",
        method="POST",
        handler=take_steps,
        summary="Take steps",
        body=Steps,
        keyed=True,
        answer=StepsTaken,
        errors=(400, 401, 403, 404, 409, 413, 415, 422, 500, 503),
    ),
    Operation(
        path="/runs/{run_id}/steps",
        method="GET",
        handler=read_steps,
        summary="Read the step log",
        query=LogQuery,
        answer=LogPage,
        errors=_READING,
    ),
    Operation(
        path="/runs/{run_id}/results",
        method="GET",
        handler=read_results,
        summary="Read results",
        query=ResultsQuery,
        answer=SessionResults,
        media={CSV: {"type": "string"}},
        errors=_READING,
    ),
)


def routes() -> list[Route]:
    """Return the routes of all operations on steps."""
    return [route(operation) for operation in _OPERATIONS]
