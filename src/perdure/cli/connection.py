"""The connection of a command to a store's runs: through the server that holds it, or without one."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from perdure.cli.options import read_settings
from perdure.errors import PerdureError
from perdure.stores.location import socket_path, store_file
from perdure.terminal import printable

__all__ = ["Models", "StoreUrl", "answer", "connect"]

PATIENCE = 3600.0  # seconds; checking or upgrading a long run may take its time
HOST = "perdure"  # no name on any network: requests with it come from this process or the Unix socket

StoreUrl = Annotated[
    str | None,
    typer.Option("--store", help="The store: sqlite:///PATH. By default the one `perdure serve` uses here."),
]
Models = Annotated[
    str | None,
    typer.Option("--models", help="module:name of the models, where no server is running that has them."),
]


@asynccontextmanager
async def connect(
    store: str | None, models: str | None = None, *, served: bool = False
) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client with the administrator's rights on a store.

    Parameters
    ----------
    served
        Whether a server has to be running, since only one works on runs.

    Raises
    ------
    PerdureError
        If the store doesn't exist, or can't be opened, or no server is running that has to.
    """
    settings = read_settings(store=store)
    url = settings.store
    file, path = store_file(url), socket_path(url)
    if path is not None and _answers(path):
        transport = httpx.AsyncHTTPTransport(uds=str(path))
        async with httpx.AsyncClient(
            transport=transport, base_url=f"http://{HOST}", timeout=PATIENCE
        ) as client:
            yield client
        return
    if served:
        raise PerdureError(f"No server works on {url}; start `perdure serve`, or name another with --store.")
    if file is None or not file.is_file():
        raise PerdureError(f"There is no store at {url}; name one with --store, or start `perdure serve`.")
    from perdure.cli.unserved import app_of  # with a server, nothing of it is needed

    async with (
        app_of(settings, models, administrator_socket=HOST) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{HOST}") as client,
    ):
        yield client


def answer(response: httpx.Response) -> Any:
    """Return the body of an answer; raise what its error says, with its code among the values."""
    if response.is_success:
        return response.json() if response.content else None
    try:
        error = response.json()["error"]
        message, code = error["message"], error["code"]
    except (ValueError, LookupError, TypeError):
        message = f"{response.request.method} {response.request.url.path}: {response.status_code}"
        code = PerdureError.code
    raise PerdureError(printable(str(message)), code=code)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
