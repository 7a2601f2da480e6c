"""A dialect for games that are played in rounds: a game is a session of one scenario, a round is a step."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from perdure.errors import NotFound, RunFinished
from perdure.extend import Call, Dialect, HttpError, NewSession, Route, Services, SessionDriver, StepRequest

__all__ = ["ROUNDS"]


async def new_game(sessions: SessionDriver, call: Call) -> bytes:
    """Begin a game; it is begun once only for an idempotency key."""
    given = call.body or {}
    manager, scenario = given.get("manager"), given.get("scenario")
    if not isinstance(manager, str) or not isinstance(scenario, str):
        raise HttpError(400, "no_scenario", "A game needs the names of a manager and a scenario.")
    request = NewSession(scenarios={manager: [scenario]}, outputs=given.get("watch", []), seed=1)
    created = await sessions.create(call.maker, request, call.key("POST /games", given))
    return _json({"game": created.run.id})


async def next_round(sessions: SessionDriver, call: Call) -> bytes:
    """Play the next round; the number of the round comes with what the game stands at."""
    key = call.key("POST rounds", {})
    answer = await sessions.step(call.owner, call.params["game"], StepRequest(), key)
    (step,), (part,) = answer.steps, answer.spec.scenarios
    (row,) = step.rows
    assert row is not None
    return _json({"round": step.position, "values": dict(zip(part.outputs, row[1:], strict=True))})


async def rules(sessions: SessionDriver, call: Call) -> bytes:
    """Say how a game goes; anybody may ask."""
    return _json({"rules": ["Begin a game.", "Play a round after the other."]})


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()


@asynccontextmanager
async def opened(services: Services) -> AsyncIterator[SessionDriver]:
    """Open the dialect on a server: it needs sessions only."""
    yield services.sessions


ROUNDS = Dialect(
    name="Rounds",
    description="Games that are played in rounds.",
    routes=[
        Route("POST", "/games", new_game),
        Route("GET", "/games/rules", rules, public=True),
        Route("POST", "/games/{game}/rounds", next_round),
    ],
    opened=opened,
    error=lambda failure: {"sorry": failure.message},
    statuses={NotFound: 410, RunFinished: 410},
)
"""The dialect, as the entry point names it."""
