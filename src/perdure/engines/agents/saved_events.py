"""Events in flight as data: a column for each attribute, as there may be thousands."""

from collections.abc import Sequence
from typing import Any

from perdure.engines.agents.decoding import Decoder
from perdure.engines.agents.encoding import Encoder
from perdure.engines.agents.events import DelayedEvent, Event
from perdure.state.codec import State

__all__ = ["events_of", "saved_events"]

_ATTRIBUTES = ("name", "sender_id", "receiver_id", "data")


def saved_events(events: list[Event], encoder: Encoder) -> State:
    """Return events as data; raise `Unsaveable` if one holds what can't be saved."""
    first = encoder.numbered(events) if {Event, DelayedEvent}.issuperset(map(type, events)) else None
    attributes = [vars(event) for event in events]
    if first is None or any(len(each) > len(_ATTRIBUTES) + 1 for each in attributes):
        return {"events": encoder.value(events)}
    columns: dict[str, State] = {}
    for name in _ATTRIBUTES:
        values = [each[name] for each in attributes]
        columns[name] = encoder.values(values)
    delays: list[State] = [
        each["delay"] if type(event) is DelayedEvent else None
        for event, each in zip(events, attributes, strict=True)
    ]
    state: dict[str, State] = {"first": first, "columns": columns, "delays": delays}
    return state


def events_of(state: Any, decoder: Decoder) -> list[Event]:
    """Return the events that `saved_events` has saved."""
    if "events" in state:
        events: list[Event] = decoder.value(state["events"])
        return events
    delays: Sequence[Any] = state["delays"]
    made = [object.__new__(Event if delay is None else DelayedEvent) for delay in delays]
    decoder.numbered(state["first"], made)
    columns = {name: decoder.items(values) for name, values in state["columns"].items()}
    for row, (event, delay) in enumerate(zip(made, delays, strict=True)):
        own = vars(event)
        for name in _ATTRIBUTES:
            own[name] = columns[name][row]
        if delay is not None:
            own["delay"] = delay
    return made
