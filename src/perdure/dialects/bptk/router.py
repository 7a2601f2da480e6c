"""The router: BPTK's routes over HTTP, and the shape of its errors.

An instance has paths of its own at the root. Below a first part from which paths of another API go on,
nothing is an instance's.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from perdure.dialects.bptk.external_state import ExternalStateAdapter, Mirror
from perdure.dialects.bptk.handlers import FIXED, OF_INSTANCE
from perdure.dialects.bptk.instance_sessions import InstanceSessions
from perdure.dialects.bptk.openapi import SCHEMAS, operation
from perdure.web.auth import Unauthorized
from perdure.web.dialect import Dialect, Handler, Route
from perdure.web.failures import Failure
from perdure.web.services import AppServices

__all__ = ["BPTK", "in_memory"]


def error_body(failure: Failure) -> dict[str, str]:
    """Return an error as BPTK has it."""
    match failure.error:
        case Unauthorized(given=given):
            return {"Unauthorized": f"Authentication Token is {'wrong' if given else 'missing'}!"}
    return {"error": failure.message}


@asynccontextmanager
async def _opened(
    services: AppServices,
    *,
    adapter: ExternalStateAdapter | None = None,
    externalize: bool = False,
    durable: bool = True,
) -> AsyncIterator[InstanceSessions]:
    instances = InstanceSessions(
        services.sessions,
        services.settings,
        services.metrics,
        mirror=None if adapter is None else Mirror(adapter, services.sessions, shared=externalize),
        durable=durable,
        closing=services.closing,
    )
    try:
        await instances.open()
        yield instances
    finally:
        await instances.aclose()


def _routes(
    before: str, handlers: Mapping[str, Mapping[str, Handler[InstanceSessions]]]
) -> list[Route[InstanceSessions]]:
    return [
        Route(method, f"{before}/{name}", handler, operation(name, method))
        for name, methods in handlers.items()
        for method, handler in methods.items()
    ]


BPTK = Dialect(
    name="BPTK",
    description="The routes of BPTK-Py's server, as far as they are about system dynamics.",
    routes=[*_routes("", FIXED), *_routes("/{instance}", OF_INSTANCE)],
    opened=_opened,
    error=error_body,
    schemas=SCHEMAS,
    request_headers="Authorization, Content-Type, Idempotency-Key, Expected-Step",
)
"""BPTK-Py's server."""


def in_memory(adapter: ExternalStateAdapter | None, *, externalize: bool) -> Dialect[InstanceSessions]:
    """Return the dialect on a store that ends with the process.

    Parameters
    ----------
    adapter
        Where instances are written through to; None leaves them in memory alone.
    externalize
        Whether nothing stays in memory between requests.
    """
    opened = partial(_opened, adapter=adapter, externalize=externalize, durable=False)
    return replace(BPTK, opened=opened)
