"""The options to name, tag, find and order runs, and the request parameters for them."""

import re
import time
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer

from perdure.errors import PerdureError
from perdure.lifecycle import RunStatus

__all__ = [
    "AddedTags",
    "CreatedAfter",
    "CreatedBefore",
    "ForkTags",
    "Kind",
    "Limit",
    "Name",
    "NameBegins",
    "Owner",
    "RemovedTags",
    "Search",
    "Sort",
    "States",
    "Tagged",
    "Tags",
    "UpdatedAfter",
    "UpdatedBefore",
    "label",
    "unix_time",
]

OneKind = Literal["session", "task", "experiment"]
OneSort = Literal["created", "-created", "updated", "-updated", "name", "-name"]

_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

# New runs ---------------------------------------------------------------------------------------------------

Name = Annotated[str | None, typer.Option("--name", help="Name of the run.", show_default=False)]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", help="A tag of the run; may be given several times.", show_default=False),
]

ForkTags = Annotated[
    list[str] | None,
    typer.Option(
        "--tag",
        help="A tag in place of the other run's tags; may be given several times.",
        show_default=False,
    ),
]

# Changes ----------------------------------------------------------------------------------------------------

AddedTags = Annotated[
    list[str] | None,
    typer.Option("--add-tag", help="Add this tag; may be given several times.", show_default=False),
]
RemovedTags = Annotated[
    list[str] | None,
    typer.Option("--remove-tag", help="Remove this tag; may be given several times.", show_default=False),
]

# Lists ------------------------------------------------------------------------------------------------------

Kind = Annotated[OneKind | None, typer.Option("--kind", help="Only runs of this kind.", show_default=False)]
States = Annotated[
    list[RunStatus] | None,
    typer.Option("--state", help="Only runs in this state; of several, in one of them.", show_default=False),
]
Tagged = Annotated[
    list[str] | None,
    typer.Option("--tag", help="Only runs with this tag; of several, with all of them.", show_default=False),
]
NameBegins = Annotated[
    str | None, typer.Option("--name", help="Only runs whose name begins with this.", show_default=False)
]
Search = Annotated[
    str | None,
    typer.Option(
        "--search", metavar="TEXT", help="Only runs with this in their name or id.", show_default=False
    ),
]
Owner = Annotated[str | None, typer.Option("--owner", help="Only this owner's runs.", show_default=False)]
Sort = Annotated[OneSort, typer.Option("--sort", help="The field to order by; with a minus, descending.")]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="Print at most this many; by default all.", show_default=False),
]

CreatedAfter = Annotated[
    str | None,
    typer.Option(
        "--created-after",
        metavar="TIME",
        help="Only runs created later: a date or an age.",
        show_default=False,
    ),
]
CreatedBefore = Annotated[
    str | None,
    typer.Option("--created-before", metavar="TIME", help="Only runs created earlier.", show_default=False),
]
UpdatedAfter = Annotated[
    str | None,
    typer.Option("--updated-after", metavar="TIME", help="Only runs updated later.", show_default=False),
]
UpdatedBefore = Annotated[
    str | None,
    typer.Option("--updated-before", metavar="TIME", help="Only runs updated earlier.", show_default=False),
]


def label(name: str | None, tags: list[str] | None) -> dict[str, Any]:
    """Return the fields of a request for name and tags, as far as they are given."""
    given = (("name", name), ("tags", tags or None))
    return {field: value for field, value in given if value is not None}


def unix_time(text: str | None, option: str) -> float | None:
    """Convert a time into Unix time: a date in UTC, with an optional time of day, or an age.

    >>> unix_time("1970-01-02", "--created-after")
    86400.0
    """
    if text is None:
        return None
    age = _AGE.fullmatch(text)
    if age is not None:
        return time.time() - float(age[1]) * _SECONDS[age[2]]
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise PerdureError(
            f"{option} takes a date in UTC such as 2026-11-29 or 2026-11-29T18:30, or an age such as 90m, "
            f"12h, 7d or 2w, not {text!r}."
        ) from None
