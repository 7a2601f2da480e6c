"""The port of dialects: an API beside the native one, with paths and errors of its own.

A dialect is a value: its routes, and the shape of its errors. Before a route's handler is called, the edge
has checked the host, the origin, the token and the size of the body, in the same way for every API. Whatever
a handler raises, the edge answers in the dialect's shape.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope

from perdure.drivers.session_requests import Owner
from perdure.run import Key
from perdure.web.bodies import declared_object
from perdure.web.failures import STATUSES, Failure, Statuses
from perdure.web.headers import Headers
from perdure.web.idempotency import key_text, make_key
from perdure.web.tokens import Caller

__all__ = ["Call", "Dialect", "Handler", "Route", "json_response"]

S = TypeVar("S")


class Call(msgspec.Struct, frozen=True):
    """One request for a route.

    Attributes
    ----------
    caller
        Who asks; of a public route perhaps `NOBODY`.
    params
        What the parameters of the path are.
    headers
        The request's headers: names in lower case → values.
    body
        What was sent, decoded as the route says; by default a JSON object, or None if nothing was sent that
        is declared as JSON.
    scope, receive
        The ASGI scope, and where the end of the request can be awaited: its body has been read.
    """

    caller: Caller
    params: Mapping[str, str]
    headers: Headers
    body: Any
    scope: Scope
    receive: Receive

    @property
    def owner(self) -> Owner:
        """Whose things the caller sees; None for an administrator, who sees everybody's."""
        return self.caller.owner

    @property
    def maker(self) -> str:
        """Whose a thing is that this request makes."""
        return self.caller.name

    def key(self, route: str, request: Any) -> Key | None:
        """Return the key under which the request takes effect once only; None if the client gave none.

        Parameters
        ----------
        route
            What the request is to do, with all that its path says.
        request
            What it says besides, as JSON; under one key it has to be the same.
        """
        return make_key(key_text(self.headers), route, request)


Handler = Callable[[S, Call], Awaitable[bytes | ASGIApp]]
"""Takes what the dialect works with and a call; answers with JSON, or an ASGI app such as a `Response`."""


@dataclass(frozen=True)
class Route(Generic[S]):
    """A method at a path.

    Attributes
    ----------
    method, path
        Where it is. The method is GET, POST, PUT, PATCH or DELETE. The path begins with a slash; a part in
        braces is a parameter, which is any text but an empty one. A slash at the end of a request's path
        makes no difference.
    handler
        What answers.
    operation
        Its operation in the OpenAPI document. What isn't given there is taken from the handler: its name and
        its docstring.
    body
        Decodes the body, given its bytes and the request's headers.
    public
        Whether it needs no token.
    """

    method: str
    path: str
    handler: Handler[S]
    operation: Mapping[str, Any] = field(default_factory=dict)
    body: Callable[[bytes, Headers], Any] = declared_object
    public: bool = False

    @property
    def parts(self) -> list[str]:
        """The parts of the path."""
        return self.path.removeprefix("/").split("/")

    @cached_property
    def names(self) -> list[str]:
        """The names of its parameters."""
        return [part[1:-1] for part in self.parts if part.startswith("{")]


@dataclass(frozen=True, kw_only=True)
class Dialect(Generic[S]):
    """An API with routes and errors of its own.

    Attributes
    ----------
    name, description
        What it is called, also in the OpenAPI document, which no other API is; and what it is.
    routes
        Its routes. Where a path matches several, a text in a path counts more than a parameter, unless no
        path goes on from it. What isn't there below a first part from which its paths go on is answered in
        its shape, too.
    opened
        Opens what its handlers work with, for as long as the app serves, given the `Services` of the app.
    error
        Returns the body of the answer for a failure, as JSON.
    statuses
        The statuses of errors, where they differ from those of the native API.
    schemas
        What the operations of its routes refer to in the OpenAPI document's schemas, under names that no
        other API uses.
    request_headers
        The request headers that web pages of other origins may send.
    """

    name: str
    description: str
    routes: Sequence[Route[S]]
    opened: Callable[[Any], AbstractAsyncContextManager[S]]
    error: Callable[[Failure], Any]
    statuses: Statuses = field(default_factory=dict)
    schemas: Mapping[str, Any] = field(default_factory=dict)
    request_headers: str = "Authorization, Content-Type, Idempotency-Key"

    @property
    def all_statuses(self) -> Statuses:
        """The statuses of all errors."""
        return {**STATUSES, **self.statuses}


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer in JSON."""
    return Response(msgspec.json.encode(body), status, headers, "application/json")
