"""Where a request comes from: no foreign web page drives the server, not even one that rebinds its DNS name.

A `Host` is checked while no tokens are set: then whoever reaches the server may do everything, and only the
names of this machine are trusted. An `Origin`, which browsers send, is the server's own or allowed (CORS).
"""

import ipaddress
from collections.abc import Collection
from functools import lru_cache

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perdure.web.auth import from_socket
from perdure.web.errors import error_response

__all__ = ["Origins", "is_loopback"]

_METHODS = "GET, POST, PUT, PATCH, DELETE"
_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match"
_EXPOSED = "Content-Disposition, ETag, Location, X-Request-ID"
_PREFLIGHT_SECONDS = "600"


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine and reachable from it only.

    >>> is_loopback("localhost"), is_loopback("127.8.9.1"), is_loopback("::1"), is_loopback("10.0.0.1")
    (True, True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Origins:
    """Middleware that answers foreign hosts and origins with 403, and allowed origins with CORS headers.

    Parameters
    ----------
    allowed
        Origins besides the server's own; ``*`` means any.
    hosts
        Host names to be trusted besides those of this machine; None trusts all.
    administrator_socket
        The path of the Unix socket whose requests aren't checked.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        allowed: Collection[str],
        hosts: Collection[str] | None,
        administrator_socket: str | None,
    ) -> None:
        self._app = app
        self._allowed = frozenset(origin.rstrip("/").lower() for origin in allowed)
        self._hosts = None if hosts is None else frozenset(host.lower() for host in hosts)
        self._socket = administrator_socket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or from_socket(scope, self._socket):
            await self._app(scope, receive, send)
            return
        host, origin = "", None
        for name, value in scope["headers"]:
            if name == b"host":
                host = value.decode("latin-1").lower()
            elif name == b"origin":
                origin = value.decode("latin-1")
        if self._hosts is not None and not self._trusted(host):
            message = (
                "Without tokens this server answers to the names of its own machine only; set PERDURE_TOKENS."
            )
            await error_response(403, "foreign_host", message, {"host": host})(scope, receive, send)
        elif origin is None or (host and origin.lower().partition("://")[2] == host):
            await self._app(scope, receive, send)
        elif "*" not in self._allowed and origin.lower() not in self._allowed:
            message = "Web pages of this origin may not call the server; cors_origins allows them."
            await error_response(403, "foreign_origin", message, {"origin": origin})(scope, receive, send)
        else:
            await self._answer_allowed(origin, scope, receive, send)

    def _trusted(self, host: str) -> bool:
        assert self._hosts is not None
        name = host.rpartition("]")[0][1:] if host.startswith("[") else host.partition(":")[0]
        return is_loopback(name) or name in self._hosts

    async def _answer_allowed(self, origin: str, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(scope=scope):
            preflight = Response(
                status_code=204,
                headers={
                    "Access-Control-Allow-Origin": origin,
                    "Access-Control-Allow-Methods": _METHODS,
                    "Access-Control-Allow-Headers": _HEADERS,
                    "Access-Control-Max-Age": _PREFLIGHT_SECONDS,
                    "Vary": "Origin",
                },
            )
            await preflight(scope, receive, send)
            return
        allowing = [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-expose-headers", _EXPOSED.encode()),
            (b"vary", b"Origin"),
        ]

        async def send_allowing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *allowing]
            await send(message)

        await self._app(scope, receive, send_allowing)
