"""Requests: what a client sends to a BPTK route, decoded, and how BPTK names what is missing in it.

Unknown fields are ignored, as BPTK does. A body that isn't declared as JSON counts as none.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from perdure.dialects.bptk.mistakes import BptkError
from perdure.drivers.requests import Owner

__all__ = [
    "NO_JSON",
    "Call",
    "expected_step",
    "flag",
    "names",
    "need_json",
    "read_body",
    "whole",
]

NO_JSON = "please pass the request with content-type application/json"
NO_NUMBER = 'expecting a number of steps to be provided in the body as a json {"numberSteps": int}'

EXPECTED_HEADER = b"expected-step"
LARGEST_NUMBER = 2**53 - 1


@dataclass(frozen=True)
class Call:
    """One request, decoded.

    Attributes
    ----------
    scope
        The ASGI scope it came with.
    owner, maker
        Who asks, and whose an instance is that it starts.
    instance
        The instance in its path, or an empty text.
    body
        Its JSON object; None if it has no body that is declared as JSON.
    receive
        Where its end is told.
    """

    scope: Scope
    owner: Owner
    maker: str
    instance: str
    body: dict[str, Any] | None = field(repr=False)
    receive: Receive = field(repr=False)


async def read_body(scope: Scope, receive: Receive, most: int) -> dict[str, Any] | None:
    """Read a request's JSON object, or None if it has no body that is declared as JSON.

    Raises
    ------
    BptkError
        If it has more bytes than `most`, isn't JSON, or isn't an object.
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
    if not data or not declared:
        return None
    return _decoded(bytes(data))


def need_json(call: Call) -> dict[str, Any]:
    """Return a request's body; raise `BptkError` if there is none."""
    if call.body is None:
        raise BptkError(400, NO_JSON)
    return call.body


def names(body: dict[str, Any], key: str) -> list[str]:
    """Return a list of names, which may also be one text with commas, as BPTK takes it."""
    value = body[key]
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",") if name.strip()]
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise BptkError(400, f"expecting {key} to be a list of names")
    return list(dict.fromkeys(value))


def flag(body: dict[str, Any] | None, key: str) -> bool:
    """Return whether a field is true; any other value is false, as in BPTK."""
    return body is not None and body.get(key) is True


def whole(value: Any, text: str) -> int:
    """Return a whole number from 0 on; raise `BptkError` with a text for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_NUMBER:
        raise BptkError(400, text)
    return value


def expected_step(call: Call) -> int | None:
    """Return the number that the next step must have: the header ``Expected-Step`` or ``expectedStep``."""
    text = "expecting expectedStep to be the number of the next step, from 1 on"
    given = [value for name, value in call.scope["headers"] if name == EXPECTED_HEADER]
    if given:
        if len(given) > 1 or not given[0].strip().isdigit() or len(given[0]) > 16:
            raise BptkError(400, text)
        value: Any = int(given[0])
    else:
        value = None if call.body is None else call.body.get("expectedStep")
    if value is None:
        return None
    number = whole(value, text)
    if number == 0:
        raise BptkError(400, text)
    return number


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BptkError(400, f"the body is not JSON: {reason}") from None
    if not isinstance(body, dict):
        raise BptkError(400, "expecting the body to be a JSON object")
    return body


def _too_large(most: int) -> BptkError:
    return BptkError(413, f"a body may have at most {most} bytes; the setting max_body_bytes raises that")
