"""A stream ends with its client, and leaves what it has taken and no lock."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.small import bath, catalogue_of

from perdure.api.app import App, create_app
from perdure.drivers.session_requests import StepRequest
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore

SESSION = {"scenario_managers": ["bath"], "scenarios": ["base"], "equations": ["water"]}
STEPS = 100_000


async def call(
    app: App,
    path: str,
    body: Any = None,
    *,
    reads: int | None = None,
    between: Callable[[], Awaitable[Any]] | None = None,
) -> tuple[int, str]:
    """Send a POST and return status and body.

    `reads` is after how many messages the client goes away; `between` is done after the fifth.
    """
    data = b"" if body is None else json.dumps(body).encode()
    sent: list[Any] = []
    gone = asyncio.Event()
    requests = [{"type": "http.request", "body": data, "more_body": False}]

    async def receive() -> Any:
        if requests:
            return requests.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        if reads is not None and len(sent) >= reads:
            gone.set()
        if between is not None and len(sent) == 5:
            await between()

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [
            (b"host", b"localhost"),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(data)),
        ],
    }
    await app(scope, receive, send)
    text = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], text.decode()


def test_a_client_that_goes_away_ends_the_stream() -> None:
    async def run() -> None:
        store = MemoryStore()
        app = create_app(store, catalogue_of(bath(stoptime=float(STEPS))), Settings())
        async with app.router.lifespan_context(app):
            instance = json.loads((await call(app, "/start-instance"))[1])["instance_uuid"]
            assert (await call(app, f"/{instance}/begin-session", SESSION))[0] == 200
            status, text = await call(app, f"/{instance}/stream-steps", reads=40)
            assert status == 200
            taken = json.loads(text)
            (stream,) = store.runs()
            assert 39 <= len(taken) == stream.position < STEPS
            status, text = await call(app, f"/{instance}/run-step")
            assert (status, json.loads(text)["bath"]["base"]["water"].keys()) == (200, {f"{len(taken)}.0"})

    asyncio.run(run())


def test_a_step_that_another_takes_in_between_is_told_as_the_last_element() -> None:
    async def run() -> None:
        store = MemoryStore()
        app = create_app(store, catalogue_of(bath(stoptime=float(STEPS))), Settings())
        async with app.router.lifespan_context(app):
            instance = json.loads((await call(app, "/start-instance"))[1])["instance_uuid"]
            await call(app, f"/{instance}/begin-session", SESSION)
            (stream,) = store.runs()
            sessions = app.state.services.sessions

            async def between() -> None:
                await sessions.step(None, stream.id, StepRequest())

            status, text = await call(app, f"/{instance}/stream-steps", between=between)
            *taken, last = json.loads(text)
            assert status == 200
            assert [list(one["bath"]["base"]["water"]) for one in taken] == [
                [f"{at}.0"] for at in range(len(taken))
            ]
            at = len(taken) + 1
            expected = f"Step {at} was expected next, but the run '{stream.id}' has {at} steps; "
            assert last == {"error": f"{expected}read it, then decide."}
            assert (await call(app, f"/{instance}/run-step"))[0] == 200  # it is free again

    asyncio.run(run())
