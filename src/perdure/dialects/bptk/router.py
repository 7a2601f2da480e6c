"""The router: BPTK's routes over HTTP, in front of the app that has all other routes.

BPTK's instances have paths of their own at the root, and its errors, tokens and origins are answered in its
own way. So these routes take requests before the app does, and hand on what isn't theirs.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec
import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perdure.dialects.bptk.dialect import Dialect
from perdure.dialects.bptk.handlers import FIXED, OF_INSTANCE, Handler
from perdure.dialects.bptk.mistakes import BptkError
from perdure.dialects.bptk.requests import Call, read_body
from perdure.drivers.requests import ADMINISTRATOR, Owner
from perdure.errors import PerdureError
from perdure.web.auth import LOCAL, Tokens, from_socket
from perdure.web.errors import HttpError, status_of

__all__ = ["BptkRoutes"]

ROUTES_OF_OTHERS = frozenset({"runs", "models", "experiments", "simulation"})
"""First parts of paths that are never an instance's id."""

SHARED_WITH_SLASH = frozenset({"/healthy/", "/metrics/"})

ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, Expected-Step"
PREFLIGHT_SECONDS = "600"
LONGEST_ID = 200  # characters
LONGEST_TEXT = 1_000  # characters of an error

log = structlog.get_logger(__name__)


class BptkRoutes:
    """Middleware that answers BPTK's routes and hands all others on.

    Parameters
    ----------
    app
        What has the other routes.
    dialect
        Returns the dialect that serves a request.
    tokens
        The tokens known; without any, everything is `LOCAL`'s.
    cors_origins
        Origins whose web pages may call; none means any.
    max_body_bytes
        Largest request body.
    administrator_socket
        The path of the Unix socket whose requests are the administrator's.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        dialect: Callable[[Scope], Dialect],
        tokens: Tokens,
        cors_origins: Collection[str],
        max_body_bytes: int,
        administrator_socket: str | None,
    ) -> None:
        self._app = app
        self._dialect = dialect
        self._tokens = tokens
        self._origins = frozenset(origin.rstrip("/").lower() for origin in cors_origins) - {"*"}
        self._max_body_bytes = max_body_bytes
        self._socket = administrator_socket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = _route(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await self._app(_without_slash(scope), receive, send)
            return
        methods, instance = found
        origin, same = _origin(scope)
        if origin is not None and not same and self._origins and origin.lower() not in self._origins:
            await _error(403, "web pages of this origin may not call the server; cors_origins allows them")(
                scope, receive, send
            )
            return
        send = self._allowing(origin, send)
        try:
            answer = await self._answer(methods, instance, scope, receive)
        except ClientDisconnect:
            return
        except BptkError as error:
            answer = _error(error.status, error.text, error.headers)
        except PerdureError as error:
            status = status_of(type(error))
            if status == 500:
                log.error("damaged", code=error.code, reason=str(error))
            answer = _error(status, str(error))
        except HttpError as error:
            answer = _error(error.status_code, error.detail)
        except Exception:
            log.exception("request_failed", method=scope["method"], path=scope["path"][:200])
            answer = _error(500, "something unexpected failed; the server's log has it")
        await answer(scope, receive, send)

    async def _answer(
        self, methods: Mapping[str, Handler], instance: str, scope: Scope, receive: Receive
    ) -> ASGIApp:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        allowed = ", ".join([*methods, "OPTIONS"])
        if method == "OPTIONS":
            return _preflight(allowed)
        if method not in methods:
            raise BptkError(405, f"{method[:20]} can't be done here, only {allowed}", {"Allow": allowed})
        owner, refusal = self._owner(scope)
        if refusal is not None:
            return refusal
        body = await read_body(scope, receive, self._max_body_bytes)
        call = Call(scope, owner, owner or LOCAL, instance, body, receive)
        return await methods[method](self._dialect(scope), call)

    def _owner(self, scope: Scope) -> tuple[Owner, Response | None]:
        """Return who asks, or the answer to somebody whose token is missing or wrong."""
        if from_socket(scope, self._socket):
            return ADMINISTRATOR, None
        if not self._tokens:
            return LOCAL, None
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        owner = self._tokens.owner(given[0]) if len(given) == 1 else None
        if owner is not None:
            return owner, None
        text = f"Authentication Token is {'wrong' if given else 'missing'}!"
        return None, _json({"Unauthorized": text}, 401, {"WWW-Authenticate": "Bearer"})

    def _allowing(self, origin: str | None, send: Send) -> Send:
        """Return a `send` that lets the web pages read the answer that may call the server."""
        headers = [(b"access-control-allow-origin", b"*")]
        if self._origins:
            headers = [(b"vary", b"Origin")]
            if origin is not None:
                headers.append((b"access-control-allow-origin", origin.encode("latin-1")))

        async def send_allowing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        return send_allowing


def _route(path: str) -> tuple[Mapping[str, Handler], str] | None:
    """Return the methods at a path, and the instance in it; None if the path isn't one of BPTK's."""
    parts = path.removeprefix("/").removesuffix("/").split("/")
    if len(parts) == 1 and parts[0] in FIXED:
        return FIXED[parts[0]], ""
    if len(parts) != 2 or parts[1] not in OF_INSTANCE or parts[0] in ROUTES_OF_OTHERS:
        return None
    return (OF_INSTANCE[parts[1]], parts[0]) if 0 < len(parts[0]) <= LONGEST_ID else None


def _without_slash(scope: Scope) -> Scope:
    """Return the scope of a route that BPTK has too, without the slash that BPTK allows at its end."""
    if scope["type"] == "http" and scope["path"] in SHARED_WITH_SLASH:
        path = scope["path"][:-1]
        return {**scope, "path": path, "raw_path": path.encode()}
    return scope


def _origin(scope: Scope) -> tuple[str | None, bool]:
    """Return the origin of the web page that asks, if one does, and whether it is the server's own."""
    host, origin = "", None
    for name, value in scope["headers"]:
        if name == b"host":
            host = value.decode("latin-1").lower()
        elif name == b"origin":
            origin = value.decode("latin-1")
    return origin, origin is not None and bool(host) and origin.lower().partition("://")[2] == host


def _preflight(methods: str) -> Response:
    return Response(
        status_code=204,
        headers={
            "Allow": methods,
            "Access-Control-Allow-Methods": methods,
            "Access-Control-Allow-Headers": ALLOWED_HEADERS,
            "Access-Control-Max-Age": PREFLIGHT_SECONDS,
        },
    )


def _error(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    text = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
    return _json({"error": text.encode("utf-8", "replace").decode()}, status, headers)


def _json(body: Any, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, "application/json")
