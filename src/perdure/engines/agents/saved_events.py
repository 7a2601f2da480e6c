"""Events in flight as data: a column for each attribute, as there may be thousands."""

from collections.abc import Sequence
from typing import Any

from perdure.engines.agents.columns import column_of, values_of
from perdure.engines.agents.events import DelayedEvent, Event
from perdure.engines.objects.rebuilding import Rebuilder
from perdure.engines.objects.recording import Recorder
from perdure.state.codec import State

__all__ = ["are_plain", "blank_events", "put_back_events", "saved_events"]

_ATTRIBUTES = ("name", "sender_id", "receiver_id", "data")
_PLAIN = {Event: {*_ATTRIBUTES}, DelayedEvent: {*_ATTRIBUTES, "delay"}}


def are_plain(events: Sequence[Event]) -> bool:
    """Return whether events can be saved as columns: of these classes as they are, and each there once."""
    once = len(set(map(id, events))) == len(events) > 0
    return once and all(vars(event).keys() == _PLAIN.get(type(event)) for event in events)


def saved_events(events: Sequence[Event], recorder: Recorder) -> State:
    """Return events that `are_plain`."""
    attributes = [vars(event) for event in events]
    delays = [each.get("delay") for each in attributes]
    columns: dict[str, State] = {
        name: column_of([each[name] for each in attributes], _place, recorder) for name in _ATTRIBUTES
    }
    return {"count": len(events), "delays": column_of(delays, _place, recorder), "columns": columns}


def blank_events(state: Any, graph: Rebuilder) -> list[Event]:
    """Return events without their attributes."""
    delays = values_of(state["delays"], state["count"], graph)
    return [object.__new__(Event if delay is None else DelayedEvent) for delay in delays]


def put_back_events(state: Any, events: Sequence[Event], graph: Rebuilder) -> None:
    """Give events the attributes that they had."""
    size = len(events)
    columns = {name: values_of(column, size, graph) for name, column in state["columns"].items()}
    for row, (event, delay) in enumerate(zip(events, values_of(state["delays"], size, graph), strict=True)):
        own = vars(event)
        own.update({name: values[row] for name, values in columns.items()})
        if delay is not None:
            own["delay"] = delay


def _place(value: Any, path: str) -> str:
    return "an event that hasn't arrived"
