"""Whole runs have threads of their own: however many there are, sessions go on."""

import asyncio
import json
import threading
from typing import Any

import anyio.to_thread
import pytest
from tests.integration.bptk.test_stream import SESSION, call
from tests.support.small import bath, catalogue_of

from perdure.api.app import create_app
from perdure.dialects.bptk import bulk, handlers
from perdure.dialects.bptk.instance_sessions import BULK_AT_ONCE
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore


def test_long_runs_keep_no_step_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    done, running = threading.Event(), threading.Semaphore(0)

    def forever(*_: Any) -> dict[str, Any]:
        running.release()
        assert done.wait(timeout=240)
        return {}

    monkeypatch.setattr(handlers, "execute", forever)
    monkeypatch.setattr(bulk, "run", forever)

    async def run() -> None:
        app = create_app(MemoryStore(), catalogue_of(bath()), Settings())
        async with app.router.lifespan_context(app):
            shared = int(anyio.to_thread.current_default_thread_limiter().total_tokens)
            long = [
                asyncio.create_task(call(app, *one))
                for one in [("/execute", {}), ("/run", SESSION)]
                * shared  # twice as many as there are threads
            ]
            for _ in range(BULK_AT_ONCE):
                await asyncio.to_thread(running.acquire)
            instance = json.loads((await call(app, "/start-instance"))[1])["instance_uuid"]
            assert (await call(app, f"/{instance}/begin-session", SESSION))[0] == 200
            status, text = await call(app, f"/{instance}/run-steps", {"settings": {}, "numberSteps": 900})
            assert (status, len(json.loads(text))) == (200, 900)
            assert (await call(app, f"/{instance}/run-step"))[0] == 200
            assert anyio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
            assert not running.acquire(blocking=False)  # no more of them have begun
            done.set()
            assert {status for status, _ in await asyncio.gather(*long)} == {200}

    asyncio.run(run())
