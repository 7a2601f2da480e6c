"""The composition root: one app made of a store, a catalogue and settings, and that of a `BptkServer`."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio.to_thread
import structlog
from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from perdure import __version__
from perdure.api import (
    backup,
    experiments,
    fork_tree,
    login,
    many_runs,
    models,
    networks,
    pruning,
    runs,
    savepoints,
    scenes,
    service,
    system,
    tasks,
)
from perdure.api.dialects import installed_dialects
from perdure.api.login_key import login_key
from perdure.api.native import NATIVE
from perdure.api.opening import opened
from perdure.api.page import PUBLIC as PUBLIC_PAGE
from perdure.api.page import PUBLIC_BELOW, installed_page
from perdure.dialects.bptk.external_state import ExternalStateAdapter
from perdure.dialects.bptk.router import in_memory
from perdure.drivers.task_registry import TaskRegistry
from perdure.errors import PerdureError
from perdure.execution.executor import Executor
from perdure.execution.unplaced import Unplaced
from perdure.numerics import Numerics
from perdure.observability import Metrics
from perdure.places import open_artifacts
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.base import Store
from perdure.stores.memory import MemoryStore
from perdure.web.auth import Callers
from perdure.web.bodies import Limit
from perdure.web.dialect import Dialect
from perdure.web.edge import Admission, Edge
from perdure.web.logins import Logins
from perdure.web.openapi import add_api, add_errors, add_tokens
from perdure.web.origins import ANY, OriginPolicy, host_name, is_loopback
from perdure.web.services import AppServices
from perdure.web.tokens import Tokens

__all__ = ["App", "create_app", "create_bptk_app"]

DESCRIPTION = "Simulations that outlive their server: durable, exactly resumable runs behind one HTTP API."

TAGS: Mapping[str, str] = {
    "runs": "Sessions, tasks and experiments: made, steered, stepped, read.",
    "models": "The scenario managers that sessions are made of.",
    "tasks": "The tasks that can be queued.",
    "experiments": "The experiments that can be run, and the files that runs of them wrote.",
    "service": "The service itself.",
}
"""The groups of the native API's routes."""

log = structlog.get_logger(__name__)


class App(FastAPI):
    """The app, whose requests come in by the edge.

    Attributes
    ----------
    tokens_needed
        Whether requests need a token.
    hosts
        The hosts it answers to, besides loopback names; the server that listens for it adds where.
    origins
        Which hosts it answers to, and which web pages may call it.
    edge
        What answers: the native API, and the dialects.
    serves_page
        Whether the page has been built, and is served at ``/ui``.
    """

    tokens_needed: bool
    hosts: set[str]
    origins: OriginPolicy
    edge: Edge
    serves_page: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the edge answer: it does for all routes what middlewares would do for those of FastAPI."""
        scope["app"] = self
        await self.edge(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        document = super().openapi()
        if "ErrorBody" not in document.get("components", {}).get("schemas", {}):
            add_errors(document)
            for api in self.edge.apis:
                add_api(document, api)
            if self.tokens_needed:
                add_tokens(document, self.edge.public, self.edge.apis)
        return document


def create_app(
    store: Store,
    catalogue: Catalogue,
    settings: Settings,
    *,
    executor: Executor | None = None,
    dialects: Sequence[Dialect[Any]] | None = None,
    administrator_socket: str | None = None,
    on_closed: Callable[[], None] | None = None,
) -> App:
    """Make the app that serves a store and a catalogue.

    Parameters
    ----------
    store
        Where runs are kept; it is closed by its opener.
    catalogue
        The models and scenarios that sessions are made of.
    settings
        Tokens, origins, limits, the savepoint schedule and the tasks served.
    executor
        What works on tasks and experiments; it is opened and closed by its owner. By default a worker is
        opened with the app, unless the settings name a broker. With `Unplaced` they wait for a worker.
    dialects
        The dialects that it answers besides the native API; by default all that are installed.
    administrator_socket
        The path of the Unix socket whose requests are the administrator's, who sees every run and needs no
        token. Nothing but this machine's administrator may reach it, so never name the socket of a proxy.
    on_closed
        Called when the app has closed, for example ``store.close``.

    Raises
    ------
    InvalidTask
        If a task that the settings name can't be loaded.
    DialectUnusable
        If a dialect can't be loaded, or has a route at a path of another.

    Examples
    --------
    >>> from perdure.stores.memory import MemoryStore
    >>> store = MemoryStore()
    >>> app = create_app(store, Catalogue(), Settings(), on_closed=store.close)
    """
    tokens = Tokens(settings.tokens, settings.administrators)
    if not tokens and not is_loopback(settings.host):
        log.warning("no_tokens", host=settings.host, meaning="every client may do everything")
    callers = Callers(tokens, administrator_socket)
    sources = () if isinstance(executor, Unplaced) else settings.tasks
    registry = TaskRegistry(sources, Numerics(others=settings.other_numerics))
    artifacts = open_artifacts(store, settings)
    page = installed_page()

    @asynccontextmanager
    async def opening(metrics: Metrics) -> AsyncIterator[AppServices]:
        if tokens:
            callers.logins = Logins(tokens, await anyio.to_thread.run_sync(login_key, store))
        async with opened(
            store, catalogue, settings, artifacts, registry, metrics=metrics, executor=executor
        ) as services:
            yield services

    return _app(
        opening,
        settings,
        callers,
        _Apis(
            NATIVE,
            [
                *service.router.routes,
                *login.LoginRoutes(callers, settings.login_expires).router().routes,
                *backup.router.routes,
                *models.router.routes,
                *pruning.router.routes,
                *many_runs.router.routes,
                *runs.router.routes,
                *fork_tree.router.routes,
                *savepoints.router.routes,
                *experiments.router.routes,
                *scenes.router.routes,
                *tasks.router.routes,
                *networks.router.routes,
                *system.router.routes,
                *(() if page is None else page.router().routes),
            ],
            installed_dialects() if dialects is None else dialects,
            service.PUBLIC | login.PUBLIC | PUBLIC_PAGE,
            serves_page=page is not None,
        ),
        settings.cors_origins,
        any_host=bool(tokens),
        on_closed=on_closed,
    )


def create_bptk_app(
    store: MemoryStore,
    catalogue: Catalogue,
    settings: Settings,
    *,
    cors_origins: Collection[str] | None,
    adapter: ExternalStateAdapter | None,
    externalize: bool,
) -> App:
    """Make the app of a `BptkServer`: BPTK's routes and those of the service.

    Parameters
    ----------
    store
        Where sessions live.
    catalogue
        The models and scenarios that sessions are made of.
    settings
        Tokens, origins, limits and the savepoint schedule.
    cors_origins
        Origins whose web pages may call; None takes those of the settings, and without any, every one.
    adapter
        Where instances are written through to; None leaves them in memory alone.
    externalize
        Whether nothing stays in memory between requests.
    """
    if adapter is None:
        log.warning(
            "sessions_in_memory", meaning="there is no external state adapter: sessions end with the server"
        )

    tokens, artifacts = Tokens(settings.tokens, settings.administrators), open_artifacts(store, settings)
    origins = (settings.cors_origins or (ANY,)) if cors_origins is None else cors_origins
    return _app(
        lambda metrics: opened(
            store,
            catalogue,
            settings,
            artifacts,
            TaskRegistry(),
            metrics=metrics,
            executor=Unplaced(store),
        ),
        settings,
        Callers(tokens),
        _Apis(
            replace(NATIVE, routes=(), schemas={}),
            service.router.routes,
            [in_memory(adapter, externalize=externalize)],
            service.PUBLIC | {"/metrics", "/metrics/"},
        ),
        origins,
        # A page that may call from any origin gains nothing by renaming itself.
        any_host=bool(tokens) or ANY in origins,
    )


@dataclass(frozen=True)
class _Apis:
    """What an app answers: the native API, its routes of FastAPI, dialects; which paths are public."""

    native: Dialect[AppServices]
    routes: Sequence[BaseRoute]
    dialects: Sequence[Dialect[Any]]
    public: Collection[str]
    serves_page: bool = False


def _app(
    opening: Callable[[Metrics], AbstractAsyncContextManager[AppServices]],
    settings: Settings,
    callers: Callers,
    apis: _Apis,
    origins: Collection[str],
    *,
    any_host: bool,
    on_closed: Callable[[], None] | None = None,
) -> App:
    """Make an app, which opens with its lifespan what it works with."""
    metrics, limit = Metrics(), Limit(settings.max_body_bytes, "PERDURE_MAX_BODY_BYTES")
    hosts = {host_name(host) or host.lower() for host in (settings.host, *settings.hosts)}
    named = None if any_host or ANY in hosts else hosts
    policy = OriginPolicy.of(origins, named, callers.administrator_socket)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if on_closed is not None:
                stack.callback(on_closed)
            try:
                app.state.services = await stack.enter_async_context(opening(metrics))
                await stack.enter_async_context(edge.opened(app.state.services))
            except PerdureError as error:
                app.state.failure = error
                raise
            yield

    app = App(
        title="Perdure",
        version=__version__,
        description=DESCRIPTION,
        openapi_tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        lifespan=lifespan,
        docs_url=None,  # its pages load scripts from elsewhere; ours is in `service`
        redoc_url=None,
        redirect_slashes=False,
        routes=list(apis.routes),
    )
    edge = Edge(
        apis.native,
        AsyncExitStackMiddleware(app.router),
        [route.path for route in app.routes if isinstance(route, Route)],
        apis.dialects,
        Admission(
            callers,
            policy,
            apis.public,
            limit,
            [*experiments.uploads(settings.max_upload_bytes), *login.UPLOADS],
            PUBLIC_BELOW if apis.serves_page else (),
        ),
        root_path=settings.root_path or "",
        count=metrics.count_answer,
        log_all=settings.access_log,
    )
    app.tokens_needed, app.hosts, app.origins, app.edge = callers.tokens_needed, hosts, policy, edge
    app.serves_page = apis.serves_page
    return app
