"""The conformance suite of dialects: what every API of a server promises, as tests that every dialect runs.

Subclass `DialectConformance` in a test module of pytest and say which dialect:

    class TestMyDialect(DialectConformance):
        dialect = MY_DIALECT

Each test serves the dialect beside the native API, on a store in memory, and asks every route of it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import httpx
from pydantic import SecretStr

from perdure.api.app import create_app
from perdure.execution.unplaced import Unplaced
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore
from perdure.web.dialect import Dialect, Route

__all__ = ["DialectConformance"]

OWNERS = {"ann": (SecretStr("of ann"),)}
PAGE = "https://pages.example"
MOST = 1_000  # bytes of a body


class DialectConformance:
    """Checks that a dialect's routes are served, and that whatever is wrong is answered in its shape.

    Attributes
    ----------
    dialect
        The dialect.
    catalogue
        The models and scenarios that are served; by default none.
    values
        What the parameters of its paths are, by name; by default each is ``x``.
    """

    dialect: Dialect[Any]
    catalogue: Catalogue = Catalogue()
    values: ClassVar[Mapping[str, str]] = {}

    def test_it_opens_and_closes_twice(self) -> None:
        async def ask(client: httpx.AsyncClient) -> None:
            assert (await client.get("/healthy")).status_code == 200

        self._served(ask)
        self._served(ask)

    def test_every_route_is_in_the_document(self) -> None:
        async def ask(client: httpx.AsyncClient) -> None:
            document = (await client.get("/openapi.json")).json()
            for route in self.dialect.routes:
                described = document["paths"][route.path][route.method.lower()]
                assert self.dialect.name in described["tags"], route
                assert described["operationId"], route
                assert described["responses"], route
            assert self.dialect.name in [tag["name"] for tag in document["tags"]]

        self._served(ask)

    def test_without_a_right_token_there_is_only_what_is_public(self) -> None:
        async def ask(client: httpx.AsyncClient) -> None:
            for route in self.dialect.routes:
                for headers in ({}, {"Authorization": "Bearer wrong"}):
                    answer = await client.request(route.method, self._path(route), headers=headers)
                    if route.public:
                        assert answer.status_code != 401, route
                    else:
                        self._check_error(answer, 401, route)
                        assert answer.headers["www-authenticate"] == "Bearer", route

        self._served(ask, tokens=OWNERS)

    def test_a_foreign_page_and_a_foreign_host_are_refused(self) -> None:
        async def ask(client: httpx.AsyncClient) -> None:
            for route in self.dialect.routes:
                for headers in ({"Origin": PAGE}, {"Host": "evil.example"}):
                    answer = await client.request(route.method, self._path(route), headers=headers)
                    self._check_error(answer, 403, route)
                    assert "access-control-allow-origin" not in answer.headers, route

        self._served(ask)

    def test_an_allowed_page_may_ask_and_read_the_answer(self) -> None:
        async def ask(client: httpx.AsyncClient) -> None:
            for route in self.dialect.routes:
                asked = {"Origin": PAGE, "Access-Control-Request-Method": route.method}
                answer = await client.options(self._path(route), headers=asked)
                assert answer.status_code == 204, route
                assert route.method in answer.headers["access-control-allow-methods"], route
                assert answer.headers["access-control-allow-origin"] == PAGE, route

        self._served(ask, cors_origins=(PAGE,))

    def test_another_method_is_refused_and_says_which_there_are(self) -> None:
        async def ask(client: httpx.AsyncClient) -> None:
            for path in {route.path for route in self.dialect.routes}:
                methods = {route.method for route in self.dialect.routes if route.path == path}
                route = next(route for route in self.dialect.routes if route.path == path)
                other = next(it for it in ("PATCH", "DELETE", "PUT", "POST") if it not in methods)
                answer = await client.request(other, self._path(route))
                self._check_error(answer, 405, route)
                assert set(answer.headers["allow"].split(", ")) == {*methods, "OPTIONS"}, route

        self._served(ask)

    def test_a_body_that_is_too_large_is_refused(self) -> None:
        async def ask(client: httpx.AsyncClient) -> None:
            for route in self.dialect.routes:
                body = b'"%b"' % (b"x" * MOST)
                headers = {"Content-Type": "application/json"}
                answer = await client.request(route.method, self._path(route), content=body, headers=headers)
                self._check_error(answer, 413, route)

        self._served(ask, max_body_bytes=MOST)

    def test_no_body_makes_it_fail(self) -> None:
        """Whatever is sent, the answer is no 500, and an error is in the dialect's shape."""
        bodies = (b"", b"{", b"\xff", b"[" * 5_000, b"[1]", b"{}", b'{"a": 1, "a": 2}', b'{"a": 1e999}')

        async def ask(client: httpx.AsyncClient) -> None:
            for route in self.dialect.routes:
                for body in bodies:
                    headers = {"Content-Type": "application/json"} if body else {}
                    answer = await client.request(
                        route.method, self._path(route), content=body, headers=headers
                    )
                    assert answer.status_code != 500, (route, body, answer.text)
                    if answer.status_code >= 400:
                        self._check_error(answer, answer.status_code, route)

        self._served(ask)

    def test_a_path_that_is_no_text_is_refused(self) -> None:
        async def ask(client: httpx.AsyncClient) -> None:
            for route in self.dialect.routes:
                answer = await client.request(route.method, f"{self._path(route)}?x=%ff")
                self._check_error(answer, 400, route)

        self._served(ask)

    # Helpers ------------------------------------------------------------------------------------------------

    def _path(self, route: Route[Any]) -> str:
        """Return a path at which a route is."""
        path = route.path
        for name in route.names:
            path = path.replace(f"{{{name}}}", self.values.get(name, "x"))
        return path

    def _check_error(self, answer: httpx.Response, status: int, route: Route[Any]) -> None:
        """Check that an answer is an error of the dialect: of its shape, and not of another API's."""
        assert answer.status_code == status, (route, answer.status_code, answer.text)
        assert answer.headers["content-type"] == "application/json", route
        assert answer.headers["x-request-id"], route
        body = answer.json()
        native = isinstance(body, dict) and isinstance(body.get("error"), dict)
        assert not native, f"{route.method} {route.path} answers an error in the shape of the native API"

    def _served(self, ask: Callable[[httpx.AsyncClient], Awaitable[None]], **given: Any) -> None:
        """Ask a server that has the dialect."""

        async def main() -> None:
            async with _client(self.dialect, self.catalogue, Settings(store="memory://", **given)) as client:
                await ask(client)

        asyncio.run(main())


@asynccontextmanager
async def _client(
    dialect: Dialect[Any], catalogue: Catalogue, settings: Settings
) -> AsyncIterator[httpx.AsyncClient]:
    store = MemoryStore()
    app = create_app(
        store,
        catalogue,
        settings,
        executor=Unplaced(store),
        dialects=[dialect],
        on_closed=store.close,
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        yield client
