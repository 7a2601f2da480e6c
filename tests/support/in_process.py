"""A server within the test's own process: an app on a store in memory, and a client that doesn't await."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from tests.support.served import catalogue

from perdure.api.app import create_app
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.base import Store
from perdure.stores.memory import MemoryStore

__all__ = ["TASKS", "Client", "in_process"]

TASKS = str(Path(__file__).with_name("small_tasks.py"))


class Client:
    """Asks an app whose event loop is another thread's; an answer is there when it has ended."""

    def __init__(self, portal: BlockingPortal, client: httpx.AsyncClient) -> None:
        self._portal = portal
        self._client = client

    def request(self, method: str, path: str, **given: Any) -> httpx.Response:
        return self._portal.call(partial(self._client.request, method, path, **given))

    def get(self, path: str, **given: Any) -> httpx.Response:
        return self.request("GET", path, **given)

    def post(self, path: str, **given: Any) -> httpx.Response:
        return self.request("POST", path, **given)

    def put(self, path: str, **given: Any) -> httpx.Response:
        return self.request("PUT", path, **given)


@contextmanager
def in_process(
    settings: Settings | None = None,
    store: Store | None = None,
    models: Catalogue | None = None,
    **parts: Any,
) -> Iterator[Client]:
    """Open an app of these parts, and yield a client of it; both are closed at the end, and the store."""
    kept = store or MemoryStore()
    chosen = settings or Settings(store="memory://", tasks=(TASKS,))
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(_opened(kept, models or catalogue(), chosen, parts)) as client,
    ):
        yield Client(portal, client)


@asynccontextmanager
async def _opened(
    store: Store, models: Catalogue, settings: Settings, parts: dict[str, Any]
) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(store, models, settings, on_closed=store.close, **parts)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://localhost",
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # it keeps none: tests send them
        ) as client,
    ):
        yield client
