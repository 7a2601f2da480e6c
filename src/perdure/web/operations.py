"""Operations: routes on msgspec Structs, for what must be quick, that look like any other route from outside.

An operation is a plain Starlette route: its body and query are decoded strictly into Structs, its handler
answers with JSON bytes. `perdure.web.openapi` adds it to the OpenAPI document.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from perdure.drivers.session_requests import Owner
from perdure.validation import Problem
from perdure.web.auth import owner_of
from perdure.web.errors import HttpError, invalid_request
from perdure.web.idempotency import key_text
from perdure.web.limits import query_values
from perdure.web.structs import struct_problems

__all__ = ["RUN_ID_PATTERN", "Call", "Operation", "operation_of", "route"]

RUN_ID_PATTERN = "^[A-Za-z0-9_-]{1,64}$"

_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

Body = TypeVar("Body")
Query = TypeVar("Query")


class Call(msgspec.Struct, Generic[Body, Query], frozen=True):
    """One request for an operation on a run, decoded.

    Attributes
    ----------
    scope
        The ASGI scope it came with.
    owner
        Who asks.
    run_id
        The run in its path.
    body, query
        What was sent; of the operation's types.
    key
        The idempotency key's text, where the operation takes one.
    """

    scope: Scope
    owner: Owner
    run_id: str
    body: Body
    query: Query
    key: str | None


Handler = Callable[[Any], Awaitable[bytes | ASGIApp]]
"""Takes a `Call`, answers with JSON or with an ASGI app that sends something else."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What an operation on a run takes and answers, for decoding and for the OpenAPI document.

    Attributes
    ----------
    path, method
        Where it is; the path has the parameter ``run_id`` and no other.
    handler
        What does it; its name is the operation's id, its docstring the description.
    body
        The Struct its body is decoded into; None takes no body. An empty body means all defaults.
    query
        The Struct its query parameters are decoded into; None takes no parameters.
    keyed
        Whether it takes an idempotency key.
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


class _Endpoint:
    """The ASGI app of an operation."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self._handler = operation.handler
        self._keyed = operation.keyed
        self._query = operation.query
        self._body = operation.body
        self._decoder = None if operation.body is None else msgspec.json.Decoder(operation.body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        run_id = scope["path_params"]["run_id"]
        if _RUN_ID.fullmatch(run_id) is None:
            raise invalid_request([Problem(("path", "run_id"), f"must match {RUN_ID_PATTERN}")])
        try:
            body = await self._read_body(receive)
        except ClientDisconnect:
            return
        call = Call(
            scope,
            owner_of(scope),
            run_id,
            body,
            self._read_query(scope["query_string"]),
            key_text(scope["headers"]) if self._keyed else None,
        )
        answer = await self._handler(call)
        if not isinstance(answer, bytes):
            await answer(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _read_body(self, receive: Receive) -> Any:
        if self._decoder is None or self._body is None:
            return None
        data = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            data += message.get("body", b"")
            if not message.get("more_body", False):
                break
        if not data:
            return self._body()
        try:
            return self._decoder.decode(data)
        except msgspec.ValidationError as error:
            raise invalid_request(struct_problems(self._body, _json(data), "body", error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed(error) from None

    def _read_query(self, query: bytes) -> Any:
        if self._query is None:
            if query:
                raise invalid_request([Problem(("query",), "must be empty: this route takes no parameters")])
            return None
        values = query_values(query)
        try:
            return msgspec.convert(values, self._query, strict=False)
        except msgspec.ValidationError as error:
            raise invalid_request(struct_problems(self._query, values, "query", error)) from None


def route(operation: Operation) -> Route:
    """Return the route of an operation."""
    made = Route(operation.path, _Endpoint(operation), methods=[operation.method])
    made.methods = {operation.method}  # Starlette adds HEAD, which `Requests` makes a GET
    return made


def operation_of(candidate: object) -> Operation | None:
    """Return the operation that a route is of, if it is one."""
    endpoint = candidate.endpoint if isinstance(candidate, Route) else None
    return endpoint.operation if isinstance(endpoint, _Endpoint) else None


def _json(data: bytes) -> Any:
    """Return the JSON in the data; raise if it is none: decoding to a type stops at the first difference."""
    try:
        return msgspec.json.decode(data)
    except msgspec.ValidationError:
        return json.loads(data, parse_int=float)  # with a number out of range, which is infinite here
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(error) from None


def _malformed(error: Exception) -> HttpError:
    reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return HttpError(400, "malformed_request", f"The body is not JSON: {reason}.")
