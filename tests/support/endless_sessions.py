"""Sessions that no test comes to the end of: what clients ask of them, and what they answer undisturbed."""

import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from tests.support.models import endless

from perdure.drivers.session_requests import NewSession, StepRequest
from perdure.drivers.sessions import Sessions
from perdure.observability import Metrics
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore

SCENARIOS = {"endless": ["euler", "rk4"]}
OUTPUTS = ["level", "late", "later", "calm", "noise"]


def new_session(seed: int) -> dict[str, Any]:
    """Return the body of the request for a session."""
    return {"kind": "session", "scenarios": SCENARIOS, "outputs": OUTPUTS, "seed": seed}


def random_step(chance: random.Random) -> dict[str, Any]:
    """Return the body of a request for steps, now and then with new values, or for several at once."""
    body: dict[str, Any] = {}
    if chance.random() < 0.2:
        table = [[0.0, chance.uniform(0, 2)], [50.0, chance.uniform(0, 9)]]
        body["settings"] = {
            "endless": {
                "euler": {"constants": {"rate": chance.uniform(-0.05, 0.02)}},
                "rk4": {"constants": {"lag": chance.uniform(0, 5)}, "points": {"curve": table}},
            }
        }
    if chance.random() < 0.1:
        body["steps"] = chance.randint(2, 7)
    return body


@contextmanager
def undisturbed_sessions() -> Iterator[Sessions]:
    """Yield the driver of sessions in this process, whose store is in memory."""
    with closing(MemoryStore()) as store:
        yield Sessions(store, endless(), Settings(), Metrics())


async def uninterrupted(sessions: Sessions, seed: int, log: list[Any]) -> list[Any]:
    """Return what a session answers that gets the settings of a log and is never interrupted."""
    run = (await sessions.create("me", NewSession(scenarios=SCENARIOS, outputs=OUTPUTS, seed=seed))).run
    answers = []
    for step in log:
        answer = await sessions.step("me", run.id, StepRequest(settings=step["settings"]))
        (taken,) = answer.steps
        rows = zip(answer.spec.scenarios, taken.rows, strict=True)
        answers.append(
            {
                "endless": {
                    part.scenario: {"time": row[0], "values": dict(zip(part.outputs, row[1:], strict=True))}
                    for part, row in rows
                    if row is not None
                }
            }
        )
    return answers
