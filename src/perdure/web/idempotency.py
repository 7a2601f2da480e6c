"""Idempotency keys: the header a client names its request by, and the hash by which its requests differ."""

import hashlib
import re
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Header
from starlette.requests import Request

from perdure.run import Key
from perdure.validation import Problem
from perdure.web.failures import invalid_request
from perdure.web.headers import Headers, headers_of

__all__ = ["HEADER", "HEADER_SCHEMA", "IdempotencyKey", "key_text", "make_key"]

HEADER = "Idempotency-Key"
PATTERN = "^[!-~]{1,255}$"
HEADER_SCHEMA = {"type": "string", "pattern": PATTERN, "minLength": 1, "maxLength": 255}
DESCRIPTION = "Names the request: repeated under the same name it gets the recorded answer and does nothing."

_VALID = re.compile(rb"[!-~]{1,255}")


def key_text(headers: Headers) -> str | None:
    """Return the key in a request's headers, or None; raise `HttpError` (422) if it is malformed."""
    given = headers.get(b"idempotency-key")
    if given is None:
        return None
    if _VALID.fullmatch(given.strip(b" \t")) is None:
        text = "must be given once, with 1 to 255 visible ASCII characters"
        raise invalid_request([Problem(("header", HEADER), text)])
    return given.strip(b" \t").decode("ascii")


def make_key(text: str | None, route: str, request: Any) -> Key | None:
    """Return the key to be stored for a request.

    Parameters
    ----------
    text
        What the client named it; None gives no key.
    route
        What the request is to do, with all that its path says.
    request
        The decoded body, so that neither white space nor the order of fields matters.
    """
    if text is None:
        return None
    body = msgspec.json.encode(request, order="deterministic")
    return Key(text, hashlib.blake2b(b"%b\0%b" % (route.encode(), body), digest_size=16).digest())


async def _idempotency_key(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(alias=HEADER, description=DESCRIPTION, min_length=1, max_length=255, pattern=PATTERN),
    ] = None,
) -> str | None:
    return key_text(headers_of(request.scope))


IdempotencyKey = Annotated[str | None, Depends(_idempotency_key)]
"""The parameter by which a FastAPI route gets the key."""
