"""The request as a whole: its id, which log lines carry, an answer whatever happens, and HEAD."""

import itertools
import secrets

import anyio
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perdure.web.errors import error_response

__all__ = ["Requests"]

log = structlog.get_logger(__name__)


class Requests:
    """The outermost middleware: names each request, answers HEAD as GET, and unexpected errors with a 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = f"{self._prefix}-{next(self._numbers)}"
        header = (b"x-request-id", request.encode())
        started = False

        async def send_named(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
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
            if started:
                raise  # the server breaks the connection off, so that half an answer isn't taken for one
            message = f"Something unexpected failed; the server's log has it under request={request}."
            response = error_response(500, "internal_error", message, {"request": request})
            await response(scope, receive, send_named)
        finally:
            structlog.contextvars.reset_contextvars(**bound)


async def _answer_head(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as GET is answered, without a body; whoever would send one, a stream too, is cancelled."""
    with anyio.CancelScope() as answering:

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})
            answering.cancel()

        await app({**scope, "method": "GET"}, receive, send_head)
