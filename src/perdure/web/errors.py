"""Errors of the native API: one JSON shape for all of them, and what its document says of them."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from perdure.validation import find_problems
from perdure.web.failures import Failure, HttpError, invalid_request, shortened

__all__ = [
    "Error",
    "ErrorBody",
    "error_body",
    "error_of",
    "error_response",
    "error_responses",
    "raised_by_routes",
    "request_schema",
]

_CODES: Mapping[int, str] = {
    400: "malformed_request",
    404: "route_not_found",
    405: "method_not_allowed",
    413: "body_too_large",
}

_DESCRIPTIONS: Mapping[int, str] = {
    400: "The body is not JSON.",
    401: "The token is missing or wrong.",
    403: "It is of a foreign web page, for another host, or not allowed by the operator of the server.",
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

MOST_VALUES = 20  # values of one detail
MOST_DETAILS = 10_000  # bytes; with more there are none


class Error(BaseModel):
    """What went wrong: a code for programs, a message for people, and the values that it is about."""

    code: str = Field(examples=["run_not_found"])
    message: str
    details: dict[str, Any]


class ErrorBody(BaseModel):
    """How every error is answered."""

    error: Error


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


def error_body(failure: Failure) -> dict[str, Any]:
    """Return the body of the answer for a failure, bounded in size and safe as JSON."""
    return {"error": error_of(failure).model_dump()}


def error_of(failure: Failure) -> Error:
    """Return what is answered about a failure, bounded in size and safe as JSON."""
    details = _plain(failure.details)
    if len(msgspec.json.encode(details)) > MOST_DETAILS:
        details = {}
    return Error(code=failure.code, message=failure.message, details=details)


def error_response(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer for an error that is met where there is no request yet."""
    body = error_body(Failure(status, code, shortened(message), HttpError(status, code, message)))
    return Response(msgspec.json.encode(body), status, headers, "application/json")


def raised_by_routes(error: Exception, scope: Scope) -> Exception:
    """Return what an error that a route of FastAPI raised means here."""
    cause = error.__cause__
    match error:
        case HTTPException() if isinstance(cause, HttpError | ClientDisconnect):
            return cause  # it was raised while FastAPI read the body
        case HTTPException(status_code=404):
            return HttpError(404, _CODES[404], f"There is nothing at {scope['path']!r}; see /openapi.json.")
        case HTTPException(status_code=405):
            allowed = ", ".join(sorted(_methods(scope)))
            message = f"{scope['method']} can't be done here, only {allowed}."
            return HttpError(405, _CODES[405], message, headers={"Allow": allowed})
        case HTTPException(status_code=status):
            code = _CODES.get(status, HTTPStatus(status).phrase.lower().replace(" ", "_"))
            message = "The body is not JSON that can be read." if status == 400 else str(error.detail)
            return HttpError(status, code, message, headers=error.headers)
        case RequestValidationError():
            found = error.errors()
            if any(one["type"] == "json_invalid" for one in found):
                return HttpError(400, _CODES[400], f"The body is not JSON: {found[0]['ctx']['error']}.")
            app: FastAPI = scope["app"]
            document = app.openapi()
            schema = request_schema(document, scope["route"].path_format, scope["method"])
            return invalid_request(find_problems(found, schema, document))
    return error


def request_schema(document: Mapping[str, Any], path: str, method: str) -> dict[str, Any]:
    """Return what an OpenAPI document says of the parts of a request, as one JSON schema."""
    described = document["paths"].get(path, {}).get(method.lower(), {})
    parts: dict[str, Any] = {part: {"properties": {}} for part in ("query", "path", "header", "cookie")}
    for parameter in described.get("parameters", ()):
        parts[parameter["in"]]["properties"][parameter["name"]] = parameter["schema"]
    content = described.get("requestBody", {}).get("content", {})
    parts["body"] = content.get("application/json", {}).get("schema", {})
    return {"properties": parts}


def _methods(scope: Scope) -> set[str]:
    """Return all methods that the routes at a request's path take."""
    methods: set[str] = set()
    for route in scope["app"].routes:
        if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return methods


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
            return {shortened(str(key)): _plain(item, depth + 1) for key, item in items}
        if isinstance(value, list | tuple | set | frozenset):
            return [_plain(item, depth + 1) for item in list(value)[:MOST_VALUES]]
    return shortened(str(value))
