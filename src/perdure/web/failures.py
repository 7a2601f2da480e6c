"""Failures: what is answered when something goes wrong, before an API gives it the shape of its errors.

What can go wrong in Perdure is in `perdure.errors`; here is only what the protocol adds. Nothing of what a
client sent is repeated at length, and no traceback ever leaves the server.
"""

import errno
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from perdure.errors import (
    Damaged,
    FileChanged,
    Forbidden,
    Invalid,
    NotFound,
    PerdureError,
    Refused,
    StoreUnavailable,
    SystemFailing,
    TooMany,
    Unavailable,
)
from perdure.validation import Problem, in_words

__all__ = ["Failure", "HttpError", "Statuses", "failure_of", "invalid_request", "shortened", "status_of"]

Statuses = Mapping[type[PerdureError], int]
"""Kinds of errors → the status that they are answered with; the closest kind counts."""

STATUSES: Statuses = {
    FileChanged: 412,
    Forbidden: 403,
    Invalid: 422,
    NotFound: 404,
    Refused: 409,
    TooMany: 429,
    Unavailable: 503,
    Damaged: 500,
}

_REFUSALS: Collection[int] = frozenset(
    {
        *(errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.ENODEV, errno.ENXIO),
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EMLINK, errno.EACCES, errno.EPERM),
    }
)
"""Errors of the operating system that no request and no program is to blame for."""

_PARTS: Mapping[str, str] = {"query": "parameter", "path": "path's"}
"""What the parts of a request are called in messages, other than by their own name."""

STORE_SECONDS = 1  # after which a request may be repeated that the store refused while it was unavailable
LONGEST_TEXT = 1_000  # characters of a message, or of one value of its details
MOST_PROBLEMS = 20  # of one request

log = structlog.get_logger(__name__)


class HttpError(Exception):
    """An error of the protocol, or of a dialect: its status, its code, a message, details and headers."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details or {}
        self.headers = headers or {}


@dataclass(frozen=True)
class Failure:
    """What is answered in place of what was asked for.

    Attributes
    ----------
    status
        The status of the answer.
    code
        What programs call it.
    message
        The message for people: a sentence, bounded in length and safe in any encoding.
    error
        What was raised.
    details
        The values that it is about.
    headers
        Headers of the answer.
    """

    status: int
    code: str
    message: str
    error: Exception
    details: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def failure_of(error: Exception, request: str, statuses: Statuses = STATUSES) -> Failure:
    """Return how an error is answered; what is stored damaged, and the system's failing, are logged.

    Parameters
    ----------
    request
        The request's id, under which the log has more.
    statuses
        Those of a dialect, where they differ from Perdure's own.
    """
    match error:
        case PerdureError():
            status = status_of(type(error), statuses)
            if status == 500:
                log.error("damaged", code=error.code, reason=str(error))
            again = error.values.get("retry_after")
            if again is None and isinstance(error, StoreUnavailable):
                again = STORE_SECONDS
            return Failure(
                status,
                error.code,
                shortened(str(error)),
                error,
                {
                    name: value
                    for name, value in error.values.items()
                    if (name, value) != ("suggestion", None)
                },
                {} if again is None else {"Retry-After": str(again)},
            )
        case HttpError():
            message = shortened(error.message)
            return Failure(error.status, error.code, message, error, error.details, error.headers)
        case OSError(errno=int(number)) if number in _REFUSALS:
            log.error("system_failing", reason=str(error))
            return failure_of(SystemFailing(reason=os.strerror(number)), request, statuses)
    message = f"Something unexpected failed; the server's log has it under request={request}."
    return Failure(500, "internal_error", message, error, {"request": request})


def status_of(kind: type[PerdureError], statuses: Statuses = STATUSES) -> int:
    """Return the status that errors of a kind are answered with."""
    return next((found for parent in kind.__mro__ if (found := statuses.get(parent))), 500)


def invalid_request(problems: Sequence[Problem]) -> HttpError:
    """Return the error for a request of the wrong form.

    Parameters
    ----------
    problems
        What is wrong with it, the first being what the message says. Each place begins with the part of the
        request: body, query, path or header.
    """
    errors = [
        {
            "where": ".".join(map(str, problem.place)),
            "problem": problem.text,
            **({} if problem.suggestion is None else {"suggestion": problem.suggestion}),
        }
        for problem in problems[:MOST_PROBLEMS]
    ]
    first = problems[0]
    message = in_words(_name(first.place), first)
    details: dict[str, Any] = {"errors": errors}
    if first.suggestion is not None:
        details["suggestion"] = first.suggestion
    return HttpError(422, "invalid_request", message if message.endswith("?") else f"{message}.", details)


def shortened(text: str) -> str:
    """Return a text that isn't long, and that every encoding of Unicode has."""
    text = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
    return text.encode("utf-8", "replace").decode()


def _name(place: Sequence[str | int]) -> str:
    """Return how a message names a place in a request, whose first part says which part of it."""
    part, *names = place
    name = f"`{'.'.join(map(str, names))}`"
    if part == "body":
        return name if names else "The body"
    return f"The {_PARTS.get(str(part), str(part))} {name}" if names else f"The {part}"
