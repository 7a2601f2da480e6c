"""An edge by itself: one dialect before an app that has all other routes."""

from contextlib import nullcontext
from typing import Any
from unittest.mock import Mock

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from perdure.web.auth import Callers
from perdure.web.bodies import Limit
from perdure.web.dialect import Dialect
from perdure.web.edge import Admission, Edge
from perdure.web.errors import error_body
from perdure.web.origins import OriginPolicy
from perdure.web.services import AppServices
from perdure.web.tokens import Tokens

__all__ = ["NO_SERVICES", "edge_of"]

NO_SERVICES: AppServices = Mock(spec=AppServices)
NATIVE: Dialect[AppServices] = Dialect(
    name="native", description="Nothing.", routes=(), opened=nullcontext, error=error_body
)


async def _other(request: Request) -> PlainTextResponse:
    return PlainTextResponse("another route")


def edge_of(
    *dialects: Dialect[Any],
    tokens: Tokens | None = None,
    limit: int = 1_000_000,
    policy: OriginPolicy | None = None,
    rest: ASGIApp | None = None,
) -> Edge:
    """Return an edge before dialects, which is opened by the caller; all other paths are another app's."""
    admission = Admission(
        Callers(tokens or Tokens({})),
        policy or OriginPolicy.of((), None),
        frozenset(),
        Limit(limit, "PERDURE_MAX_BODY_BYTES"),
    )
    others = rest or Starlette(routes=[Route("/{path:path}", _other)])
    return Edge(NATIVE, others, (), dialects, admission)
