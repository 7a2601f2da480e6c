"""The dialect without HTTP, on a clock that a test sets."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.support.small import bath, catalogue_of

from perdure.clock import SteadyClock
from perdure.dialects.bptk.external_state import ExternalStateAdapter, Mirror
from perdure.dialects.bptk.instance_sessions import InstanceSessions
from perdure.dialects.bptk.timeouts import DEFAULT, checked_timeout
from perdure.drivers.session_requests import NewSession, StepRequest
from perdure.drivers.sessions import Sessions
from perdure.observability import Metrics
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.base import Store

NEW = NewSession(scenarios={"bath": ["base"]}, outputs=["water"], seed=1)
LASTING = checked_timeout(dict(DEFAULT))
HOURS = 3600.0


class Clock:
    """Unix time, as a test sets it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def clock_behind() -> Clock:
    """Return a clock behind the real one: what adapters hold is never taken to be of the future."""
    made = Clock()
    made.now = time.time() - HOURS
    return made


@asynccontextmanager
async def dialect_on(
    store: Store,
    clock: SteadyClock | Callable[[], float],
    *,
    catalogue: Catalogue | None = None,
    adapter: ExternalStateAdapter | None = None,
    externalize: bool = False,
    closing: asyncio.Event | None = None,
    **settings: Any,
) -> AsyncIterator[InstanceSessions]:
    """Yield a dialect on a store, which stays open."""
    limits, metrics = Settings(**settings), Metrics()
    sessions = Sessions(store, catalogue or catalogue_of(bath()), limits, metrics)
    mirror = None if adapter is None else Mirror(adapter, sessions, shared=externalize)
    made = InstanceSessions(
        sessions,
        limits,
        metrics,
        mirror=mirror,
        durable=adapter is None,
        closing=closing,
        clock=clock if isinstance(clock, SteadyClock) else SteadyClock(clock, clock),
    )
    try:
        await made.open()
        yield made
    finally:
        await made.aclose()
        await sessions.aclose()


async def begun(dialect: InstanceSessions, owner: str = "ada", **timeout: float) -> str:
    """Return a new instance with a session."""
    lasting = checked_timeout(timeout) if timeout else LASTING
    (instance,) = await dialect.start(owner, 1, lasting)
    await dialect.begin_session(owner, instance, lambda: NEW)
    return instance


async def stepped(
    dialect: InstanceSessions, instance: str, owner: str = "ada", steps: int = 1
) -> list[float]:
    """Return the times that steps answer."""
    answer = await dialect.step(owner, instance, {}, StepRequest(steps=steps), None)
    assert answer is not None
    return [row[0] for step in answer.steps for row in step.rows if row is not None]
