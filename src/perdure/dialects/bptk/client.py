"""The client: calls an ASGI app without a network, from blocking code, as Flask's test client does."""

import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
from starlette.applications import Starlette

from perdure.drivers.portal import Portal

__all__ = ["BptkClient", "BptkResponse", "InProcess"]

NOTHING_SENT: Any = object()

Send = Callable[..., httpx.Response]
"""Sends a request, given a method, a path and httpx's keywords, and returns the response."""


class InProcess:
    """An app that runs for clients in this process, from the first request until the last client closes.

    Parameters
    ----------
    app
        The app, which is started and stopped by its lifespan.
    """

    def __init__(self, app: Starlette) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._clients = 0
        self._portal: Portal | None = None
        self._http: httpx.AsyncClient | None = None

    def acquire(self) -> Send:
        """Add a client, and return the function that sends requests."""
        with self._lock:
            if self._portal is None or self._http is None:
                portal = Portal()
                try:
                    self._http = portal.enter(_calling(self._app))
                except BaseException:
                    portal.close()
                    raise
                self._portal = portal
            self._clients += 1
            return partial(_request, self._portal, self._http)

    def release(self) -> None:
        """Remove a client; after the last one the app is stopped."""
        with self._lock:
            self._clients -= 1
            if self._clients == 0 and self._portal is not None:
                self._portal.close()
                self._portal = self._http = None


class BptkResponse:
    """A response.

    Attributes
    ----------
    status_code
        The status.
    headers
        The headers; names are case-insensitive.
    data
        The body.
    """

    def __init__(self, response: httpx.Response) -> None:
        self.status_code = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.data = response.content

    @property
    def text(self) -> str:
        """The body as text."""
        return self.data.decode("utf-8", "replace")

    def get_json(self) -> Any:
        """Return the body decoded; None if it isn't declared as JSON."""
        if not self.headers.get("content-type", "").startswith("application/json"):
            return None
        return httpx.Response(self.status_code, content=self.data).json()

    def __repr__(self) -> str:
        return f"<BptkResponse {self.status_code}, {len(self.data)} bytes>"


class BptkClient:
    """Sends requests to a server in this process; close it, or use it in a ``with`` statement.

    Examples
    --------
    >>> from perdure.bptk import BptkServer
    >>> with BptkServer(__name__).test_client() as client:
    ...     client.post("/start-instance").status_code
    200
    """

    def __init__(self, serving: InProcess) -> None:
        self._serving = serving
        self._send: Send | None = None

    def __enter__(self) -> "BptkClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, path: str, **request: Any) -> BptkResponse:
        """Send a GET; see `post`."""
        return self._request("GET", path, **request)

    def post(self, path: str, **request: Any) -> BptkResponse:
        """Send a POST.

        Parameters
        ----------
        path
            The path, beginning with a slash.
        json
            A value to send as JSON.
        data
            Text or bytes to send unchanged.
        headers
            Headers by name.
        content_type
            The content type of `data`.
        """
        return self._request("POST", path, **request)

    def put(self, path: str, **request: Any) -> BptkResponse:
        """Send a PUT; see `post`."""
        return self._request("PUT", path, **request)

    def delete(self, path: str, **request: Any) -> BptkResponse:
        """Send a DELETE; see `post`."""
        return self._request("DELETE", path, **request)

    def options(self, path: str, **request: Any) -> BptkResponse:
        """Send an OPTIONS; see `post`."""
        return self._request("OPTIONS", path, **request)

    def close(self) -> None:
        """Close the client; the last client of a server ends its threads. Does nothing if it is closed."""
        if self._send is not None:
            self._send = None
            self._serving.release()

    def _request(
        self,
        method: str,
        path: str,
        *,
        json: Any = NOTHING_SENT,
        data: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
    ) -> BptkResponse:
        if self._send is None:
            self._send = self._serving.acquire()
        sent = dict(headers or {})
        if content_type is not None:
            sent["Content-Type"] = content_type
        body: dict[str, Any] = {"content": data} if json is NOTHING_SENT else {"json": json}
        return BptkResponse(self._send(method, path, headers=sent, **body))


def _request(
    portal: Portal, http: httpx.AsyncClient, method: str, path: str, **request: Any
) -> httpx.Response:
    return portal.call(partial(http.request, method, path, **request))


@asynccontextmanager
async def _calling(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """Start an app, yield an HTTP client that calls it, and stop the app."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        yield client
