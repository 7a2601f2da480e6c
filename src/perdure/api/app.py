"""The composition root: one app made of a store, a catalogue and settings."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from fastapi import FastAPI
from starlette.middleware import Middleware

from perdure import __version__
from perdure.api import models, runs, savepoints, service, steps
from perdure.api.context import Context
from perdure.drivers.sessions import Sessions
from perdure.observability import Metrics
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.base import Store
from perdure.web.auth import Authentication, Tokens
from perdure.web.errors import EXCEPTION_HANDLERS
from perdure.web.limits import Limits
from perdure.web.openapi import add_errors, add_operations, add_tokens
from perdure.web.origins import Origins, is_loopback
from perdure.web.requests import Requests

__all__ = ["App", "create_app"]

DESCRIPTION = "Simulations that outlive their server: durable, exactly resumable runs behind one HTTP API."

log = structlog.get_logger(__name__)


class App(FastAPI):
    """The app, whose OpenAPI document has the operations on msgspec Structs too."""

    tokens_needed: bool = False

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        document = super().openapi()
        if "/runs/{run_id}/steps" not in document["paths"]:
            add_operations(document, self.routes)
            add_errors(document)
            if self.tokens_needed:
                add_tokens(document, service.PUBLIC)
        return document


def create_app(
    store: Store,
    catalogue: Catalogue,
    settings: Settings,
    *,
    administrator_socket: str | None = None,
    on_closed: Callable[[], None] | None = None,
) -> App:
    """Make the app that serves a store and a catalogue.

    Parameters
    ----------
    store
        Where runs are kept; it is closed by whoever opened it.
    catalogue
        The models and scenarios that sessions are made of.
    settings
        Tokens, origins, limits and the savepoint schedule.
    administrator_socket
        The path of the Unix socket whose requests are the administrator's, who sees every run and needs no
        token. Nothing but this machine's administrator may reach it, so never name the socket of a proxy.
    on_closed
        Called when the app has closed, for example ``store.close``.

    Examples
    --------
    >>> from perdure.stores.memory import MemoryStore
    >>> store = MemoryStore()
    >>> app = create_app(store, Catalogue(), Settings(), on_closed=store.close)
    """
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        sessions = Sessions(store, catalogue, settings, metrics)
        app.state.context = Context(store, catalogue, metrics, sessions, sessions.closing)
        try:
            yield
        finally:
            await sessions.aclose()
            if on_closed is not None:
                on_closed()

    tokens = Tokens(settings.tokens)
    if not tokens and not is_loopback(settings.host):
        log.warning("no_tokens", host=settings.host, meaning="whoever reaches the server may do everything")
    app = App(
        title="Perdure",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers=EXCEPTION_HANDLERS,
        middleware=[
            Middleware(Requests),
            Middleware(
                Origins,
                allowed=settings.cors_origins,
                hosts=None if tokens else {settings.host},
                administrator_socket=administrator_socket,
            ),
            Middleware(
                Authentication,
                tokens=tokens,
                public=service.PUBLIC,
                administrator_socket=administrator_socket,
            ),
            Middleware(Limits, max_body_bytes=settings.max_body_bytes),
        ],
        # One flat list, the hot path first: what is at a path is found by looking at each in turn.
        routes=[
            *steps.routes(),
            *service.router.routes,
            *models.router.routes,
            *runs.router.routes,
            *savepoints.router.routes,
        ],
    )
    app.tokens_needed = bool(tokens)
    return app
