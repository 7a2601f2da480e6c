"""The router: BPTK's paths over HTTP, and the shape of its errors.

BPTK's instances have paths of their own at the root, so these routes are open routes in front of the app.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Scope

from perdure.dialects.bptk import handlers
from perdure.dialects.bptk.dialect import Dialect
from perdure.dialects.bptk.mistakes import BptkError
from perdure.web.open_routes import Handler

__all__ = ["BptkPaths"]

ROUTES_OF_OTHERS = frozenset({"runs", "models", "experiments", "simulation", "status", "terminate"})
"""First parts of paths that are never an instance's id."""

LONGEST_ID = 200  # characters
LONGEST_TEXT = 1_000  # characters of an error


class BptkPaths:
    """BPTK's paths and shapes; `dialect` returns the dialect that serves a request."""

    allowed_headers = "Authorization, Content-Type, Idempotency-Key, Expected-Step"

    def __init__(self, dialect: Callable[[Scope], Dialect]) -> None:
        self._dialect = dialect

    def find(self, scope: Scope) -> tuple[Mapping[str, Handler], str] | None:
        """Return the handlers at a path, and the instance in it."""
        parts = scope["path"].removeprefix("/").removesuffix("/").split("/")
        if len(parts) == 1 and parts[0] in handlers.FIXED:
            return self._of(scope, handlers.FIXED[parts[0]]), ""
        if len(parts) != 2 or parts[1] not in handlers.OF_INSTANCE or parts[0] in ROUTES_OF_OTHERS:
            return None
        if not 0 < len(parts[0]) <= LONGEST_ID:
            return None
        return self._of(scope, handlers.OF_INSTANCE[parts[1]]), parts[0]

    def error(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
        """Return an error in BPTK's shape."""
        text = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
        return _json({"error": text.encode("utf-8", "replace").decode()}, status, headers)

    def own_error(self, error: Exception) -> Response | None:
        """Return the answer to what BPTK has words of its own for."""
        return self.error(error.status, error.text, error.headers) if isinstance(error, BptkError) else None

    def unauthorized(self, text: str) -> Response:
        """Return BPTK's answer to a token that is missing or wrong."""
        return _json({"Unauthorized": text}, 401, {"WWW-Authenticate": "Bearer"})

    def _of(self, scope: Scope, methods: Mapping[str, handlers.Handler]) -> Mapping[str, Handler]:
        dialect = self._dialect(scope)
        return {method: partial(handler, dialect) for method, handler in methods.items()}


def _json(body: Any, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, "application/json")
