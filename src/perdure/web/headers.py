"""The headers of a request, one value a name."""

from collections.abc import Mapping
from typing import TypeAlias

from starlette.types import Scope

__all__ = ["Headers", "headers_of"]

Headers: TypeAlias = Mapping[bytes, bytes]
"""Names in lower case → values."""


def headers_of(scope: Scope) -> Headers:
    """Return a request's headers; the values of a name that is repeated are joined by commas (RFC 9110, 5.3).

    So what may be given once only, such as a host, a token or a key, is wrong if it is given twice.
    """
    given = scope["headers"]
    headers: dict[bytes, bytes] = dict(given)
    if len(headers) < len(given):
        for name in headers:
            headers[name] = b", ".join(value for other, value in given if other == name)
    return headers
