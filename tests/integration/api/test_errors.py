"""Errors over HTTP: one shape for all, the right status, nothing of the inside."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from tests.support.served import JSON, Served, catalogue

from perdure.api.app import App, create_app
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore

NEW = {"kind": "session", "scenarios": {"bath": ["base"]}}


def error(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["Content-Type"] == "application/json"
    body = response.json()
    assert body.keys() == {"error"}
    assert body["error"].keys() == {"code", "message", "details"}
    assert len(response.content) < 10_000
    return response.status_code, body["error"]["code"]


@pytest.mark.parametrize("path", ["/nothing", "/runs/", "/runs/x/nothing", "/redoc", "/runs/a/b/c/d"])
def test_an_unknown_path_is_a_404(client: httpx.Client, path: str) -> None:
    assert error(client.get(path)) == (404, "route_not_found")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/runs", "GET, POST"),
        ("/runs/x", "DELETE, GET, PATCH"),
        ("/runs/x/steps", "GET, POST"),
        ("/runs/x/savepoints/1", "PATCH"),
        ("/healthy", "GET"),
    ],
)
def test_a_wrong_method_is_a_405_that_names_all_right_ones(
    client: httpx.Client, path: str, allowed: str
) -> None:
    refused = client.request("TRACE", path)
    assert error(refused) == (405, "method_not_allowed")
    assert refused.headers["Allow"] == allowed


@pytest.mark.parametrize("path", ["/runs", "/runs/{run}/steps", "/runs/{run}/fork"])
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed_request"),
        (b'{"a": 1,}', 400, "malformed_request"),
        (b'{"seed": "\xff"}', 400, "malformed_request"),
        (b"[" * 100_000, 400, "malformed_request"),
        (b'{"settings":' * 10_000, 400, "malformed_request"),
        (b"[]", 422, "invalid_request"),
        (b'"text"', 422, "invalid_request"),
        (b'{"no such field": 1}', 422, "invalid_request"),
    ],
)
def test_what_is_not_json_is_a_400_and_other_json_a_422(
    client: httpx.Client, run: str, path: str, body: bytes, status: int, code: str
) -> None:
    assert error(client.post(path.format(run=run), content=body, headers=JSON)) == (status, code)


@pytest.mark.parametrize(
    "media_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_a_body_that_is_not_declared_as_json_is_a_415(
    client: httpx.Client, run: str, media_type: str | None
) -> None:
    headers = {} if media_type is None else {"Content-Type": media_type}
    refused = client.post(f"/runs/{run}/steps", content=b"{}", headers=headers)
    assert error(refused) == (415, "unsupported_media_type")


def test_a_json_body_may_name_its_charset(client: httpx.Client, run: str) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert client.post(f"/runs/{run}/steps", content=b"{}", headers=headers).status_code == 200


def test_an_invalid_field_is_named_and_its_value_not_repeated(client: httpx.Client, run: str) -> None:
    body = {**NEW, "seed": "secret", "dt": "x" * 100_000}
    refused = client.post("/runs", json=body)
    assert error(refused) == (422, "invalid_request")
    places = [one["where"] for one in refused.json()["error"]["details"]["errors"]]
    assert places == ["body.dt", "body.seed"]
    assert "secret" not in refused.text
    step = client.post(f"/runs/{run}/steps", json={"steps": "secret"})
    assert error(step) == (422, "invalid_request")
    assert step.json()["error"]["details"]["errors"][0]["where"] == "body.steps"
    assert "secret" not in step.text


def test_a_request_that_is_not_http_gets_a_400(server: Served) -> None:
    import socket

    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(b"\x00\x01 nonsense\r\n\r\n")
        assert raw.makefile("rb").readline().startswith(b"HTTP/1.1 400")


# In this process, where the store can be made to fail -------------------------------------------------------


def in_process(store: MemoryStore, work: Callable[[App, httpx.AsyncClient], Awaitable[None]]) -> None:
    async def main() -> None:
        app = create_app(store, catalogue(), Settings(), on_closed=store.close)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
        ):
            await work(app, client)

    asyncio.run(main())


class Failing(MemoryStore):
    """A store that can't be written, and whose reads fail in an unforeseen way."""

    reason: str | None = None

    @property
    def unavailable(self) -> str | None:
        return self.reason

    def savepoints(self, run_id: str) -> Any:
        raise RuntimeError("a secret of the inside")


def test_a_store_that_cannot_be_written_is_not_ready_and_says_why() -> None:
    store = Failing()

    async def work(app: App, client: httpx.AsyncClient) -> None:
        assert (await client.get("/ready")).json() == {"status": "ready"}
        assert b"perdure_ready 1.0" in (await client.get("/metrics")).content
        store.reason = "no space left on device"
        refused = await client.get("/ready")
        assert error(refused) == (503, "store_unavailable")
        assert "no space left on device" in refused.json()["error"]["message"]
        assert b"perdure_ready 0.0" in (await client.get("/metrics")).content
        assert (await client.get("/healthy")).status_code == 200

    in_process(store, work)


def test_the_unexpected_is_a_500_that_tells_nothing_and_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    async def work(app: App, client: httpx.AsyncClient) -> None:
        run = (await client.post("/runs", json=NEW)).json()["id"]
        failed = await client.get(f"/runs/{run}/savepoints")
        assert error(failed) == (500, "internal_error")
        assert "secret" not in failed.text
        request = failed.headers["X-Request-ID"]
        assert failed.json()["error"]["details"] == {"request": request}
        printed = capsys.readouterr()
        logged = printed.out + printed.err
        assert "a secret of the inside" in logged
        assert request in logged

    in_process(Failing(), work)


def test_closing_the_app_closes_what_it_was_told_to() -> None:
    closed = []

    async def main() -> None:
        app = create_app(MemoryStore(), catalogue(), Settings(), on_closed=lambda: closed.append(True))
        async with app.router.lifespan_context(app):
            assert not closed

    asyncio.run(main())
    assert closed == [True]


def test_the_document_is_made_once_and_has_all_routes(tmp_path: Path) -> None:
    app = create_app(MemoryStore(), catalogue(), Settings())
    assert app.openapi() is app.openapi()
    paths = cast(dict[str, dict[str, Any]], app.openapi()["paths"])
    assert {"get", "post"} <= paths["/runs/{run_id}/steps"].keys()
