"""Operations: routes of the native API on msgspec Structs, for what must be quick.

From outside they look like any other route: the query and the body are decoded strictly, and the OpenAPI
document describes them.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.types import ASGIApp

from perdure.validation import Problem
from perdure.web.bodies import check_media_type, decode_json
from perdure.web.dialect import Call, Route
from perdure.web.failures import invalid_request
from perdure.web.headers import Headers
from perdure.web.paths import query_values
from perdure.web.services import AppServices
from perdure.web.structs import struct_problems

__all__ = ["RUN_ID_PATTERN", "Operation", "route"]

RUN_ID_PATTERN = "^[A-Za-z0-9_-]{1,64}$"

_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

Handler = Callable[[AppServices, Call, Any], Awaitable[bytes | ASGIApp]]
"""Takes the services, a call, and the decoded body or query of the operation's type."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What an operation takes and answers, for decoding and for the OpenAPI document.

    Attributes
    ----------
    path, method
        Where it is; the path has the parameter ``run_id`` or none.
    handler
        What does it; its name is the operation's id, its docstring the description.
    body
        The Struct its body is decoded into; None takes no body. An empty body means all defaults.
    query
        The Struct its query parameters are decoded into; None takes no parameters.
    keyed
        Whether it takes an idempotency key, which its handler reads.
    answer
        The Struct that describes its JSON answer; None if it has none.
    media
        Further media types it can answer with, each with its schema.
    headers
        Request headers that it looks at, each with what it means.
    empty
        When it answers with 204; None if it never does.
    errors
        The statuses of errors it may answer with.
    """

    path: str
    method: str
    handler: Handler
    summary: str
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    keyed: bool = False
    answer: type[msgspec.Struct] | None = None
    media: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    empty: str | None = None
    errors: tuple[int, ...] = ()


def route(operation: Operation, described: Mapping[str, Any]) -> Route[AppServices]:
    """Return the route of an operation, which the OpenAPI document describes so."""
    handler, query = operation.handler, operation.query

    async def answer(services: AppServices, call: Call) -> bytes | ASGIApp:
        if any(_RUN_ID.fullmatch(value) is None for value in call.params.values()):
            raise invalid_request([Problem(("path", "run_id"), f"must match {RUN_ID_PATTERN}")])
        asked = _read_query(call.scope["query_string"], query)
        return await handler(services, call, call.body if query is None else asked)

    return Route(operation.method, operation.path, answer, described, _reader(operation.body))


def _reader(kind: type[msgspec.Struct] | None) -> Callable[[bytes, Headers], Any]:
    """Return what decodes the body of an operation."""
    if kind is None:
        return lambda data, headers: None
    decoder, default = msgspec.json.Decoder(kind), kind()

    def read(data: bytes, headers: Headers) -> Any:
        if not data:
            return default
        check_media_type(headers)
        try:
            return decode_json(data, decoder)
        except msgspec.ValidationError as error:
            raise invalid_request(struct_problems(kind, _json(data), "body", error)) from None

    return read


def _read_query(query: bytes, kind: type[msgspec.Struct] | None) -> Any:
    if kind is None:
        if query:
            raise invalid_request([Problem(("query",), "must be empty: this route takes no parameters")])
        return None
    values = query_values(query)
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid_request(struct_problems(kind, values, "query", error)) from None


def _json(data: bytes) -> Any:
    """Return the JSON in the data; raise `HttpError` if it is none: decoding to a type stops before."""
    try:
        return decode_json(data, _ANYTHING)
    except msgspec.ValidationError:
        return json.loads(data, parse_int=float)  # with a number out of range, which is infinite here


_ANYTHING: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
