"""The limits of a request: how large a body may be, that it is JSON, and that no parameter is repeated."""

from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perdure.web.errors import HttpError, invalid_request

__all__ = ["Limits", "query_values", "refuse_repeated"]

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class Limits:
    """Middleware that refuses a request as soon as its headers, or the bytes so far, say that it is wrong."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._max = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in _WITH_BODY:
            try:
                if self._check(scope):
                    receive = self._counting(receive)
            except HttpError as error:
                await error.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> bool:
        """Raise `HttpError` if the headers tell that the request is wrong; return whether it has a body."""
        length = media_type = b""
        chunked = False
        for name, value in scope["headers"]:
            if name == b"content-length":
                length = value
            elif name == b"content-type":
                media_type = value
            elif name == b"transfer-encoding":
                chunked = True
        if length.isdigit() and int(length) > self._max:
            raise self._too_large()
        has_body = chunked or length not in (b"", b"0")
        if has_body:
            _check_media_type(media_type)
        return has_body

    def _counting(self, receive: Receive) -> Receive:
        size = 0

        async def receive_counted() -> Message:
            nonlocal size
            message = await receive()
            if message["type"] == "http.request":
                size += len(message.get("body", b""))
                if size > self._max:
                    raise self._too_large()
            return message

        return receive_counted

    def _too_large(self) -> HttpError:
        return HttpError(
            413,
            "body_too_large",
            f"A body may have at most {self._max} bytes; the setting max_body_bytes raises that.",
            {"limit": self._max},
        )


async def refuse_repeated(request: Request) -> None:
    """Refuse query parameters that are given twice; a dependency of FastAPI routes, which take the last."""
    query_values(request.scope["query_string"])


def query_values(query: bytes) -> dict[str, str]:
    """Return the parameters of a query; raise `HttpError` (422) if one is given twice."""
    values: dict[str, str] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name in values:
            raise invalid_request(f"query.{name}", "it is given twice")
        values[name] = value
    return values


def _check_media_type(media_type: bytes) -> None:
    if media_type.partition(b";")[0].strip().lower() != b"application/json":
        raise HttpError(
            415, "unsupported_media_type", "The body has to be JSON; send `Content-Type: application/json`."
        )
