"""The dialects that an app serves, as values: the paths of each, and its part of the OpenAPI document."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.middleware import Middleware

from perdure.api.context import context_of
from perdure.dialects.bptk import openapi as bptk
from perdure.dialects.bptk.router import BptkPaths
from perdure.dialects.nrp import openapi as nrp
from perdure.dialects.nrp.router import NrpRoutes
from perdure.dialects.stableconfigs import openapi as stableconfigs
from perdure.dialects.stableconfigs.router import StableConfigsPaths
from perdure.settings import Settings
from perdure.web.auth import Callers
from perdure.web.open_routes import OpenDialect
from perdure.web.openapi import Described

__all__ = ["BPTK", "DIALECTS", "NRP", "STABLECONFIGS", "ServedDialect"]


@dataclass(frozen=True)
class ServedDialect:
    """A dialect as an app serves it. What it works with it finds by `context_of`, in the scope of a request.

    Attributes
    ----------
    described
        Its part of the OpenAPI document.
    paths
        Its open routes, if it has any.
    make_routes
        Returns the middleware that answers its other routes, if it has any, from who finds out who asks, and
        the settings. It is asked before the native API's tokens are.
    public
        Those of its paths that need no token.
    """

    described: Described
    paths: OpenDialect | None = None
    make_routes: Callable[[Callers, Settings], Middleware] | None = None
    public: frozenset[str] = frozenset()


def _nrp_routes(callers: Callers, settings: Settings) -> Middleware:
    return Middleware(
        NrpRoutes,
        simulations=lambda scope: context_of(scope).simulations,
        callers=callers,
        max_body_bytes=settings.max_body_bytes,
    )


BPTK = ServedDialect(bptk.described(), BptkPaths(lambda scope: context_of(scope).bptk))
"""BPTK-Py's server."""

NRP = ServedDialect(nrp.described(), make_routes=_nrp_routes, public=nrp.PUBLIC)
"""The Neurorobotics Platform's backend."""

STABLECONFIGS = ServedDialect(
    stableconfigs.described(), StableConfigsPaths(lambda scope: context_of(scope).stableconfigs)
)
"""The StableConfigs server."""

DIALECTS = (BPTK, NRP, STABLECONFIGS)
"""Those that a server answers."""
