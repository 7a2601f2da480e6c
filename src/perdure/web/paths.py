"""Paths and queries: what a request names, as UTF-8, and each parameter once.

Servers decode a path with replacement characters, so that two names would become one.
"""

from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.requests import Request
from starlette.types import Scope

from perdure.validation import Problem
from perdure.web.failures import HttpError, invalid_request

__all__ = ["check_encoding", "query_values", "refuse_repeated"]


def check_encoding(scope: Scope) -> None:
    """Raise `HttpError` (400) if a request's path or query has bytes that aren't UTF-8."""
    path, query = scope.get("raw_path") or b"", scope["query_string"]
    if b"%" not in path and b"%" not in query and path.isascii() and query.isascii():
        return
    for what, text in (("path", path), ("query", query)):
        try:
            unquote_to_bytes(text).decode()
        except UnicodeDecodeError:
            message = f"The {what} has bytes that aren't UTF-8; encode text as UTF-8 before quoting it."
            raise HttpError(400, "malformed_path", message) from None


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
