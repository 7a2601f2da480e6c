"""The request as a whole: its id, which log lines carry, a line for what failed, an answer, and HEAD."""

import itertools
import secrets
import time
from collections.abc import Callable

import anyio
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perdure.web.errors import error_response

__all__ = ["Requests"]

log = structlog.get_logger(__name__)


class Requests:
    """The outermost middleware: names each request, answers HEAD as GET, and unexpected errors with a 500.

    Each answer with a status of 400 and more gets a log line, and with `log_all` every other one, too. What a
    query or a body holds is in none of them.

    Parameters
    ----------
    count
        Called with the method, the status and the seconds of each answer when it has ended.
    log_all
        Whether all requests are logged.
    """

    def __init__(
        self, app: ASGIApp, *, count: Callable[[str, int, float], None], log_all: bool = False
    ) -> None:
        self._app = app
        self._count = count
        self._log_all = log_all
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = f"{self._prefix}-{next(self._numbers)}"
        header = (b"x-request-id", request.encode())
        status = 0  # until the answer begins
        begun = time.perf_counter()

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        bound = structlog.contextvars.bind_contextvars(request=request)
        try:
            if scope["method"] == "HEAD":
                await _answer_head(self._app, scope, receive, send_named)
            else:
                await self._app(scope, receive, send_named)
        except Exception:
            log.exception("request_failed", method=scope["method"], path=scope["path"][:200])
            if status:
                raise  # the server breaks the connection off, so that half an answer isn't taken for one
            message = f"Something unexpected failed; the server's log has it under request={request}."
            response = error_response(500, "internal_error", message, {"request": request})
            await response(scope, receive, send_named)
        finally:
            if status:  # nothing was answered to a client that went away
                self._note(scope, status, time.perf_counter() - begun)
            structlog.contextvars.reset_contextvars(**bound)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        self._count(scope["method"], status, seconds)
        if status >= 400 or self._log_all:
            level = "warning" if status >= 500 else "info"
            values = {"method": scope["method"][:20], "path": scope["path"][:200], "status": status}
            getattr(log, level)("request", **values, seconds=round(seconds, 6))


async def _answer_head(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as GET is answered, without a body; whoever would send one, a stream too, is cancelled."""
    with anyio.CancelScope() as answering:

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})
            answering.cancel()

        await app({**scope, "method": "GET"}, receive, send_head)
