"""The events of a run: a stream that reports where it stands, now and whenever that changed, until it ends.

A browser's EventSource connects again when a stream ends, with the id of the last event. The id of the event
that ends a run says so, and for that one the answer is a 204, after which it gives up.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp

from perdure.drivers.experiments.experiment_requests import ExperimentView
from perdure.drivers.experiments.experiments import KIND as EXPERIMENT
from perdure.drivers.experiments.experiments import Experiments
from perdure.drivers.session_spec import KIND as SESSION
from perdure.drivers.sessions import Sessions
from perdure.drivers.tasks import KIND as TASK
from perdure.drivers.tasks import Tasks, TaskView
from perdure.lifecycle import FINAL, RunStatus
from perdure.stores.commands import Committed
from perdure.web.dialect import Call
from perdure.web.events import EventStream, event
from perdure.web.operations import Operation
from perdure.web.services import AppServices

__all__ = ["FOLLOW"]

_EVENT = {
    "type": "object",
    "description": "One event; its data is JSON with the run's `state`, and a session's `step`, a task's "
    "`attempt`, `seconds`, `place` and `progress`, or an experiment's `attempt`, `reason` and `progress`.",
    "properties": {
        "event": {"const": "run"},
        "id": {
            "type": "string",
            "description": "Steps taken; of a task or an experiment, attempts begun. The last event of a run "
            "that has ended has the state in it, too: `12-stopped`.",
        },
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "id", "data"],
}

_DELETED = "deleted"

_encoder = msgspec.json.Encoder()


async def read_events(services: AppServices, call: Call, _: None) -> ASGIApp:
    """Follow a run: an event now and after every change, until it ends or is deleted."""
    run = await services.run(call.owner, call.params["run_id"])
    of_kind: Mapping[str, tuple[Sessions | Tasks | Experiments, Callable[[Any], _Event]]] = {
        SESSION: (services.sessions, _session_event),
        TASK: (services.tasks, _task_event),
        EXPERIMENT: (services.experiments, _experiment_event),
    }
    driver, event_of = of_kind[run.kind]
    events = _events(driver.events(call.owner, run.id), event_of)
    first = await anext(events)  # an unknown run is a 404, not an empty stream
    if first.ends and call.headers.get(b"last-event-id") == first.id.encode():
        await events.aclose()
        return Response(status_code=204)
    return EventStream(_encoded(events), services.closing, first=first.text(), expires=call.caller.expires)


@dataclass(frozen=True)
class _Event:
    """One event of a run.

    Attributes
    ----------
    number
        Steps taken, or attempts begun.
    data
        What is said of the run, among it its state.
    ends
        Whether it is the last one.
    """

    number: int
    data: dict[str, Any]
    ends: bool

    @property
    def id(self) -> str:
        """What identifies it among those of the run, as far as that matters: a stop takes no step."""
        return f"{self.number}-{self.data['state']}" if self.ends else str(self.number)

    def text(self) -> bytes:
        """Return it as it is sent."""
        return event("run", self.id, _encoder.encode(self.data))

    @classmethod
    def of(cls, number: int, state: RunStatus, **data: Any) -> "_Event":
        return cls(number, {"state": state.value, **data}, state in FINAL)


async def _encoded(events: AsyncGenerator[_Event, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        async for following in events:
            yield following.text()


async def _events(
    views: AsyncGenerator[Any, None], event_of: Callable[[Any], _Event]
) -> AsyncGenerator[_Event, None]:
    """Yield the events of what a driver yields of a run; None is a task or an experiment that was deleted."""
    number = 0
    async with aclosing(views):
        async for view in views:
            following = _Event(number, {"state": _DELETED}, ends=True) if view is None else event_of(view)
            number = following.number
            yield following


def _session_event(commit: Committed) -> _Event:
    if commit.deleted:
        return _Event(commit.position, {"state": _DELETED, "step": commit.position}, ends=True)
    return _Event.of(commit.position, commit.state, step=commit.position)


def _task_event(view: TaskView) -> _Event:
    execution = view.execution
    return _Event.of(
        execution.attempt,
        view.run.state,
        attempt=execution.attempt,
        seconds=execution.seconds,
        place=view.place,
        progress=view.progress,
    )


def _experiment_event(view: ExperimentView) -> _Event:
    attempt = view.execution.attempt
    return _Event.of(attempt, view.run.state, reason=view.run.reason, attempt=attempt, progress=view.progress)


FOLLOW = Operation(
    path="/runs/{run_id}/events",
    method="GET",
    handler=read_events,
    summary="Follow a run",
    media={"text/event-stream": _EVENT},
    headers={"Last-Event-ID": "The id of the last event that was received."},
    empty="The run has ended, and its last event was received.",
    errors=(401, 403, 404, 409, 422, 500, 503),
)
