"""Requests: what is in the body of a BPTK route, and how BPTK names what is missing in it.

Unknown fields are ignored, as BPTK does. A body that isn't declared as JSON counts as none.
"""

from typing import Any

from perdure.dialects.bptk.mistakes import BptkError
from perdure.web.bodies import LARGEST_NUMBER
from perdure.web.dialect import Call

__all__ = [
    "NO_JSON",
    "expected_step",
    "flag",
    "names",
    "need_json",
    "whole",
]

NO_JSON = "please pass the request with content-type application/json"
NO_NUMBER = 'expecting a number of steps to be provided in the body as a json {"numberSteps": int}'

EXPECTED_HEADER = b"expected-step"


def need_json(call: Call) -> dict[str, Any]:
    """Return a request's body; raise `BptkError` if there is none."""
    if call.body is None:
        raise BptkError(400, NO_JSON)
    body: dict[str, Any] = call.body
    return body


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
    given = call.headers.get(EXPECTED_HEADER)
    if given is not None:
        if not given.strip().isdigit() or len(given) > 16:
            raise BptkError(400, text)
        value: Any = int(given)
    else:
        value = None if call.body is None else call.body.get("expectedStep")
    if value is None:
        return None
    number = whole(value, text)
    if number == 0:
        raise BptkError(400, text)
    return number
