"""The edge: the one way of every request into the app and of every answer out of it.

It names the request, checks where it comes from and who asks, finds its route, reads its body within the
limit, and answers what goes wrong in the shape of the API that it is for. It counts and logs each answer.
What is no route of its own, it hands to the app of the native API's other routes, within the same limits.
"""

import itertools
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perdure import tracing
from perdure.errors import DialectUnusable, Invalid, PerdureError
from perdure.web.auth import Callers, note_caller
from perdure.web.bodies import Limit, Upload, bounded, check_media_type, has_body, read, strict
from perdure.web.dialect import Call, Dialect, Route, json_response
from perdure.web.errors import raised_by_routes
from perdure.web.failures import Failure, HttpError, failure_of
from perdure.web.headers import Headers, headers_of
from perdure.web.origins import OriginPolicy
from perdure.web.paths import check_encoding
from perdure.web.routing import METHODS, Routing
from perdure.web.services import Services
from perdure.web.tokens import Caller

__all__ = ["Admission", "Edge"]

PREFLIGHT_SECONDS = "600"

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

# Proxies know by a token that an answer isn't for others, but not by a cookie.
_PRIVATE = (b"cache-control", b"private")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Admission:
    """Who may call an app, and how much may be sent.

    Attributes
    ----------
    callers
        Finds out who asks.
    policy
        Which hosts the app answers to, and which web pages may call it.
    public
        Paths of the native API that need no token.
    limit
        The largest body of JSON.
    uploads
        Requests of the native API whose body isn't JSON.
    public_below
        Beginnings of paths of the native API that need no token, each with a slash at its end.
    """

    callers: Callers
    policy: OriginPolicy
    public: Collection[str]
    limit: Limit
    uploads: Sequence[Upload] = ()
    public_below: tuple[str, ...] = ()


class Edge:
    """An ASGI app that answers HTTP.

    Parameters
    ----------
    native
        The native API: the routes that don't go through FastAPI, and the shape of its errors.
    rest
        The app that has the native API's other routes.
    paths
        The templates of their paths.
    dialects
        The dialects that are served.
    admission
        Who may call.
    root_path
        Prefix of all paths, for clients. A proxy may have removed it from a request's. By default that of an
        app that this one is mounted in.
    count
        Called with the method, the status and the seconds of each answer when it has ended.
    log_all
        Whether every answer gets a log line, or only those with a status of 400 and more. What a query or a
        body holds is in none of them.

    Attributes
    ----------
    apis
        The native API, and the dialects.
    public
        Paths of the native API that need no token.

    Raises
    ------
    DialectUnusable
        As `Routing` does.
    Invalid
        If the prefix is the beginning of a route's path.
    """

    def __init__(
        self,
        native: Dialect[Any],
        rest: ASGIApp,
        paths: Collection[str],
        dialects: Sequence[Dialect[Any]],
        admission: Admission,
        *,
        root_path: str = "",
        count: Callable[[str, int, float], None] = lambda method, status, seconds: None,
        log_all: bool = False,
    ) -> None:
        self._native = native
        self._rest = rest
        self.apis = (native, *dialects)
        self._routing = Routing(native, paths, dialects)
        if root_path and self._routing.begins(root_path.split("/")[1]):
            raise Invalid(f"{root_path!r} is the path of a route; choose another PERDURE_ROOT_PATH.")
        self._root_path = root_path
        self.public = admission.public
        self._admission = admission
        self._callers = admission.callers
        self._policy = admission.policy
        self._count = count
        self._log_all = log_all
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._opened: dict[str, Any] = {}  # by the name of its API: what the handlers work with

    @asynccontextmanager
    async def opened(self, services: Services) -> AsyncIterator[None]:
        """Open what the handlers of all APIs work with, for as long as the block lasts.

        Raises
        ------
        DialectUnusable
            If a dialect can't be opened, for another reason than one of `perdure.errors`.
        """
        async with AsyncExitStack() as stack:
            for api in self.apis:
                try:
                    self._opened[api.name] = await stack.enter_async_context(api.opened(services))
                except PerdureError:
                    raise
                except Exception as error:
                    reason = f"it can't be opened: {type(error).__name__}: {error}".rstrip(".")
                    raise DialectUnusable(dialect=api.name, reason=reason) from error
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        root_path = self._root_path or scope.get("root_path", "")
        if root_path:
            path = scope["path"].removeprefix(root_path)
            scope = {
                **scope,
                "path": path if path[:1] in ("", "/") else scope["path"],
                "root_path": root_path,
            }
        if not tracing.enabled():
            await self._serve(scope, receive, send, root_path)
            return
        parent = headers_of(scope).get(b"traceparent", b"").decode("latin-1")
        method, path = scope["method"][:20], scope["path"][:200]
        with tracing.server_span(method, parent, **{"http.request.method": method, "url.path": path}):
            await self._serve(scope, receive, send, root_path)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, root_path: str) -> None:
        request = f"{self._prefix}-{next(self._numbers)}"
        answering = _Answering(send, request, root_path)
        begun = time.perf_counter()
        bound = structlog.contextvars.bind_contextvars(request=request)
        try:
            if scope["method"] == "HEAD":
                with anyio.CancelScope() as unanswered:
                    answering = _Answering(_head_only(send, unanswered), request, root_path)
                    await self._answer({**scope, "method": "GET"}, receive, answering)
            else:
                await self._answer(scope, receive, answering)
        finally:
            if answering.status:  # nothing was answered to a client that went away
                self._note(scope, answering.status, time.perf_counter() - begun)
            structlog.contextvars.reset_contextvars(**bound)

    async def _answer(self, scope: Scope, receive: Receive, send: "_Answering") -> None:
        found = self._routing.find(scope["path"])
        api, routes = found.api, found.routes
        headers = headers_of(scope)
        try:
            origin = self._policy.admit(scope, headers)
            send.headers += self._policy.headers(origin)
            check_encoding(scope)
            method = scope["method"]
            if method == "OPTIONS" and self._is_preflight(api, routes, origin, headers):
                await self._preflight(api, routes)(scope, receive, send)
            elif routes:
                route = routes.get(method)
                if route is None:
                    raise self._not_allowed(api, method, routes)
                answer = await self._call(route, api, found.values, scope, headers, receive, send)
                if isinstance(answer, bytes):
                    await send.json(answer)
                else:
                    await answer(scope, receive, send)
            elif not scope["path"]:  # the prefix alone: links of the start page are relative to its slash
                await RedirectResponse("/", 308)(scope, receive, send)
            elif api is self._native:
                await self._hand_on(scope, headers, receive, send)
            else:
                raise HttpError(404, "route_not_found", f"There is nothing at {scope['path'][:200]!r}.")
        except ClientDisconnect:
            return
        except Exception as error:
            await self._fail(api, error, scope, receive, send)

    async def _call(
        self,
        route: Route[Any],
        api: Dialect[Any],
        values: Sequence[str],
        scope: Scope,
        headers: Headers,
        receive: Receive,
        send: "_Answering",
    ) -> bytes | ASGIApp:
        """Let the handler of a route answer."""
        caller = self._caller(scope, headers, send, public=route.public, native=api is self._native)
        data = b""
        if has_body(headers):
            data = await read(bounded(receive, headers, self._admission.limit))
        call = Call(
            caller,
            dict(zip(route.names, values, strict=True)),
            headers,
            route.body(data, headers),
            scope,
            receive,
        )
        return await route.handler(self._opened[api.name], call)

    async def _hand_on(self, scope: Scope, headers: Headers, receive: Receive, send: "_Answering") -> None:
        """Let the app of the other routes answer."""
        public = scope["path"] in self.public or scope["path"].startswith(self._admission.public_below)
        note_caller(scope, self._caller(scope, headers, send, public=public, native=True))
        if scope["method"] in _WITH_BODY and has_body(headers):
            upload = next((one for one in self._admission.uploads if one.path.fullmatch(scope["path"])), None)
            receive = bounded(receive, headers, self._admission.limit if upload is None else upload.limit)
            if upload is None:
                check_media_type(headers)
                receive = strict(receive)
            elif upload.media_type is not None:
                check_media_type(headers, upload.media_type)
        scope["path"] = f"{scope.get('root_path', '')}{scope['path']}"  # as ASGI has it
        await self._rest(scope, receive, send)

    def _caller(
        self, scope: Scope, headers: Headers, send: "_Answering", *, public: bool, native: bool
    ) -> Caller:
        """Return who asks. Only the native API takes the cookies of logins."""
        find = self._callers.find if public else self._callers.need
        caller = find(scope, headers, by_cookie=native)
        if caller.by_cookie:
            send.headers.append(_PRIVATE)
        return caller

    async def _fail(
        self, api: Dialect[Any], error: Exception, scope: Scope, receive: Receive, send: "_Answering"
    ) -> None:
        """Answer for what was raised."""
        if api is self._native:
            error = raised_by_routes(error, scope)
        if isinstance(error, ClientDisconnect):
            return
        failure = failure_of(error, send.request, api.all_statuses)
        if send.status or not isinstance(failure.error, PerdureError | HttpError):
            log.error("request_failed", method=scope["method"], path=scope["path"][:200], exc_info=error)
        if send.status:
            raise error  # the server breaks the connection off, so that half an answer isn't taken for one
        await self._shaped(api, failure)(scope, receive, send)

    def _shaped(self, api: Dialect[Any], failure: Failure) -> Response:
        """Return the answer for a failure, in the native shape if the dialect's own fails."""
        try:
            return json_response(api.error(failure), failure.status, failure.headers)
        except Exception as error:
            if api is self._native:
                raise
            log.error("error_not_shaped", dialect=api.name, exc_info=error)
            return self._shaped(self._native, failure)

    def _is_preflight(
        self, api: Dialect[Any], routes: Mapping[str, Any], origin: str | None, headers: Headers
    ) -> bool:
        """Return whether OPTIONS asks what is allowed: of a dialect's route always."""
        if api is self._native:
            return origin is not None and b"access-control-request-method" in headers
        return bool(routes)

    def _preflight(self, api: Dialect[Any], routes: Mapping[str, Any]) -> Response:
        methods = ", ".join(METHODS) if api is self._native else ", ".join([*routes, "OPTIONS"])
        return Response(
            status_code=204,
            headers={
                "Allow": methods,
                "Access-Control-Allow-Methods": methods,
                "Access-Control-Allow-Headers": api.request_headers,
                "Access-Control-Max-Age": PREFLIGHT_SECONDS,
            },
        )

    def _not_allowed(self, api: Dialect[Any], method: str, routes: Mapping[str, Any]) -> HttpError:
        allowed = ", ".join(sorted(routes) if api is self._native else [*routes, "OPTIONS"])
        message = f"{method[:20]} can't be done here, only {allowed}."
        return HttpError(405, "method_not_allowed", message, headers={"Allow": allowed})

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        self._count(scope["method"], status, seconds)
        if tracing.enabled():
            tracing.note(**{"http.response.status_code": status})
        if status >= 400 or self._log_all:
            level = "warning" if status >= 500 else "info"
            values = {"method": scope["method"][:20], "path": scope["path"][:200], "status": status}
            getattr(log, level)("request", **values, seconds=round(seconds, 6))


def _head_only(send: Send, unanswered: anyio.CancelScope) -> Send:
    """Return what sends the head of an answer only, and cancels what would send more, such as a stream."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b""})
        unanswered.cancel()

    return send_head


class _Answering:
    """Sends the answer to a request, with the headers that every answer has.

    Attributes
    ----------
    request
        The request's id.
    root_path
        The prefix that paths in headers get.
    headers
        The headers that are added.
    status
        The status that was sent; 0 before.
    """

    __slots__ = ("_root_path", "_send", "headers", "request", "status")

    def __init__(self, send: Send, request: str, root_path: str) -> None:
        self._send = send
        self._root_path = root_path.encode()
        self.request = request
        self.headers = [(b"x-request-id", request.encode())]
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), *self.headers]
            if self._root_path:
                headers = [
                    (name, self._root_path + value if name == b"location" and value[:1] == b"/" else value)
                    for name, value in headers
                ]
            message["headers"] = headers
        await self._send(message)

    async def json(self, body: bytes) -> None:
        """Send JSON, all at once."""
        self.status = 200
        length = (b"content-length", b"%d" % len(body))
        headers = [(b"content-type", b"application/json"), length, *self.headers]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})
