"""Open routes: those of dialects, which answer in the dialect's own shape.

They take requests before the app does and hand on what isn't theirs: their paths may have no fixed beginning,
and their errors and tokens are told in their own way. What a dialect adds is its paths and shapes.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perdure.drivers.session_requests import Owner
from perdure.errors import PerdureError
from perdure.web.auth import Callers, Unauthorized
from perdure.web.bodies import read_object
from perdure.web.errors import HttpError, status_of
from perdure.web.headers import headers_of
from perdure.web.origins import OriginPolicy
from perdure.web.paths import check_encoding

__all__ = ["Call", "Handler", "OpenDialect", "OpenRoutes"]

PREFLIGHT_SECONDS = "600"

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Call:
    """One request, decoded.

    Attributes
    ----------
    scope
        The ASGI scope it came with.
    owner, maker
        Who asks, and whose a thing is that it makes.
    name
        The instance, task or other thing named in its path, or an empty text.
    body
        Its JSON object; None if it has no body that is declared as JSON.
    receive
        Where its end is told.
    """

    scope: Scope
    owner: Owner
    maker: str
    name: str
    body: dict[str, Any] | None = field(repr=False)
    receive: Receive = field(repr=False)


Handler = Callable[[Call], Awaitable[ASGIApp]]


class OpenDialect(Protocol):
    """What a dialect tells of its routes."""

    allowed_headers: str

    def find(self, scope: Scope) -> tuple[Mapping[str, Handler], str] | None:
        """Return the handlers at a request's path, by method, and what the path names; None: not a route."""
        ...

    def error(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
        """Return the answer for an error."""
        ...

    def own_error(self, error: Exception) -> Response | None:
        """Return the answer for an error that the dialect has an answer of its own for."""
        ...

    def unauthorized(self, text: str) -> Response:
        """Return the answer to somebody whose token is missing or wrong."""
        ...


class OpenRoutes:
    """Middleware that answers a dialect's routes and hands all others on.

    Parameters
    ----------
    app
        What has the other routes.
    dialects
        Their routes and shapes; a path is the first one's that has it.
    callers
        Finds out who asks.
    policy
        Which hosts they answer to, and which web pages may call them.
    max_body_bytes
        Largest request body.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        dialects: Sequence[OpenDialect],
        callers: Callers,
        policy: OriginPolicy,
        max_body_bytes: int,
    ) -> None:
        self._app = app
        self._dialects = tuple(dialects)
        self._callers = callers
        self._policy = policy
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for dialect in self._dialects:
                found = dialect.find(scope)
                if found is not None:
                    await self._serve(dialect, *found, scope, receive, send)
                    return
        await self._app(scope, receive, send)

    async def _serve(
        self,
        dialect: OpenDialect,
        methods: Mapping[str, Handler],
        name: str,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        try:
            origin = self._policy.admit(scope)
        except HttpError as error:
            await dialect.error(error.status_code, error.detail)(scope, receive, send)
            return
        send = self._allowing(origin, send)
        try:
            answer = await self._answer(dialect, methods, name, scope, receive)
        except ClientDisconnect:
            return
        except Exception as error:
            answer = _error(dialect, error, scope)
        await answer(scope, receive, send)

    async def _answer(
        self, dialect: OpenDialect, methods: Mapping[str, Handler], name: str, scope: Scope, receive: Receive
    ) -> ASGIApp:
        check_encoding(scope)
        method = scope["method"]
        allowed = ", ".join([*methods, "OPTIONS"])
        if method == "OPTIONS":
            return _preflight(allowed, dialect.allowed_headers)
        if method not in methods:
            text = f"{method[:20]} can't be done here, only {allowed}"
            return dialect.error(405, text, {"Allow": allowed})
        caller = self._callers.need(scope, headers_of(scope))
        body = await read_object(scope, receive, self._max_body_bytes)
        return await methods[method](Call(scope, caller.owner, caller.name, name, body, receive))

    def _allowing(self, origin: str | None, send: Send) -> Send:
        """Return a `send` that lets the web pages read the answer that may call the server."""
        headers = self._policy.headers(origin)

        async def send_allowing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        return send_allowing


def _preflight(methods: str, headers: str) -> Response:
    return Response(
        status_code=204,
        headers={
            "Allow": methods,
            "Access-Control-Allow-Methods": methods,
            "Access-Control-Allow-Headers": headers,
            "Access-Control-Max-Age": PREFLIGHT_SECONDS,
        },
    )


def _error(dialect: OpenDialect, error: Exception, scope: Scope) -> Response:
    if isinstance(error, Unauthorized):
        return dialect.unauthorized(f"Authentication Token is {'wrong' if error.given else 'missing'}!")
    own = dialect.own_error(error)
    if own is not None:
        return own
    match error:
        case PerdureError():
            status = status_of(type(error))
            if status == 500:
                log.error("damaged", code=error.code, reason=str(error))
            return dialect.error(status, str(error))
        case HttpError():
            return dialect.error(error.status_code, error.detail)
    log.error("request_failed", method=scope["method"], path=scope["path"][:200], exc_info=error)
    return dialect.error(500, "something unexpected failed; the server's log has it")
