"""The limits of a request: its body's size and type, its path's encoding, and that no name is repeated."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perdure.validation import Problem
from perdure.web.bodies import refuse_repeated_keys
from perdure.web.errors import HttpError, invalid_request
from perdure.web.paths import check_encoding

__all__ = ["Limits", "Upload", "query_values", "refuse_repeated"]

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True)
class Upload:
    """Requests whose body isn't JSON.

    Attributes
    ----------
    path
        Which ones; it matches as a whole.
    media_type
        What the body has to be declared as; None takes anything.
    most
        Largest body, in bytes.
    setting
        The setting that says so.
    """

    path: re.Pattern[str]
    media_type: str | None
    most: int
    setting: str


class Limits:
    """Middleware that refuses a request as soon as its headers, or the bytes so far, say that it is wrong.

    Parameters
    ----------
    max_body_bytes
        Largest body of a request, which is JSON.
    uploads
        Requests that are otherwise.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, uploads: Sequence[Upload] = ()) -> None:
        self._app = app
        self._uploads = tuple(uploads)
        self._other = Upload(re.compile(""), "application/json", max_body_bytes, "PERDURE_MAX_BODY_BYTES")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            kind = self._kind(scope)
            try:
                check_encoding(scope)
                if scope["method"] in _WITH_BODY and self._check(scope, kind):
                    receive = self._counting(receive, kind)
            except HttpError as error:
                await error.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _kind(self, scope: Scope) -> Upload:
        for upload in self._uploads:
            if upload.path.fullmatch(scope["path"]):
                return upload
        return self._other

    def _check(self, scope: Scope, kind: Upload) -> bool:
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
        if length.isdigit() and int(length) > kind.most:
            raise _too_large(kind)
        has_body = chunked or length not in (b"", b"0")
        if has_body and kind.media_type is not None:
            _check_media_type(media_type, kind.media_type)
        return has_body

    def _counting(self, receive: Receive, kind: Upload) -> Receive:
        size = 0
        parts: list[bytes] = []

        async def receive_counted() -> Message:
            nonlocal size
            message = await receive()
            if message["type"] == "http.request":
                part = message.get("body", b"")
                size += len(part)
                if size > kind.most:
                    raise _too_large(kind)
                if kind is self._other:
                    parts.append(part)
                    if not message.get("more_body", False):
                        refuse_repeated_keys(b"".join(parts))
                        parts.clear()
            return message

        return receive_counted


async def refuse_repeated(request: Request) -> None:
    """Refuse query parameters that are given twice; a dependency of FastAPI routes, which take the last."""
    query_values(request.scope["query_string"])


def query_values(query: bytes) -> dict[str, str]:
    """Return the parameters of a query; raise `HttpError` (422) if one is given twice."""
    values: dict[str, str] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name in values:
            raise invalid_request([Problem(("query", name), "is given twice")])
        values[name] = value
    return values


def _check_media_type(given: bytes, needed: str) -> None:
    if given.partition(b";")[0].strip().lower() != needed.encode():
        name = "JSON" if needed == "application/json" else needed
        raise HttpError(
            415, "unsupported_media_type", f"The body has to be {name}; send `Content-Type: {needed}`."
        )


def _too_large(kind: Upload) -> HttpError:
    return HttpError(
        413,
        "body_too_large",
        f"A body may have at most {kind.most} bytes; {kind.setting} raises that.",
        {"limit": kind.most},
    )
