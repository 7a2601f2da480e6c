"""The connection of a command to the runs of a store: through its server, or without one."""

import inspect
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar, get_type_hints

import typer

from perdure.cli.options import read_settings
from perdure.errors import PerdureError
from perdure.stores.location import shown_url
from perdure.stores.schemes import socket_path
from perdure.terminal import printable

if TYPE_CHECKING:
    import httpx

__all__ = ["Models", "StoreUrl", "Target", "answer", "ask", "is_served", "on_target", "with_client"]

T = TypeVar("T")

PATIENCE = 3600.0  # seconds; checking or upgrading a long run may take long
HOST = "perdure"  # no name on any network: requests with it come from this process or the Unix socket

StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="The store: its file or its URL. By default the one `perdure serve` uses here.",
    ),
]
ServerUrl = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        envvar="PERDURE_SERVER",
        help="Use this server instead of a store, also on another machine: http://HOST:PORT.",
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="PERDURE_TOKEN",
        help="The token for the server. Other users of this machine can read arguments, but not variables.",
    ),
]
Models = Annotated[
    str | None,
    typer.Option(
        "--models",
        help="module:name or file.py:name of the models, if no server is running that has them.",
    ),
]


class Target(NamedTuple):
    """The runs that a command works on: those of a store, or those that a token may see at a server's URL."""

    store: str | None = None
    server: str | None = None
    token: str | None = None


def on_target(command: Callable[..., T]) -> Callable[..., T]:
    """Convert a function whose first parameter is a `Target` into a command with the options of a target."""

    @wraps(command)
    def with_options(**options: Any) -> T:
        target = Target(**{name: options.pop(name) for name in Target._fields})
        return command(target, **options)

    first, *own = inspect.signature(command).parameters.values()
    kinds = {"store": StoreUrl, "server": ServerUrl, "token": Token}
    added = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=kind)
        for name, kind in kinds.items()
    ]
    with_options.__dict__["__signature__"] = inspect.Signature([*own, *added])
    hints = get_type_hints(command, include_extras=True)
    with_options.__annotations__ = {name: hints[name] for name in hints if name != first.name} | kinds
    return with_options


def with_client(
    target: Target,
    work: Callable[["httpx.AsyncClient"], Awaitable[T]],
    models: str | None = None,
    *,
    served: bool = False,
) -> T:
    """Run a command's coroutine with a client, and return its result; raise what `connect` raises."""
    import anyio

    async def connected() -> T:
        async with connect(target, models, served=served) as client:
            return await work(client)

    return anyio.run(connected)


def ask(
    target: Target, method: str, path: str, *, models: str | None = None, json: object | None = None
) -> Any:
    """Send one request, and return the body of its answer; raise what `connect` and `answer` raise."""

    async def work(client: "httpx.AsyncClient") -> Any:
        return answer(await client.request(method, path, json=json))

    return with_client(target, work, models)


@asynccontextmanager
async def connect(
    target: Target, models: str | None = None, *, served: bool = False
) -> AsyncIterator["httpx.AsyncClient"]:
    """Yield a client of a server or, with the administrator's rights, of a store.

    Parameters
    ----------
    served
        Whether the operation requires a running server, since only a server works on runs.

    Raises
    ------
    PerdureError
        If the server doesn't answer, the store doesn't exist or can't be opened, or a required server isn't
        running.
    """
    import httpx

    if target.server is not None and target.store is None:
        async with _client_of(target.server, target.token) as client:
            yield client
        return
    settings = read_settings(store=target.store)
    path = socket_path(settings.store)
    if path is not None and is_served(path):
        # Nothing is encrypted on a socket of this machine, and reading certificates takes long.
        transport = httpx.AsyncHTTPTransport(verify=False, uds=str(path))
        async with httpx.AsyncClient(
            transport=transport, base_url=f"http://{HOST}", timeout=PATIENCE
        ) as client:
            yield client
        return
    if served:
        url = shown_url(settings.store)
        if path is None:
            raise PerdureError(
                f"{url} has no file by which a server could be found; name the server with --server URL."
            )
        raise PerdureError(f"No server works on {url}; start `perdure serve`, or name another with --store.")
    from perdure.cli.unserved import app_of  # not needed with a server

    async with (
        app_of(settings, models, administrator_socket=HOST) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{HOST}") as client,
    ):
        yield client


@asynccontextmanager
async def _client_of(url: str, token: str | None) -> AsyncIterator["httpx.AsyncClient"]:
    """Yield a client of the server at a URL; raise `PerdureError` if it can't be reached."""
    import httpx

    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE) as client:
            yield client
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise PerdureError(f"{url!r} is no server's URL; --server takes http://HOST:PORT.") from None
    except httpx.TransportError as error:
        reason = str(error) or type(error).__name__
        raise PerdureError(f"The server at {url} can't be reached: {reason}. Is --server right?") from error


def answer(response: "httpx.Response") -> Any:
    """Return the body of a response; raise its error, with the code among the error's values."""
    if response.is_success:
        return response.json() if response.content else None
    try:
        error = response.json()["error"]
        message, code = error["message"], error["code"]
    except (ValueError, LookupError, TypeError):
        message = f"{response.request.method} {response.request.url.path}: {response.status_code}"
        code = PerdureError.code
    raise PerdureError(printable(str(message)), code=code)


def is_served(path: Path) -> bool:
    """Return whether a server answers at an administrator socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
