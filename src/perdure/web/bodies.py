"""Bodies: read within a limit, and JSON in which no object gives a key twice."""

import json
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from perdure.web.errors import HttpError

__all__ = ["decode_object", "read_object", "refuse_repeated_keys"]


async def read_object(scope: Scope, receive: Receive, most: int) -> dict[str, Any] | None:
    """Read a request's JSON object, or None if it has no body that is declared as JSON.

    Raises
    ------
    HttpError
        If it has more bytes than `most` (413), isn't JSON, isn't an object, or gives a key twice (400).
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
    return decode_object(bytes(data)) if data and declared else None


def decode_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object that a body holds; raise `HttpError` (400) if it holds none."""
    refuse_repeated_keys(data)
    try:
        body = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise HttpError(400, "malformed_request", f"the body is not JSON: {reason}") from None
    if not isinstance(body, dict):
        raise HttpError(400, "malformed_request", "expecting the body to be a JSON object")
    return body


def refuse_repeated_keys(data: bytes) -> None:
    """Raise `HttpError` (400) if an object within a JSON text gives a key twice; what is no JSON passes.

    Decoders take the last of them, so a client would not learn that the others were ignored.
    """
    if data.count(b":") < 2:
        return
    try:
        _scan(data.decode())
    except (ValueError, RecursionError):
        return  # whoever decodes it says what is wrong


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > 1 and len(dict(pairs)) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                text = f"The body gives the key {name[:200]!r} twice in one object."
                raise HttpError(400, "malformed_request", text)
            seen.add(name)


# Numbers aren't read: Python refuses those with more than 4,300 digits.
_scan = json.JSONDecoder(object_pairs_hook=_distinct, parse_int=len, parse_float=len).decode


def _too_large(most: int) -> HttpError:
    text = f"a body may have at most {most} bytes; PERDURE_MAX_BODY_BYTES raises that"
    return HttpError(413, "body_too_large", text, {"limit": most})
