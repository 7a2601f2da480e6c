"""The events of a run: a stream that tells where it stands, now and whenever that changed, until it ends."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
from starlette.routing import Route
from starlette.types import ASGIApp

from perdure.api.context import Context, context_of
from perdure.drivers.experiments.experiments import KIND as EXPERIMENT
from perdure.drivers.experiments.requests import ExperimentView
from perdure.drivers.requests import Owner
from perdure.drivers.sessions import KIND as SESSION
from perdure.drivers.tasks import KIND as TASK
from perdure.drivers.tasks import TaskView
from perdure.stores.base import Committed
from perdure.web.events import EventStream, event
from perdure.web.operations import Call, Operation, route

__all__ = ["routes"]

_EVENT = {
    "type": "object",
    "description": "One event; its data is JSON with the run's `state`, and a session's `step`, a task's "
    "`attempt`, `seconds`, `place` and `progress`, or an experiment's `attempt`, `reason` and `progress`.",
    "properties": {
        "event": {"const": "run"},
        "id": {"type": "string", "description": "Steps taken; of a task or an experiment, attempts begun."},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "id", "data"],
}

_encoder = msgspec.json.Encoder()


async def read_events(call: Call[None, None]) -> ASGIApp:
    """Follow a run: an event now and after every change, until it ends or is deleted."""
    context = context_of(call.scope)
    run = await context.run(call.owner, call.run_id)
    of_kind = {TASK: _of_task, EXPERIMENT: _of_experiment, SESSION: _of_session}[run.kind]
    events = of_kind(context, call.owner, run.id)
    first = await anext(events)  # an unknown run is a 404, not an empty stream
    return EventStream(_from(first, events), context.closing)


async def _from(first: bytes, events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        yield first
        async for encoded in events:
            yield encoded


async def _of_session(context: Context, owner: Owner, run_id: str) -> AsyncGenerator[bytes, None]:
    async with aclosing(context.sessions.events(owner, run_id)) as commits:
        async for commit in commits:
            yield _session_event(commit)


async def _of_task(context: Context, owner: Owner, run_id: str) -> AsyncGenerator[bytes, None]:
    attempt = 0
    async with aclosing(context.tasks.events(owner, run_id)) as views:
        async for view in views:
            if view is None:
                yield _event(attempt, {"state": "deleted"})
            else:
                attempt = view.execution.attempt
                yield _task_event(view)


async def _of_experiment(context: Context, owner: Owner, run_id: str) -> AsyncGenerator[bytes, None]:
    attempt = 0
    async with aclosing(context.experiments.events(owner, run_id)) as views:
        async for view in views:
            if view is None:
                yield _event(attempt, {"state": "deleted"})
            else:
                attempt = view.execution.attempt
                yield _experiment_event(view)


def _session_event(commit: Committed) -> bytes:
    state = "deleted" if commit.deleted else commit.state.value
    return _event(commit.position, {"state": state, "step": commit.position})


def _task_event(view: TaskView) -> bytes:
    execution = view.execution
    return _event(
        execution.attempt,
        {
            "state": view.run.state.value,
            "attempt": execution.attempt,
            "seconds": execution.seconds,
            "place": view.place,
            "progress": view.progress,
        },
    )


def _experiment_event(view: ExperimentView) -> bytes:
    return _event(
        view.execution.attempt,
        {
            "state": view.run.state.value,
            "reason": view.run.reason,
            "attempt": view.execution.attempt,
            "progress": view.progress,
        },
    )


def _event(number: int, data: dict[str, Any]) -> bytes:
    return event("run", number, _encoder.encode(data))


_OPERATION = Operation(
    path="/runs/{run_id}/events",
    method="GET",
    handler=read_events,
    summary="Follow a run",
    media={"text/event-stream": _EVENT},
    errors=(401, 403, 404, 409, 422, 500, 503),
)


def routes() -> list[Route]:
    """Return the route of events."""
    return [route(_OPERATION)]
