"""Steps over HTTP, the hot path: taken, and read back as a log and as results."""

import re
from collections.abc import Callable
from typing import TypeVar

import anyio.to_thread
import msgspec
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp

from perdure.api.results_csv import CSV, csv_pages
from perdure.api.step_schemas import (
    LogPage,
    LogQuery,
    ResultsQuery,
    SessionResults,
    SettingsChanges,
    SettingsQuery,
    Steps,
    StepsTaken,
    engine_inputs,
    log_page,
    results_page,
    settings_changes,
    steps_taken,
)
from perdure.api.thinning import thinned
from perdure.drivers.session_requests import Answer, StepLogPage, StepRequest
from perdure.web.dialect import Call
from perdure.web.operations import Operation
from perdure.web.services import AppServices

__all__ = ["OPERATIONS"]

_READING = (401, 403, 404, 409, 422, 500, 503)
_PAGE = 1000  # steps read at once
_MANY_ROWS = 50  # an answer with more is put together off the event loop

_encoder = msgspec.json.Encoder()

T = TypeVar("T", Answer, StepLogPage)


async def take_steps(services: AppServices, call: Call, body: Steps) -> bytes:
    """Take one step or many of all scenarios that haven't finished; each is durable when this answers."""
    request = StepRequest(
        settings=engine_inputs(body.settings) if body.settings else {},
        steps=int(body.steps),
        expected=None if body.expected_step is None else int(body.expected_step),
    )
    key = call.key("POST steps", body)
    answer = await services.sessions.step(call.owner, call.params["run_id"], request, key)
    return await _encoded(answer, len(answer.steps), steps_taken)


async def read_steps(services: AppServices, call: Call, query: LogQuery) -> bytes:
    """Read a page of the step log: what each step was given and what it answered."""
    log = await services.sessions.log(call.owner, call.params["run_id"], query.after, query.limit)
    return await _encoded(log, len(log.steps), log_page)


async def read_settings(services: AppServices, call: Call, query: SettingsQuery) -> bytes:
    """Read what was set on the way: the steps of the log that were given something, without their results."""
    page = await services.sessions.settings(call.owner, call.params["run_id"], query.after, query.limit)
    return await anyio.to_thread.run_sync(lambda: msgspec.json.encode(settings_changes(page)))


async def read_results(services: AppServices, call: Call, query: ResultsQuery) -> bytes | ASGIApp:
    """Read results as columns, a page at a time, or all from a step on as CSV or thinned to some points."""

    async def read(after: int, most: int | None) -> StepLogPage:
        limit = min(most or _PAGE, _PAGE)
        return await services.sessions.log(call.owner, call.params["run_id"], after, limit)

    log = await read(query.after, query.limit)
    limit = query.limit
    if query.points is not None:
        log = await thinned(log, read, query.after, query.limit, query.points)
        limit = len(log.steps)  # no page follows them
    if query.format == "csv" or re.match(rb"\s*text/csv\b", call.headers.get(b"accept", b"")):
        return StreamingResponse(csv_pages(log, read, limit), media_type=CSV)
    return await _encoded(log, len(log.steps), results_page)


async def _encoded(answer: T, rows: int, shape: Callable[[T], object]) -> bytes:
    """Encode an answer; a long one off the event loop, which others wait for."""
    if rows * len(answer.spec.scenarios) <= _MANY_ROWS:
        return _encoder.encode(shape(answer))
    return await anyio.to_thread.run_sync(lambda: msgspec.json.encode(shape(answer)))


OPERATIONS = (
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
        path="/runs/{run_id}/settings",
        method="GET",
        handler=read_settings,
        summary="Read what was set",
        query=SettingsQuery,
        answer=SettingsChanges,
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
