"""Bodies of routes that don't go through the framework: read within a limit, and decoded if they are JSON."""

from typing import Any

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from perdure.web.errors import HttpError

__all__ = ["read_object"]


async def read_object(scope: Scope, receive: Receive, most: int) -> dict[str, Any] | None:
    """Read a request's JSON object, or None if it has no body that is declared as JSON.

    Raises
    ------
    HttpError
        If it has more bytes than `most` (413), isn't JSON, or isn't an object (400).
    ClientDisconnect
        If the client went away.
    """
    length = media_type = b""
    for name, value in scope["headers"]:
        if name == b"content-length":
            length = value
        elif name == b"content-type":
            media_type = value.partition(b";")[0].strip().lower()
    if length.isdigit() and int(length) > most:
        raise _too_large(most)
    data = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        data += message.get("body", b"")
        if len(data) > most:
            raise _too_large(most)
        if not message.get("more_body", False):
            break
    declared = media_type == b"application/json" or media_type.endswith(b"+json")
    return _decoded(bytes(data)) if data and declared else None


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise HttpError(400, "malformed_request", f"the body is not JSON: {reason}") from None
    if not isinstance(body, dict):
        raise HttpError(400, "malformed_request", "expecting the body to be a JSON object")
    return body


def _too_large(most: int) -> HttpError:
    text = f"a body may have at most {most} bytes; the setting max_body_bytes raises that"
    return HttpError(413, "body_too_large", text, {"limit": most})
