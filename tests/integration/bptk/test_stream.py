"""A stream ends with its client, and leaves what it has taken and no lock."""

import asyncio
import json
from typing import Any

from tests.support.small import bath, catalogue_of

from perdure.api.app import App, create_app
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore

SESSION = {"scenario_managers": ["bath"], "scenarios": ["base"], "equations": ["water"]}
STEPS = 100_000


async def call(app: App, path: str, body: Any = None, *, reads: int | None = None) -> tuple[int, str]:
    """Send a POST and return status and body; `reads` is after how many messages the client goes away."""
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

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))],
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
