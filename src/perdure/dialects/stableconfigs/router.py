"""The router: the paths of the StableConfigs server, and the shape of its errors. Every answer is JSON."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import anyio.to_thread
import msgspec
from starlette.responses import Response
from starlette.types import Scope

from perdure.dialects.stableconfigs.bodies import question_of
from perdure.dialects.stableconfigs.dialect import StableConfigs
from perdure.dialects.stableconfigs.mistakes import BadRequest
from perdure.errors import Forbidden, KeyReused, RunNotFound
from perdure.web.errors import HttpError
from perdure.web.idempotency import HEADER, key_text, make_key
from perdure.web.open_routes import Call, Handler

__all__ = ["StableConfigsPaths"]

LONGEST_TEXT = 1_000  # characters of an error


class StableConfigsPaths:
    """The paths and shapes of StableConfigs; `dialect` returns the dialect that serves a request."""

    allowed_headers = "Authorization, Content-Type, Idempotency-Key"

    def __init__(self, dialect: Callable[[Scope], StableConfigs]) -> None:
        self._dialect = dialect

    def find(self, scope: Scope) -> tuple[Mapping[str, Handler], str] | None:
        """Return the handlers at a path, and the task in it."""
        match scope["path"].removeprefix("/").removesuffix("/").split("/"):
            case ["task"]:
                return {"POST": partial(self._start, scope)}, ""
            case ["status", task_id] if task_id:
                return {"GET": partial(self._status, scope)}, task_id
            case ["terminate", task_id] if task_id:
                return {"DELETE": partial(self._terminate, scope)}, task_id
        return None

    def error(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
        """Return an error: the protocol's own, with the status as its name."""
        return _json({"status": "Error", "message": _short(text)}, status, headers)

    def own_error(self, error: Exception) -> Response | None:
        """Return the answer for a wrong field or an unknown task."""
        match error:
            case BadRequest():
                body = {"status": "BadRequest", "message": _short(str(error)), "field": error.field}
                return _json(body, error.status)
            case HttpError() if error.status_code in (400, 413):
                field = "path" if error.code == "malformed_path" else "body"
                body = {"status": "BadRequest", "message": _short(error.detail), "field": field}
                return _json(body, error.status_code)
            case HttpError():
                body = {"status": "BadRequest", "message": _short(error.detail), "field": HEADER}
                return _json(body, error.status_code)
            case KeyReused():
                return _json({"status": "BadRequest", "message": str(error), "field": HEADER}, 422)
            case Forbidden():
                return _json({"status": "Forbidden", "message": str(error)}, 403)
            case RunNotFound():
                text = f"There is no task {_short(error.values['run'])!r}, or its result has expired."
                return _json({"status": "NotFound", "message": text}, 404)
        return None

    def unauthorized(self, text: str) -> Response:
        """Return the answer to a token that is missing or wrong."""
        return _json({"status": "Unauthorized", "message": text}, 401, {"WWW-Authenticate": "Bearer"})

    async def _start(self, scope: Scope, call: Call) -> Response:
        question = question_of(call.body)
        key = make_key(key_text(scope["headers"]), "POST /task", question)
        task_id = await self._dialect(scope).start(call.maker, question, key)
        return _json({"task_id": task_id}, 202)

    async def _status(self, scope: Scope, call: Call) -> Response:
        status, body = await self._dialect(scope).status(call.owner, call.name)
        return await anyio.to_thread.run_sync(_json, body, status)  # there may be many configurations

    async def _terminate(self, scope: Scope, call: Call) -> Response:
        await self._dialect(scope).terminate(call.owner, call.name)
        return _json({"status": f"terminating task: {call.name}"}, 200)


def _short(text: str) -> str:
    text = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
    return text.encode("utf-8", "replace").decode()


def _json(body: Any, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, "application/json")
