"""The composition root: one app made of a store, a catalogue and settings, and that of a `BptkServer`."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from perdure import __version__
from perdure.api import backup, events, experiments, models, runs, savepoints, service, steps, tasks
from perdure.api.context import Context
from perdure.api.dialects import BPTK, DIALECTS, ServedDialect
from perdure.api.opening import Manner, opened
from perdure.dialects.bptk.external_state import ExternalStateAdapter, Mirror
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
from perdure.web.auth import Authentication, Callers
from perdure.web.errors import EXCEPTION_HANDLERS
from perdure.web.limits import Limits
from perdure.web.open_routes import OpenRoutes
from perdure.web.openapi import add_dialects, add_errors, add_operations, add_tokens
from perdure.web.origins import ANY, OriginPolicy, Origins, host_name, is_loopback
from perdure.web.requests import Requests
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
    """The app, whose OpenAPI document has the operations on msgspec Structs too.

    Attributes
    ----------
    tokens_needed
        Whether requests need a token.
    hosts
        The hosts it answers to, besides loopback names; whoever listens for it adds where.
    origins
        Which hosts it answers to, and which web pages may call it.
    dialects
        Those that it serves.
    """

    tokens_needed: bool
    hosts: set[str]
    origins: OriginPolicy
    dialects: Sequence[ServedDialect]

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        document = super().openapi()
        if "ErrorBody" not in document.get("components", {}).get("schemas", {}):
            add_operations(document, self.routes)
            add_errors(document)
            add_dialects(document, [dialect.described for dialect in self.dialects])
            if self.tokens_needed:
                add_tokens(document, service.PUBLIC.union(*(dialect.public for dialect in self.dialects)))
        return document


def create_app(
    store: Store,
    catalogue: Catalogue,
    settings: Settings,
    *,
    executor: Executor | None = None,
    dialects: Sequence[ServedDialect] = DIALECTS,
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
        Tokens, origins, limits, the savepoint schedule and the tasks served.
    executor
        What works on tasks and experiments; it is opened and closed by its owner. By default a worker is
        opened with the app. With `Unplaced` they wait for a worker.
    dialects
        The dialects that it answers besides the native API.
    administrator_socket
        The path of the Unix socket whose requests are the administrator's, who sees every run and needs no
        token. Nothing but this machine's administrator may reach it, so never name the socket of a proxy.
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
    tokens = Tokens(settings.tokens, settings.administrators)
    if not tokens and not is_loopback(settings.host):
        log.warning("no_tokens", host=settings.host, meaning="whoever reaches the server may do everything")
    registry = TaskRegistry(() if isinstance(executor, Unplaced) else settings.tasks)
    artifacts = open_artifacts(store, settings)
    return _app(
        lambda metrics: opened(
            store, catalogue, settings, artifacts, Manner(), registry, metrics=metrics, executor=executor
        ),
        settings,
        _Doors(
            tokens=tokens,
            origins=settings.cors_origins,
            any_host=bool(tokens),
            public=service.PUBLIC,
            administrator_socket=administrator_socket,
        ),
        dialects,
        # One flat list, the hot path first: what is at a path is found by looking at each in turn.
        [
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
        on_closed,
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

    tokens = Tokens(settings.tokens, settings.administrators)
    origins = (settings.cors_origins or (ANY,)) if cors_origins is None else cors_origins
    artifacts, manner = open_artifacts(store, settings), Manner(make_mirror, externalize, durable=False)
    return _app(
        lambda metrics: opened(
            store,
            catalogue,
            settings,
            artifacts,
            manner,
            TaskRegistry(),
            metrics=metrics,
            executor=Unplaced(store),
        ),
        settings,
        _Doors(
            tokens=tokens,
            origins=origins,
            # A page that may call from any origin gains nothing by renaming itself.
            any_host=bool(tokens) or ANY in origins,
            public=service.PUBLIC | {"/metrics", "/metrics/"},
        ),
        (BPTK,),
        service.router.routes,
    )


@dataclass(frozen=True)
class _Doors:
    """Who may call an app."""

    tokens: Tokens
    origins: Collection[str]
    any_host: bool
    public: Collection[str]
    administrator_socket: str | None = None


def _app(
    opening: Callable[[Metrics], AbstractAsyncContextManager[Context]],
    settings: Settings,
    doors: _Doors,
    dialects: Sequence[ServedDialect],
    routes: Sequence[BaseRoute],
    on_closed: Callable[[], None] | None = None,
) -> App:
    """Make an app, which opens with its lifespan what it works with."""
    metrics, callers = Metrics(), Callers(doors.tokens, doors.administrator_socket)
    hosts = {host_name(host) or host.lower() for host in (settings.host, *settings.hosts)}
    named = None if doors.any_host or ANY in hosts else hosts
    policy = OriginPolicy.of(doors.origins, named, doors.administrator_socket)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if on_closed is not None:
                stack.callback(on_closed)
            try:
                app.state.context = await stack.enter_async_context(opening(metrics))
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
                dialects=[dialect.paths for dialect in dialects if dialect.paths is not None],
                callers=callers,
                policy=policy,
                max_body_bytes=settings.max_body_bytes,
            ),
            Middleware(Origins, policy=policy),
            *(
                dialect.make_routes(callers, settings)
                for dialect in dialects
                if dialect.make_routes is not None
            ),
            Middleware(Authentication, callers=callers, public=doors.public),
            Middleware(
                Limits,
                max_body_bytes=settings.max_body_bytes,
                uploads=experiments.uploads(settings.max_upload_bytes),
            ),
        ],
        routes=list(routes),
    )
    app.tokens_needed, app.hosts, app.origins, app.dialects = bool(doors.tokens), hosts, policy, dialects
    return app
