"""Errors over HTTP: one JSON shape for all of them, and the status that each has.

What can go wrong in Perdure is in `perdure.errors`; here is only what the protocol adds. Nothing of what a
client sent is repeated at length, and no traceback ever leaves the server.
"""

import errno
import math
import os
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route

from perdure.errors import (
    Damaged,
    FileChanged,
    Forbidden,
    Invalid,
    NotFound,
    PerdureError,
    Refused,
    SystemFailing,
    TooMany,
    Unavailable,
)
from perdure.validation import Problem, find_problems, in_words

__all__ = [
    "EXCEPTION_HANDLERS",
    "ErrorBody",
    "HttpError",
    "error_response",
    "error_responses",
    "invalid_request",
    "perdure_error_response",
    "request_schema",
    "status_of",
    "system_failing",
]

STATUS: Mapping[type[PerdureError], int] = {
    FileChanged: 412,
    Forbidden: 403,
    Invalid: 422,
    NotFound: 404,
    Refused: 409,
    TooMany: 429,
    Unavailable: 503,
    Damaged: 500,
}

_CODES: Mapping[int, str] = {
    400: "malformed_request",
    404: "route_not_found",
    405: "method_not_allowed",
    413: "body_too_large",
}

_DESCRIPTIONS: Mapping[int, str] = {
    400: "The body is not JSON.",
    401: "The token is missing or wrong.",
    403: "It is of a foreign web page, for another host, or not allowed by whoever runs the server.",
    404: "Nothing has that name.",
    409: "It can't be done in the present state.",
    412: "The file isn't as the request says.",
    413: "The body is too large.",
    415: "The body is not declared as what the route takes.",
    422: "The request is wrong.",
    429: "A quota is used up.",
    500: "What is stored can't be trusted, or Perdure failed.",
    503: "The service can't answer now.",
}

_REFUSALS: Collection[int] = frozenset(
    {
        *(errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.ENODEV, errno.ENXIO),
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EMLINK, errno.EACCES, errno.EPERM),
    }
)
"""Errors of the operating system that no request and no program is to blame for."""

_PARTS: Mapping[str, str] = {"query": "parameter", "path": "path's"}
"""What the parts of a request are called in messages, other than by their own name."""

LONGEST_TEXT = 1_000  # characters of a message, or of one value of its details
MOST_VALUES = 20  # values of one detail, or errors of one request
MOST_DETAILS = 10_000  # bytes; with more there are none

log = structlog.get_logger(__name__)


class Error(BaseModel):
    """What went wrong: a code for programs, a message for people, and the values that it is about."""

    code: str = Field(examples=["run_not_found"])
    message: str
    details: dict[str, Any]


class ErrorBody(BaseModel):
    """How every error is answered."""

    error: Error


class HttpError(HTTPException):
    """An error of the protocol, with the code and the details it is answered with."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, dict(headers) if headers else None)
        self.code = code
        self.details = details or {}

    def response(self) -> Response:
        """Return the answer for it."""
        return error_response(self.status_code, self.code, self.detail, self.details, self.headers)


def invalid_request(problems: Sequence[Problem]) -> HttpError:
    """Return the error for a request of the wrong form.

    Parameters
    ----------
    problems
        What is wrong with it, the first being what the message says. Each place begins with the part of the
        request: body, query, path or header.
    """
    errors = [
        {
            "where": ".".join(map(str, problem.place)),
            "problem": problem.text,
            **({} if problem.suggestion is None else {"suggestion": problem.suggestion}),
        }
        for problem in problems[:MOST_VALUES]
    ]
    first = problems[0]
    message = in_words(_name(first.place), first)
    details: dict[str, Any] = {"errors": errors}
    if first.suggestion is not None:
        details["suggestion"] = first.suggestion
    return HttpError(422, "invalid_request", message if message.endswith("?") else f"{message}.", details)


def status_of(kind: type[PerdureError]) -> int:
    """Return the status that errors of a kind are answered with."""
    return next((STATUS[parent] for parent in kind.__mro__ if parent in STATUS), 500)


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the part of a route's documentation that says which errors it may answer with."""
    return {
        status: {
            "description": _DESCRIPTIONS[status],
            "content": {
                "application/json": {"schema": {"$ref": f"#/components/schemas/{ErrorBody.__name__}"}}
            },
        }
        for status in statuses
    }


def error_response(
    status: int,
    code: str,
    message: str,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the answer for an error, bounded in size and safe as JSON."""
    told = msgspec.json.encode(_plain(details or {}))
    if len(told) > MOST_DETAILS:
        told = b"{}"
    body = {"error": {"code": code, "message": _text(message), "details": msgspec.Raw(told)}}
    return Response(msgspec.json.encode(body), status, headers, "application/json")


def perdure_error_response(error: PerdureError) -> Response:
    """Return the answer for one of Perdure's own errors."""
    status = status_of(type(error))
    if status == 500:
        log.error("damaged", code=error.code, reason=str(error))
    again = error.values.get("retry_after")
    headers = None if again is None else {"Retry-After": str(again)}
    details = {name: value for name, value in error.values.items() if (name, value) != ("suggestion", None)}
    return error_response(status, error.code, str(error), details, headers)


async def _on_perdure_error(request: Request, error: PerdureError) -> Response:
    return perdure_error_response(error)


async def _on_os_error(request: Request, error: OSError) -> Response:
    failing = system_failing(error)
    if failing is None:
        raise error
    return perdure_error_response(failing)


def system_failing(error: Exception) -> SystemFailing | None:
    """Return what an error of the operating system means for a request, and log it; None for any other."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None or number not in _REFUSALS:
        return None
    reason = os.strerror(number)
    log.error("system_failing", reason=str(error))
    return SystemFailing(reason=reason)


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    if isinstance(error, HttpError):
        return error.response()
    status = error.status_code
    code = _CODES.get(status, HTTPStatus(status).phrase.lower().replace(" ", "_"))
    if status == 404:
        return error_response(status, code, f"There is nothing at {request.url.path!r}; see /openapi.json.")
    if status == 405:
        allowed = ", ".join(sorted(_methods(request)))
        message = f"{request.method} can't be done here, only {allowed}."
        return error_response(status, code, message, headers={"Allow": allowed})
    message = "The body is not JSON that can be read." if status == 400 else str(error.detail)
    return error_response(status, code, message, headers=error.headers)


async def _on_disconnect(request: Request, error: ClientDisconnect) -> Response:
    return Response(status_code=400)  # nobody is there to read it


async def _on_validation_error(request: Request, error: RequestValidationError) -> Response:
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return error_response(400, "malformed_request", f"The body is not JSON: {found[0]['ctx']['error']}.")
    route: APIRoute = request.scope["route"]
    document = request.app.openapi()
    schema = request_schema(document, route.path_format, request.method)
    return invalid_request(find_problems(found, schema, document)).response()


EXCEPTION_HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    PerdureError: _on_perdure_error,
    OSError: _on_os_error,
    ClientDisconnect: _on_disconnect,
    HTTPException: _on_http_exception,
    RequestValidationError: _on_validation_error,
}
"""What an app is given so that every error has the one shape."""


def request_schema(document: Mapping[str, Any], path: str, method: str) -> dict[str, Any]:
    """Return what an OpenAPI document says of the parts of a request, as one JSON schema."""
    described = document["paths"].get(path, {}).get(method.lower(), {})
    parts: dict[str, Any] = {part: {"properties": {}} for part in ("query", "path", "header", "cookie")}
    for parameter in described.get("parameters", ()):
        parts[parameter["in"]]["properties"][parameter["name"]] = parameter["schema"]
    content = described.get("requestBody", {}).get("content", {})
    parts["body"] = content.get("application/json", {}).get("schema", {})
    return {"properties": parts}


def _name(place: Sequence[str | int]) -> str:
    """Return how a message names a place in a request, whose first part says which part of it."""
    part, *names = place
    name = f"`{'.'.join(map(str, names))}`"
    if part == "body":
        return name if names else "The body"
    return f"The {_PARTS.get(str(part), str(part))} {name}" if names else f"The {part}"


def _methods(request: Request) -> set[str]:
    """Return all methods that the routes at a request's path take."""
    methods: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return methods


def _text(text: str) -> str:
    text = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
    return text.encode("utf-8", "replace").decode()


def _plain(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON can hold it, and not much of it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if value.bit_length() <= 53:
            return value
        return str(value) if value.bit_length() <= 256 else "a huge integer"
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if depth < 3:
        if isinstance(value, Mapping):
            items = list(value.items())[:MOST_VALUES]
            return {_text(str(key)): _plain(item, depth + 1) for key, item in items}
        if isinstance(value, list | tuple | set | frozenset):
            return [_plain(item, depth + 1) for item in list(value)[:MOST_VALUES]]
    return _text(str(value))
