"""The router: the routes of the StableConfigs server, and the form of its errors. Every response is JSON."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
from starlette.responses import Response

from perdure.dialects.stableconfigs import openapi
from perdure.dialects.stableconfigs.bodies import question_of
from perdure.dialects.stableconfigs.dialect import StableConfigs
from perdure.dialects.stableconfigs.mistakes import BadRequest
from perdure.errors import Forbidden, KeyReused, RunNotFound
from perdure.web.auth import Unauthorized
from perdure.web.dialect import Call, Dialect, Route, json_response
from perdure.web.failures import Failure, HttpError, shortened
from perdure.web.idempotency import HEADER
from perdure.web.services import AppServices

__all__ = ["STABLECONFIGS"]


async def start(tasks: StableConfigs, call: Call) -> Response:
    """Queue the search for stable configurations."""
    question = question_of(call.body)
    task_id = await tasks.start(call.maker, question, call.key("POST /task", question))
    return json_response({"task_id": task_id}, 202)


async def status(tasks: StableConfigs, call: Call) -> Response:
    """Say how far a task is, or what it found."""
    code, body = await tasks.status(call.owner, call.params["task_id"])
    return await anyio.to_thread.run_sync(json_response, body, code)  # there may be many configurations


async def terminate(tasks: StableConfigs, call: Call) -> Response:
    """End a task; answers when nothing of it is left."""
    await tasks.terminate(call.owner, call.params["task_id"])
    return json_response({"status": f"terminating task: {call.params['task_id']}"})


def error_body(failure: Failure) -> dict[str, Any]:
    """Return an error: its name, a text, and the field of the request that is wrong."""
    match failure.error:
        case BadRequest(field=field):
            return _bad_request(failure, field)
        case Unauthorized(given=given):
            text = f"Authentication Token is {'wrong' if given else 'missing'}!"
            return {"status": "Unauthorized", "message": text}
        case KeyReused():
            return _bad_request(failure, HEADER)
        case HttpError(status=400 | 413, code=code):
            return _bad_request(failure, "path" if code == "malformed_path" else "body")
        case HttpError(status=422):
            return _bad_request(failure, HEADER)
        case Forbidden():
            return {"status": "Forbidden", "message": failure.message}
        case RunNotFound() as error:
            text = f"There is no task {shortened(error.values['run'])!r}, or its result has expired."
            return {"status": "NotFound", "message": text}
    return {"status": "Error", "message": failure.message}


def _bad_request(failure: Failure, field: str) -> dict[str, Any]:
    return {"status": "BadRequest", "message": failure.message, "field": field}


@asynccontextmanager
async def _opened(services: AppServices) -> AsyncIterator[StableConfigs]:
    expires = services.settings.result_expires
    tasks = StableConfigs(services.tasks, services.store, expires, services.feed)
    async with tasks.expiring():
        yield tasks


STABLECONFIGS = Dialect(
    name="StableConfigs",
    description="The routes of the StableConfigs server: stable configurations of a binding network.",
    routes=[
        Route("POST", "/task", start, openapi.START),
        Route("GET", "/status/{task_id}", status, openapi.STATUS),
        Route("DELETE", "/terminate/{task_id}", terminate, openapi.TERMINATE),
    ],
    opened=_opened,
    error=error_body,
    schemas=openapi.SCHEMAS,
)
"""The StableConfigs server."""
