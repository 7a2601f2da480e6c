"""Paths: what a request names, refused if its percent-encoded bytes aren't UTF-8.

Servers decode a path with replacement characters, so that two names would become one.
"""

from urllib.parse import unquote_to_bytes

from starlette.types import Scope

from perdure.web.errors import HttpError

__all__ = ["check_encoding"]


def check_encoding(scope: Scope) -> None:
    """Raise `HttpError` (400) if a request's path or query has bytes that aren't UTF-8."""
    for what, text in (("path", scope.get("raw_path") or b""), ("query", scope["query_string"])):
        try:
            unquote_to_bytes(text).decode()
        except UnicodeDecodeError:
            message = f"The {what} has bytes that aren't UTF-8; encode text as UTF-8 before quoting it."
            raise HttpError(400, "malformed_path", message) from None
