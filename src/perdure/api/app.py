"""The composition root: one app made of a store, a catalogue and settings, and that of a `BptkServer`."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from perdure import __version__
from perdure.api import backup, events, experiments, models, runs, savepoints, service, steps, tasks
from perdure.api.context import context_of
from perdure.api.opening import Manner, opened
from perdure.dialects.bptk import openapi as bptk
from perdure.dialects.bptk.external_state import ExternalStateAdapter, Mirror
from perdure.dialects.bptk.router import BptkPaths
from perdure.dialects.nrp import openapi as nrp
from perdure.dialects.nrp.router import NrpRoutes
from perdure.dialects.stableconfigs import openapi as stableconfigs
from perdure.dialects.stableconfigs.router import StableConfigsPaths
from perdure.drivers.sessions import Sessions
from perdure.drivers.task_registry import TaskRegistry
from perdure.errors import PerdureError
from perdure.execution.executor import Executor
from perdure.execution.unplaced import Unplaced
from perdure.observability import Metrics
from perdure.places import open_artifacts
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.base import Store
from perdure.stores.memory import MemoryStore
from perdure.web.auth import Authentication, Tokens
from perdure.web.errors import EXCEPTION_HANDLERS
from perdure.web.limits import Limits
from perdure.web.open_routes import OpenDialect, OpenRoutes
from perdure.web.openapi import Described, add_dialects, add_errors, add_operations, add_tokens
from perdure.web.origins import ANY, OriginPolicy, Origins, host_name, is_loopback
from perdure.web.requests import Requests

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

BPTK_PATHS = BptkPaths(lambda scope: context_of(scope).bptk)

log = structlog.get_logger(__name__)


class App(FastAPI):
    """The app, whose OpenAPI document has the operations on msgspec Structs too.

    Attributes
    ----------
    tokens_needed
        Whether requests need a token.
    hosts
        The hosts it answers to, besides loopback names; whoever listens for it adds where.
    origins
        Which hosts it answers to, and which web pages may call it.
    described
        What the OpenAPI document says of its dialects.
    """

    tokens_needed: bool
    hosts: set[str]
    origins: OriginPolicy
    described: Sequence[Described]

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        document = super().openapi()
        if "ErrorBody" not in document.get("components", {}).get("schemas", {}):
            add_operations(document, self.routes)
            add_errors(document)
            add_dialects(document, self.described)
            if self.tokens_needed:
                add_tokens(document, service.PUBLIC | nrp.PUBLIC)
        return document


def create_app(
    store: Store,
    catalogue: Catalogue,
    settings: Settings,
    *,
    administrator_socket: str | None = None,
    executor: Executor | None = None,
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
        Tokens, origins, limits, the savepoint schedule and the tasks served.
    administrator_socket
        The path of the Unix socket whose requests are the administrator's, who sees every run and needs no
        token. Nothing but this machine's administrator may reach it, so never name the socket of a proxy.
    executor
        What works on tasks and experiments; it is opened and closed by its owner. By default a worker is
        opened with the app. With `Unplaced` they wait for a worker.
    on_closed
        Called when the app has closed, for example ``store.close``.

    Raises
    ------
    InvalidTask
        If a task that the settings name can't be loaded.

    Examples
    --------
    >>> from perdure.stores.memory import MemoryStore
    >>> store = MemoryStore()
    >>> app = create_app(store, Catalogue(), Settings(), on_closed=store.close)
    """
    tokens = Tokens(settings.tokens)
    if not tokens and not is_loopback(settings.host):
        log.warning("no_tokens", host=settings.host, meaning="whoever reaches the server may do everything")
    return _app(
        store,
        catalogue,
        settings,
        Manner(),
        tokens=tokens,
        origins=settings.cors_origins,
        any_host=bool(tokens),
        public=service.PUBLIC,
        administrator_socket=administrator_socket,
        # One flat list, the hot path first: what is at a path is found by looking at each in turn.
        routes=[
            *steps.routes(),
            *events.routes(),
            *service.router.routes,
            *backup.router.routes,
            *models.router.routes,
            *runs.router.routes,
            *savepoints.router.routes,
            *experiments.router.routes,
            *tasks.router.routes,
        ],
        dialects=(BPTK_PATHS, StableConfigsPaths(lambda scope: context_of(scope).stableconfigs)),
        described=(bptk.described(), nrp.described(), stableconfigs.described()),
        between=[
            Middleware(
                NrpRoutes,
                simulations=lambda scope: context_of(scope).simulations,
                tokens=tokens,
                max_body_bytes=settings.max_body_bytes,
                administrator_socket=administrator_socket,
            )
        ],
        registry=TaskRegistry(() if isinstance(executor, Unplaced) else settings.tasks),
        executor=executor,
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

    def make_mirror(sessions: Sessions) -> Mirror | None:
        return None if adapter is None else Mirror(adapter, store, sessions, shared=externalize)

    tokens = Tokens(settings.tokens)
    origins = (settings.cors_origins or (ANY,)) if cors_origins is None else cors_origins
    return _app(
        store,
        catalogue,
        settings,
        Manner(make_mirror, externalize=externalize, durable=False),
        tokens=tokens,
        origins=origins,
        # A page that may call from any origin gains nothing by renaming itself.
        any_host=bool(tokens) or ANY in origins,
        public=service.PUBLIC | {"/metrics", "/metrics/"},
        administrator_socket=None,
        routes=list(service.router.routes),
        dialects=(BPTK_PATHS,),
        described=(bptk.described(),),
        registry=TaskRegistry(),
        executor=Unplaced(store),
        on_closed=None,
    )


def _app(
    store: Store,
    catalogue: Catalogue,
    settings: Settings,
    manner: Manner,
    *,
    tokens: Tokens,
    origins: Collection[str],
    any_host: bool,
    public: Collection[str],
    administrator_socket: str | None,
    routes: list[BaseRoute],
    dialects: Sequence[OpenDialect],
    described: Sequence[Described],
    between: Sequence[Middleware] = (),
    registry: TaskRegistry,
    executor: Executor | None,
    on_closed: Callable[[], None] | None,
) -> App:
    """Make an app; `between` is asked after origins are checked, and before the native API's tokens are."""
    artifacts = open_artifacts(store, settings)
    metrics = Metrics()
    hosts = {host_name(host) or host.lower() for host in (settings.host, *settings.hosts)}
    policy = OriginPolicy.of(origins, None if any_host or ANY in hosts else hosts, administrator_socket)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if on_closed is not None:
                stack.callback(on_closed)
            opening = opened(
                store, catalogue, settings, artifacts, manner, registry, metrics=metrics, executor=executor
            )
            try:
                app.state.context = await stack.enter_async_context(opening)
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
        exception_handlers=EXCEPTION_HANDLERS,
        middleware=[
            Middleware(Requests, count=metrics.count_answer, log_all=settings.access_log),
            Middleware(
                OpenRoutes,
                dialects=dialects,
                tokens=tokens,
                policy=policy,
                max_body_bytes=settings.max_body_bytes,
            ),
            Middleware(Origins, policy=policy),
            *between,
            Middleware(
                Authentication, tokens=tokens, public=public, administrator_socket=administrator_socket
            ),
            Middleware(
                Limits,
                max_body_bytes=settings.max_body_bytes,
                uploads=experiments.uploads(settings.max_upload_bytes),
            ),
        ],
        routes=routes,
    )
    app.tokens_needed, app.hosts, app.origins, app.described = bool(tokens), hosts, policy, described
    return app
