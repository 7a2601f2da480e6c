"""The text of an instance, as the adapters of BPTK-Py for databases store it: JSON, and a time in ISO format.

Only JSON is read. Whatever else jsonpickle can write, such as the name of a class, stays data.
"""

import datetime
import json
from typing import Any

import msgspec

__all__ = ["from_text", "from_time", "to_text", "to_time", "with_references"]

REFERENCE = "py/id"


def to_text(value: Any) -> str:
    """Return a value as JSON."""
    return msgspec.json.encode(value).decode()


def from_text(text: str | bytes) -> Any:
    """Return the value of a JSON text, also with BPTK-Py's names for numbers without a JSON form.

    A text that isn't JSON is returned unchanged, and refused with a reason when it is loaded.
    """
    try:
        return with_references(json.loads(text))
    except (ValueError, RecursionError):
        return text


def with_references(value: Any) -> Any:
    """Return a value with each reference of jsonpickle replaced by what it refers to.

    jsonpickle writes an object once, and ``{"py/id": n}`` wherever it occurs again. It counts objects and
    lists from 0, in the order of the text.

    >>> with_references({"1.0": {"tap": 2.0}, "2.0": {"py/id": 1}})
    {'1.0': {'tap': 2.0}, '2.0': {'tap': 2.0}}
    """
    seen: list[Any] = []

    def restored(part: Any) -> Any:
        if isinstance(part, dict):
            number = part.get(REFERENCE)
            if len(part) == 1 and type(number) is int and 0 <= number < len(seen):
                return seen[number]
            place = len(seen)
            seen.append(part)  # until it is complete: a reference from within would be a circle
            seen[place] = made = {key: restored(it) for key, it in part.items()}
            return made
        if isinstance(part, list):
            place = len(seen)
            seen.append(part)
            seen[place] = listed = [restored(it) for it in part]
            return listed
        return part

    return restored(value)


def to_time(time: datetime.datetime | str) -> str:
    """Return the text of a time with its offset from UTC; a naive time is local."""
    return time if isinstance(time, str) else time.astimezone().isoformat()


def from_time(text: Any) -> Any:
    """Return the time of a text; now if BPTK-Py wrote it, in which loading counts as a use.

    Only BPTK-Py writes times without an offset from UTC. Anything that isn't a time is returned unchanged.
    """
    try:
        time = datetime.datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return text
    return datetime.datetime.now() if time.tzinfo is None else time
