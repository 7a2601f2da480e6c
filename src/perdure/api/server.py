"""The server process: a store, an app and two sockets, from opening to closing.

The administrator's Unix socket lies beside the store's file, with mode 0600; the commands of this machine
speak to the server through it. Stopping takes seconds at most: requests under way end, event streams are
ended.
"""

import asyncio
import gc
import json
import os
import shlex
import signal
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import structlog
import uvicorn

from perdure.api.app import App, create_app
from perdure.api.connections import BoundedConfig, BoundedProtocol
from perdure.api.service_manager import READY, STOPPING, WATCHDOG, notify
from perdure.errors import AddressUnavailable, PerdureError, TokensMissing
from perdure.observability import json_line
from perdure.places import ending_in_words
from perdure.scenarios import Catalogue
from perdure.settings import Settings, warn_of_unknown_variables
from perdure.stores.base import Store
from perdure.stores.location import beside, shown_url
from perdure.stores.open import open_configured
from perdure.tracing import exporting
from perdure.web.origins import host_name, is_loopback

__all__ = ["STOP_SIGNALS", "access_in_words", "listening_on", "run_app", "serve"]

STOP_SECONDS = 10  # requests that take longer are cut off
BACKLOG = 2048
PROBE_SECONDS = 5.0  # without a write, after which the store is probed, so that /ready reports a full disk
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
LONGEST_SOCKET_PATH = 103  # bytes; Linux takes 107, macOS 103

log = structlog.get_logger(__name__)


def serve(
    catalogue: Catalogue,
    settings: Settings,
    *,
    announce: Callable[[str], None] = print,
    accept_loss: bool = False,
    sockets: Sequence[socket.socket] | None = None,
) -> None:
    """Serve a catalogue until SIGTERM or SIGINT.

    Parameters
    ----------
    catalogue
        The models and scenarios served.
    settings
        Where to listen, where the store is, and the limits.
    announce
        Called with a message for people once the server answers: where it is and what to do next.
    accept_loss
        Whether to go on from what the store's files hold when they lack something that was acknowledged.
    sockets
        Where requests come in, if another process has opened that.

    Raises
    ------
    TokensMissing
        If others than this machine could reach the server and there are no tokens.
    AddressUnavailable
        If the address or the administrator's socket can't be listened on.
    PerdureError
        If the store can't be opened.
    """
    with _Signals() as signals, ExitStack() as closing:
        closing.enter_context(exporting(settings.traces))
        listening = closing.enter_context(listening_on(settings)) if sockets is None else sockets
        store = open_configured(settings, accept_loss=accept_loss, probe_every=PROBE_SECONDS)
        closing.callback(store.close)
        accepting, path = [*listening], _socket_of(store)
        if path is not None:
            accepting.append(closing.enter_context(_administrator_socket(path)))
        app = create_app(store, catalogue, settings, administrator_socket=None if path is None else str(path))
        app.hosts.add(host_name(listening[0].getsockname()[0]))
        warn_of_unknown_variables()
        announced = _announcement([_url(each) for each in listening], catalogue, settings, app, store)
        signals.server = _Server(app, settings, lambda: announce(announced))
        _run(signals.server, app, accepting)


@contextmanager
def listening_on(settings: Settings) -> Iterator[Sequence[socket.socket]]:
    """Yield sockets at the ports of the settings, which are closed at the end.

    Raises
    ------
    TokensMissing
        If others than this machine could reach the server and there are no tokens.
    AddressUnavailable
        If an address can't be listened on.
    """
    if not settings.tokens and not is_loopback(settings.host):
        raise TokensMissing(host=settings.host)
    with ExitStack() as closing:
        ports = (settings.port, *settings.extra_ports)
        yield [closing.enter_context(_tcp_socket(settings.host, port)) for port in ports]


def run_app(app: App, settings: Settings, host: str, port: int, announce: Callable[[str, str], None]) -> None:
    """Serve an app until SIGTERM or SIGINT.

    Parameters
    ----------
    settings
        The limits of its connections.
    host, port
        Where to listen; port 0 takes a free one.
    announce
        Called once the server answers, with its URL and who may call it.

    Raises
    ------
    AddressUnavailable
        If the address can't be listened on.
    PerdureError
        If the app can't start, for example because another server uses its external state.
    """
    with _Signals() as signals, _tcp_socket(host, port) as listening:
        warn_of_unknown_variables()
        app.hosts |= {host.lower(), host_name(listening.getsockname()[0])}
        url, access = _url(listening), access_in_words(app)
        signals.server = _Server(app, settings, lambda: announce(url, access))
        _run(signals.server, app, [listening])


def _run(server: uvicorn.Server, app: App, sockets: list[socket.socket]) -> None:
    """Serve; raise what keeps the app from starting, for which uvicorn ends the process."""
    try:
        server.run(sockets)
    except SystemExit:
        if not hasattr(app.state, "failure"):
            raise
    failure: PerdureError | None = getattr(app.state, "failure", None)
    if failure is not None:
        raise failure


class _Signals:
    """Takes SIGTERM and SIGINT from the first moment until all is closed; a second SIGINT stops at once."""

    def __init__(self) -> None:
        self.server: uvicorn.Server | None = None
        self._before: dict[int, Any] = {}
        self._stopped = False  # before there was a server

    def __enter__(self) -> "_Signals":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._stop) for number in STOP_SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._stopped:
            sys.exit(0)  # code that was imported just then took it for an error of its own

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.server is None:
            self._stopped = True
            sys.exit(0)
        self.server.handle_exit(number, frame)


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it answers, closes idle connections, and ends event streams first."""

    def __init__(self, app: App, settings: Settings, on_started: Callable[[], None]) -> None:
        self._app = app
        self._on_started = on_started
        super().__init__(
            BoundedConfig(
                app,
                settings,
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal ends it; in a thread of its own where an event loop runs, as in a notebook.

        The thread ends before this returns. Signals reach the main thread, which waits for it.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            super().run(sockets)
            return
        with ThreadPoolExecutor(1, "perdure-server") as thread:
            thread.submit(super().run, sockets).result()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `serve`: uvicorn would raise them again before the store is closed."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        _spare_what_stays()
        notify(READY)
        try:
            self._on_started()
        except BrokenPipeError:  # the reader has gone; that is no reason to stop serving
            log.info("nobody_listens_to_output")
        except BaseException:
            await self.shutdown(sockets)
            raise

    async def on_tick(self, counter: int) -> bool:
        """Look at the connections; uvicorn calls this ten times a second."""
        if counter % 10 == 0:
            notify(WATCHDOG)
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, BoundedProtocol):
                    connection.expire(now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notify(STOPPING)
        self._app.state.services.closing.set()
        await super().shutdown(sockets)


def _spare_what_stays() -> None:
    """Let the garbage collector pass over all that lives as long as the process, and come by more rarely.

    A request leaves hardly any cycles. Measured with 16 and 64 clients: 16 and 35 % more steps a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


@contextmanager
def _tcp_socket(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise AddressUnavailable(address=f"{host}:{port}", reason=error.strerror or str(error)) from error
    with listening:
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except OSError as error:
            raise AddressUnavailable(address=f"{host}:{port}", reason=error.strerror or str(error)) from error
        yield listening


@contextmanager
def _administrator_socket(path: Path) -> Iterator[socket.socket]:
    """Listen on a Unix socket that only this user may use.

    The store's lock is held, so that a socket found here was left by a server that was killed.
    """
    with socket.socket(socket.AF_UNIX) as listening:
        try:
            if path.exists() and stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink()
            before = os.umask(0o177)
            try:
                listening.bind(str(path))
            finally:
                os.umask(before)
        except OSError as error:
            raise AddressUnavailable(address=str(path), reason=error.strerror or str(error)) from error
        try:
            yield listening
        finally:
            path.unlink(missing_ok=True)


def _socket_of(store: Store) -> Path | None:
    """Return where the administrator's socket is to be, if there can be one."""
    if store.file is None or not hasattr(socket, "AF_UNIX"):
        return None
    path = beside(store.file, "sock")
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        log.warning("no_administrator_socket", path=str(path), reason="the path is too long for a socket")
        return None
    return path


def access_in_words(app: App) -> str:
    """Return who may call an app, for people: by which token, and from which web pages."""
    token = "with a token" if app.tokens_needed else "without a token"
    return f"{token}; {app.origins.in_words()}"


def _announcement(
    urls: Sequence[str], catalogue: Catalogue, settings: Settings, app: App, store: Store
) -> str:
    """Return what is printed when the server answers: lines for people, or one of JSON for programs."""
    url, *others = urls
    shown, ending = shown_url(settings.store), ending_in_words(store, settings)
    if settings.log_json:
        return json_line(
            "serving", url=url, also=others, store=shown, open=access_in_words(app), ends_with_it=ending
        )
    token = " -H 'Authorization: Bearer TOKEN'" if settings.tokens else ""
    lines = [
        f"Perdure serves {url} from {shown}",
        *(f"  also:    {other}" for other in others),
        *([] if ending is None else [f"  ends:    {ending} end with this server"]),
        f"  open:    {access_in_words(app)}",
        f"  models:  curl{token} {url}/models",
    ]
    if settings.tokens:
        lines.append(f"  login:   {url}/login")
    manager = next((manager for manager in catalogue if manager.scenarios), None)
    if manager is not None:
        scenario = next(iter(manager.scenarios))
        new = {"kind": "session", "scenarios": {manager.name: [scenario]}}
        body = json.dumps(new, ensure_ascii=not f"{manager.name}{scenario}".isprintable())
        lines.append(
            f"  session: curl{token} {url}/runs -H 'Content-Type: application/json' -d {shlex.quote(body)}"
        )
    return "\n".join([*lines, f"  routes:  {url}/openapi.json"])
