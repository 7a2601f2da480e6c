"""The connections of the server process: how much of a head they hold, how long they wait, and how many.

uvicorn limits none of this, and none of it needs a token: a head of any size is kept in memory, and a
connection that sends nothing, or stops in the middle, stays open. The administrator's connections aren't
counted: they get in also when others have taken all there are.
"""

import asyncio
import math
import secrets
from http import HTTPStatus
from typing import Any, cast

import httptools
import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from perdure.settings import Settings
from perdure.web.errors import error_response

__all__ = ["BoundedConfig", "BoundedProtocol"]

LINGER_SECONDS = 5.0  # a refused request is drained so long: closed at once, the client may lose the answer
YIELD_SECONDS = 1.0  # a connection that has waited so long for a request gives way to a new one
MAX_AHEAD = 64  # requests that wait on one connection for the answer of another; each takes some 3 kB
RETRY_SECONDS = "5"


class BoundedConfig(uvicorn.Config):
    """uvicorn's configuration for connections within the limits that the settings name."""

    def __init__(self, app: Any, settings: Settings, **options: Any) -> None:
        self.settings = settings
        idle = math.ceil(settings.idle_timeout)
        super().__init__(app, http=BoundedProtocol, ws="none", timeout_keep_alive=idle, **options)


log = structlog.get_logger(__name__)


class Exceeded(Exception):
    """Ends the parsing of a request that exceeds a limit. The connection notes which: the parser loses it."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. The server calls `expire` about once a second; there are no timers for each request."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        assert isinstance(config, BoundedConfig)
        self._settings = config.settings
        # What the parser may be holding: bytes since the last one of a body, or since the last request's end.
        self._apart = 0
        self._head = 0  # bytes of this request's line and headers, trailers included
        self._between = True  # no byte has come since the last request's end
        self._head_since: float | None = None  # since when the end of a head is waited for
        self._received = 0.0  # when bytes came last
        self._portion, self._portion_since = 0, 0.0  # bytes of the body for which the rate is compared
        self._answered = 0.0  # when the last answer was complete
        self._unsent, self._unsent_since = 0, 0.0
        self._refused: float | None = None  # when
        self._head_too_large = self._too_many_ahead = False

    # What asyncio calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection, if there is room for it."""
        super().connection_made(cast(asyncio.Transport, transport))
        now = self.loop.time()
        self._head_since = self._received = self._answered = self._unsent_since = now
        if not self._administrators and len(self.connections) > self._settings.max_connections:
            self._make_room(now)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and refuse it once it exceeds a limit."""
        self._unset_keepalive_if_required()
        if self._refused is not None:
            return
        self._received = self.loop.time()
        if self._between:
            self._between = False
            self._head_since = self._head_since or self._received
        self._apart += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return  # the request is served as it is: there are no web sockets
        except httptools.HttpParserError:
            if self._too_many_ahead:
                message = f"A client may send {MAX_AHEAD} requests ahead; wait for an answer before the next."
                self._refuse(400, "malformed_request", message)
                return
            if not self._head_too_large:
                self._refuse(400, "malformed_request", "This is no HTTP request that can be read.")
                return
        if self._head_too_large or self._apart > self._settings.max_header_bytes:
            limit, headers = self._settings.max_header_bytes, self._settings.max_headers
            message = (
                f"A request's line and headers may have at most {limit} bytes and {headers} headers; "
                "PERDURE_MAX_HEADER_BYTES and PERDURE_MAX_HEADERS raise it."
            )
            self._refuse(431, "headers_too_large", message)

    def resume_writing(self) -> None:
        """Note that the client takes what it asked for."""
        self._unsent_since = self.loop.time()
        super().resume_writing()

    # What the parser calls ----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._head = 0
        self._between = False
        self._head_since = self._head_since or self._received
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's URL."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer."""
        self._count(len(name) + len(value), headers=len(self.headers) + 1)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._head_since = None
        self._portion, self._portion_since = 0, self._received
        super().on_headers_complete()
        if len(self.pipeline) > MAX_AHEAD:
            self._too_many_ahead = True
            raise Exceeded

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._apart = 0
        self._portion += len(body)
        # The rate is that of each portion, and of what is left then: no fast beginning allows a slow rest.
        if self._portion >= self._settings.min_body_rate * self._settings.idle_timeout:
            self._portion, self._portion_since = 0, self._received
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._apart = 0
        self._between = True
        super().on_message_complete()

    # What the server calls ----------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._answered = self.loop.time()
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()
        if not self._between:  # some of the next one has come: `expire` looks after that
            self._unset_keepalive_if_required()

    def shutdown(self) -> None:
        """Close once the request under way is answered."""
        if self._refused is None:
            super().shutdown()
        else:
            self.transport.close()

    def expire(self, now: float) -> None:
        """Close the connection if its client lets it wait for too long."""
        settings = self._settings
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent < self._unsent:
            self._unsent_since = now
        self._unsent = unsent
        if now - self._unsent_since > settings.idle_timeout:
            self.transport.abort()  # to close would wait for the client to take the rest
        elif self.transport.is_closing():
            return
        elif self._refused is not None:
            if now - self._refused > LINGER_SECONDS:
                self.transport.close()
        elif self._has_no_request:
            # Between requests, or in the rest of a body that was answered: a client may send that forever.
            if now - self._answered > (settings.idle_timeout if self._between else LINGER_SECONDS):
                self.transport.close()
        elif self._head_since is not None:
            if now - self._head_since > settings.header_timeout:
                self._time_out("The headers didn't come in time; PERDURE_HEADER_TIMEOUT gives more.")
        elif self.flow.read_paused:
            self._portion_since = now  # the client waits for the server
        elif not self._between and now - self._portion_since > settings.idle_timeout:
            self._time_out(
                "The body came too slowly; PERDURE_IDLE_TIMEOUT and PERDURE_MIN_BODY_RATE give more."
            )

    # Helpers ------------------------------------------------------------------------------------------------

    @property
    def _administrators(self) -> bool:
        return self.server is not None and self.server[1] is None

    @property
    def _has_no_request(self) -> bool:
        """Whether all requests are answered, the last perhaps before its body ended, and no other began."""
        return self._head_since is None and self.cycle is not None and self.cycle.response_complete

    def _count(self, size: int, headers: int = 0) -> None:
        self._head += size
        if self._head > self._settings.max_header_bytes or headers > self._settings.max_headers:
            self._head_too_large = True
            raise Exceeded

    def _waiting_since(self) -> float:
        """Return since when the connection has had no request; infinity if it has one, or is closed."""
        if self._administrators or self.transport.is_closing():
            return math.inf
        if self._refused is not None:
            return -math.inf
        if self._head_since is not None:
            return self._head_since
        return self._answered if self._has_no_request else math.inf

    def _make_room(self, now: float) -> None:
        """Close the connection that has waited longest for a request, or refuse this one."""
        others = [other for other in self.connections if isinstance(other, BoundedProtocol)]
        longest = min(others, key=BoundedProtocol._waiting_since)
        if now - longest._waiting_since() > YIELD_SECONDS:
            longest.transport.close()
            return
        message = (
            f"The server has {self._settings.max_connections} connections, and takes no more; "
            "PERDURE_MAX_CONNECTIONS raises that."
        )
        self._refuse(503, "too_many_connections", message, {"Retry-After": RETRY_SECONDS})
        self.transport.close()  # to linger would take the room that there isn't

    def _time_out(self, message: str) -> None:
        nothing_came = self._head_since is not None and self._between
        if nothing_came:
            self.transport.close()
        else:
            self._refuse(408, "request_timeout", message)

    def _refuse(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        """Answer with an error and take nothing more; an answer under way is broken off."""
        self._refused = self.loop.time()
        self.pipeline.clear()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
                return
        # It never came to the app, which names the other requests.
        request = secrets.token_hex(8)
        log.warning("connection_refused", status=status, code=code, request=request)
        answer = error_response(status, code, message, headers={**(headers or {}), "X-Request-ID": request})
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode(), b"connection: close"]
        lines += [
            name + b": " + value for name, value in (*self.server_state.default_headers, *answer.raw_headers)
        ]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(answer.body)]))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
