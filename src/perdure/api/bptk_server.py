"""The BPTK server: BPTK-Py's `BptkServer` as an ASGI application, with the same arguments."""

import os
from collections.abc import Awaitable, Callable, Collection
from typing import Any, NoReturn

import structlog
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from perdure.api.app import create_bptk_app
from perdure.api.server import run_app
from perdure.dialects.bptk.client import BptkClient, InProcess
from perdure.dialects.bptk.external_state import ExternalStateAdapter, check_adapter
from perdure.dialects.bptk.in_process import Bptk
from perdure.errors import AsgiOnly, Invalid
from perdure.observability import configure_logging, json_line
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore
from perdure.web.auth import LOCAL

__all__ = ["BptkServer"]

HOW_TO_SERVE = (
    "Serve it with `python server.py` and application.run(), with `uvicorn server:application`, or with "
    "`gunicorn -k uvicorn.workers.UvicornWorker server:application`."
)
INSTEAD_OF_FLASK = (
    'In place of CORS(application), pass cors_origins=["https://page.example"] to BptkServer; without it '
    "pages of all origins may call. Routes of your own belong in an ASGI application that mounts it."
)

log = structlog.get_logger(__name__)


class BptkServer:
    """An ASGI application with BPTK's routes.

    Unless the program has configured structlog itself, log lines go to standard error, as the settings
    `log_level` and `log_json` say.

    Parameters
    ----------
    import_name
        The application's name, usually ``__name__``.
    bptk_factory
        Returns a `bptk` object, or a `Catalogue`, whose models and scenarios are served.
    external_state_adapter
        Where instances are written through to. Without one they live in memory and end with the process.
    bearer_token
        The token that requests must bring; None lets everyone in.
    externalize_state_completely
        With an adapter: leave nothing in memory between requests, so that several servers can share it.
    cors_origins
        Origins whose web pages may call the server, for example ``["https://game.example"]``. None takes
        those of `PERDURE_CORS_ORIGINS`; without any, every page may call, as in BPTK.

    Examples
    --------
    >>> from perdure.bptk import BptkServer, Model, bptk
    >>> def bptk_factory():
    ...     model = Model(starttime=1.0, stoptime=3.0, dt=1.0, name="growth")
    ...     size = model.stock("size")
    ...     size.initial_value = 1.0
    ...     size.equation = size * 1.0
    ...     made = bptk()
    ...     made.register_model(model)
    ...     return made
    >>> application = BptkServer(__name__, bptk_factory)
    >>> with application.test_client() as client:
    ...     client.get("/scenarios").get_json()
    {'smGrowth': ['base']}
    """

    def __init__(
        self,
        import_name: str,
        bptk_factory: Callable[[], Bptk | Catalogue] | None = None,
        external_state_adapter: ExternalStateAdapter | None = None,
        bearer_token: str | None = None,
        externalize_state_completely: bool = False,
        cors_origins: Collection[str] | None = None,
    ) -> None:
        if os.environ.get("FLASK_RUN_FROM_CLI") == "true":  # flask sets it before it imports the application
            raise AsgiOnly(reason="flask run can't serve it", advice=HOW_TO_SERVE)
        if external_state_adapter is not None:
            check_adapter(external_state_adapter)
        # ASGI servers look here whether they may await what the call returns.
        vars(self)["__call__"] = self._answer
        self.name = import_name
        tokens = {} if bearer_token is None else {LOCAL: (SecretStr(bearer_token),)}
        given: dict[str, Any] = {"tokens": tokens}
        settings = Settings(**given)
        if not structlog.is_configured():
            configure_logging(settings.log_level, as_json=settings.log_json)
        self._settings = settings
        self._app = create_bptk_app(
            MemoryStore(keep=settings.savepoint_keep),
            _catalogue(bptk_factory),
            settings,
            cors_origins=cors_origins,
            adapter=external_state_adapter,
            externalize=externalize_state_completely,
        )
        self._in_process = InProcess(self._app)

    def __call__(self, scope: Scope, receive: Receive, send: Send | None = None) -> Awaitable[None]:
        """Answer a request; raise `AsgiOnly` for a WSGI server, which calls with two arguments."""
        if send is None:
            raise AsgiOnly(reason="a WSGI server can't call it", advice=HOW_TO_SERVE)
        return self._answer(scope, receive, send)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise AsgiOnly(reason=f"it has no {name!r}", advice=INSTEAD_OF_FLASK)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def __repr__(self) -> str:
        return f"<BptkServer {self.name!r}>"

    def run(
        self,
        host: str | None = None,
        port: int | None = None,
        debug: bool | None = None,
        *,
        announce: Callable[[str], None] = print,
        **options: Any,
    ) -> None:
        """Serve until SIGTERM or SIGINT; in a notebook until the kernel is interrupted.

        Parameters
        ----------
        host, port
            Where to listen. None takes `PERDURE_HOST` and `PERDURE_PORT`, by default 127.0.0.1 and 5000; port
            0 takes a free one.
        debug, options
            Flask's options. They mean nothing here; a log line names those that are given.
        announce
            Called with one line that says where and for whom, once the server answers.

        Raises
        ------
        AddressUnavailable
            If the address can't be listened on.
        """
        ignored = sorted([*options, "debug"] if debug else options)
        if ignored:
            log.warning(
                "options_ignored", options=ignored, meaning="they are Flask's; ASGI servers have none of them"
            )
        run_app(
            self._app,
            self._settings,
            self._settings.host if host is None else host,
            self._settings.port if port is None else port,
            lambda url, access: announce(self._announcement(url, access)),
        )

    def _announcement(self, url: str, access: str) -> str:
        if self._settings.log_json:
            return json_line("serving", name=self.name, url=url, open=access)
        return f"{self.name} serves BPTK's API at {url} ({access})"

    def test_client(self) -> BptkClient:
        """Return a client that calls the application without a network; several share its instances."""
        return BptkClient(self._in_process)


def _catalogue(factory: Callable[[], Bptk | Catalogue] | None) -> Catalogue:
    if factory is None:
        return Catalogue()
    made = factory()
    if isinstance(made, Bptk):
        return made.catalogue
    if isinstance(made, Catalogue):
        return made
    raise Invalid(f"A bptk_factory returns a bptk object or a Catalogue, not {type(made).__name__}.")
