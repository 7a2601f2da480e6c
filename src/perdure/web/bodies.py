"""Bodies: read within a limit, and JSON in which no object gives a key twice."""

import json
import re
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from perdure.web.failures import HttpError
from perdure.web.headers import Headers

__all__ = [
    "LARGEST_NUMBER",
    "Limit",
    "Upload",
    "bounded",
    "check_media_type",
    "declared_object",
    "decode_json",
    "decode_object",
    "has_body",
    "is_declared",
    "media_type",
    "read",
    "refuse_repeated_keys",
    "strict",
]

JSON = "application/json"
LARGEST_NUMBER = 2**53 - 1  # a whole number that every JSON reader takes as it is


@dataclass(frozen=True)
class Limit:
    """The largest body that is taken, in bytes, and the setting that says so, if one does."""

    maximum: int
    setting: str | None = None

    def exceeded(self) -> HttpError:
        """Return the error for a body that has more."""
        remedy = "" if self.setting is None else f"; {self.setting} raises that"
        message = f"A body may have at most {self.maximum} bytes{remedy}."
        return HttpError(413, "body_too_large", message, {"limit": self.maximum})


@dataclass(frozen=True)
class Upload:
    """Requests whose body isn't JSON.

    Attributes
    ----------
    path
        Which ones; it matches as a whole.
    media_type
        What the body has to be declared as; None takes anything.
    limit
        The largest body.
    """

    path: re.Pattern[str]
    media_type: str | None
    limit: Limit


def has_body(headers: Headers) -> bool:
    """Return whether a request has a body."""
    return headers.get(b"content-length", b"0") not in (b"", b"0") or b"transfer-encoding" in headers


def bounded(receive: Receive, headers: Headers, limit: Limit) -> Receive:
    """Return what receives a body, and raises `HttpError` (413) as soon as it is known to be too large."""
    length = headers.get(b"content-length", b"")
    if length.isdigit() and b"transfer-encoding" not in headers:
        if int(length) > limit.maximum:
            raise limit.exceeded()
        return receive  # the server takes no byte more than were declared
    size = 0

    async def receive_bounded() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit.maximum:
            raise limit.exceeded()
        return message

    return receive_bounded


async def read(receive: Receive) -> bytes:
    """Read a body to its end; raise `ClientDisconnect` if the client goes away before."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def strict(receive: Receive) -> Receive:
    """Return what receives a body of JSON at once, when it is in UTF-8 and no object in it gives a key twice.

    FastAPI would take other encodings, too, in which keys that are given twice weren't seen.
    """
    had = False

    async def receive_strict() -> Message:
        nonlocal had
        if had:
            return await receive()
        data = await read(receive)
        if json.detect_encoding(data) != "utf-8":
            text = "The body is not JSON in UTF-8; encode it as UTF-8, without a byte order mark."
            raise HttpError(400, "malformed_request", text)
        refuse_repeated_keys(data)
        had = True
        return {"type": "http.request", "body": data, "more_body": False}

    return receive_strict


def media_type(headers: Headers) -> str:
    """Return what a body is declared as, without parameters; an empty text if it isn't."""
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")


def is_declared(headers: Headers) -> bool:
    """Return whether a body is declared as JSON of any kind."""
    return media_type(headers) == JSON or media_type(headers).endswith("+json")


def check_media_type(headers: Headers, needed: str = JSON) -> None:
    """Raise `HttpError` (415) if a body isn't declared as what is needed."""
    if media_type(headers) != needed:
        name = "JSON" if needed == JSON else needed
        message = f"The body has to be {name}; send `Content-Type: {needed}`."
        raise HttpError(415, "unsupported_media_type", message)


def declared_object(data: bytes, headers: Headers) -> dict[str, Any] | None:
    """Return the JSON object that a body holds; None if there is none that is declared as JSON."""
    return decode_object(data) if data and is_declared(headers) else None


def decode_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object that a body holds; raise `HttpError` (400) if it holds none."""
    try:
        body = decode_json(data, _ANYTHING)
    except msgspec.ValidationError as error:  # a number that no float has
        raise _malformed(error) from None
    if not isinstance(body, dict):
        raise HttpError(400, "malformed_request", "The body has to be a JSON object.")
    return body


def decode_json(data: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """Return what a body holds.

    Raises
    ------
    HttpError
        If it isn't JSON, or an object in it gives a key twice (400).
    msgspec.ValidationError
        If it isn't of the decoder's type.
    """
    refuse_repeated_keys(data)
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(error) from None


def refuse_repeated_keys(data: bytes) -> None:
    """Raise `HttpError` (400) if an object within a JSON text gives a key twice; what is no JSON passes.

    Decoders take the last of them, so a client would not learn that the others were ignored.
    """
    if data.count(b":") < 2:
        return
    try:
        _scan(data.decode())
    except (ValueError, RecursionError):
        return  # the decoder says what is wrong


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
_ANYTHING: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def _malformed(error: Exception) -> HttpError:
    reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return HttpError(400, "malformed_request", f"The body is not JSON: {reason}.")
