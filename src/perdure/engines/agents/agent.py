"""The agent: a thing with a state and properties that acts in each step and handles events."""

import copy
import random
from collections.abc import Callable, Mapping
from typing import Any

from perdure.engines.agents.events import Event
from perdure.engines.agents.properties import TYPES, Property, converted, missing_attribute
from perdure.engines.system_dynamics.model import Model as AnyModel

__all__ = ["Agent", "Handler"]

Handler = Callable[[Any], Any]
"""A function that handles an event."""


class Agent:
    """An agent of a model. Subclasses override `initialize` and `act`.

    Parameters
    ----------
    agent_id
        Its number, which the model assigns.
    model
        The model that it belongs to.
    properties
        Name → ``{"type": …, "value": …}``; copied.
    agent_type
        The name of its type, by which it is counted; normally that of its factory.

    Attributes
    ----------
    state
        The name of its state, ``"active"`` at first. Only the handlers of the present state are called.
    events
        Events that have arrived and aren't handled yet.
    eventHandlers
        State → name of an event → handler.

    A property is read and written like an attribute. In a session, all attributes are saved: they must be
    plain data, agents, events, objects of the model's own classes, or functions of a module.

    Raises
    ------
    ValueError
        If an argument has a wrong type.

    Examples
    --------
    >>> from perdure.bptk import Agent, Model
    >>> agent = Agent(0, Model(), {"size": {"type": "Double", "value": 2.5}}, "job")
    >>> agent.size += 1
    >>> agent.size, agent.state
    (3.5, 'active')
    """

    model: Any
    id: int
    events: list[Event]
    state: str
    agent_type: str
    properties: dict[str, Property]
    eventHandlers: dict[str, dict[str, Handler]]  # noqa: N815 - the name that programs use

    def __init__(
        self,
        agent_id: int,
        model: Any,
        properties: Mapping[str, Property] | None,
        agent_type: str = "agent",
    ) -> None:
        if not isinstance(model, AnyModel):
            raise ValueError("model parameter is not subclass of BPTK_Py.Model")
        if type(agent_id) not in (int, float):
            raise ValueError("agent_id is not of type float or int")
        if properties and not isinstance(properties, dict):
            raise ValueError("properties is not of type dict")
        if not isinstance(agent_type, str):
            raise ValueError("agent_type is not of type String")
        own = self.__dict__
        own["properties"] = {}
        own["model"] = model
        own["events"] = []
        own["id"] = agent_id
        own["state"] = "active"
        own["agent_type"] = agent_type
        own["eventHandlers"] = {}
        own["properties"] = copy.deepcopy(properties) if properties else {}

    # Hooks of subclasses ------------------------------------------------------------------------------------

    def initialize(self) -> None:
        """Set up the agent: its state, attributes and handlers; called once it is made."""

    def act(self, time: float, round_no: int, step_no: int) -> None:
        """Act in a step, after the agent has handled its events."""

    def begin_episode(self, episode_no: int) -> None:
        """Prepare for an episode of a training."""

    def end_episode(self, episode_no: int) -> None:
        """Learn from an episode of a training."""

    def reset_cache(self) -> None:
        """Discard what the agent has computed; `Model.reset_cache` calls it."""

    # Events -------------------------------------------------------------------------------------------------

    def register_event_handler(self, states: list[str], event: str, handler: Handler) -> None:
        """Let a function handle an event while the agent is in one of some states.

        A handler should be a method, such as ``self.on_done``. A lambda can be saved too, if `initialize` or
        the constructor registers it.
        """
        if not isinstance(states, list):
            raise ValueError("states is not of type list")
        if not isinstance(event, str):
            raise ValueError("event is not of type string")
        for state in states:
            self.eventHandlers.setdefault(state, {})[event] = handler

    def receive_event(self, event: Event) -> None:
        """Take an event, which is handled when it is the agent's turn."""
        if not isinstance(event, Event):
            raise ValueError(
                f"The agent {self.id} has received {event!r:.80}, which isn't an event: only events can be "
                "received and handled"
            )
        self.events.append(event)

    def receive_instantaneous_event(self, event: Event) -> Any:
        """Handle an event at once, and return what its handler returns.

        Raises
        ------
        KeyError
            If the agent's state has no handler for it.
        """
        return self.eventHandlers[self.state][event.name](event)

    def handle_events(self, time: float, sim_round: int, step: int) -> None:
        """Handle the events that have arrived, first come first served, with the handlers of the state.

        If a handler changes the state, the handlers of the former state still serve this step. An event
        without a handler is dropped, but in a state without any handler all events wait.
        """
        if not self.events:
            return
        handlers = self.eventHandlers.get(self.state)
        if not handlers:
            return
        while self.events:
            event = self.events.pop()
            handler = handlers.get(event.name)
            if handler is not None:
                handler(event)

    # Properties ---------------------------------------------------------------------------------------------

    def set_property(self, name: str, property_spec: Property) -> None:
        """Set a property with its type; its value isn't converted.

        Raises
        ------
        ValueError
            If there is no such type.
        KeyError
            If it lacks a type or a value.
        WrongTypeException
            If the value can't be of the type.
        """
        kind, value = property_spec["type"], property_spec["value"]
        if kind not in TYPES:
            known = "String, Integer, Double, Lookup"
            raise ValueError(f"prop type {kind} is wrong. Supported types: {known}")
        converted(name, kind, value)
        self.properties[name] = property_spec

    def set_property_value(self, name: str, value: Any) -> None:
        """Set the value of a property; KeyError if there is none."""
        try:
            found = self.properties[name]
        except KeyError:
            raise KeyError(f"property {name} does not exist") from None
        found["value"] = converted(name, found["type"], value)

    def get_property(self, name: str) -> Property:
        """Return a property with its type; KeyError if there is none."""
        return self.properties[name]

    def get_property_value(self, name: str) -> Any:
        """Return the value of a property; AttributeError if there is none."""
        try:
            return self.properties[name]["value"]
        except KeyError:
            raise AttributeError(f"{name} is not a valid property") from None

    def serialize(self) -> dict[str, Any]:
        """Return the values of all properties, and the id, state and type."""
        values = {name: each["value"] for name, each in self.properties.items()}
        return {**values, "id": self.id, "state": self.state, "type": self.agent_type}

    @staticmethod
    def is_event_relevant(threshold: float) -> bool:
        """Return True with the probability `threshold`."""
        return random.random() < threshold  # noqa: S311 - simulation

    def __getattr__(self, name: str) -> Any:
        # Only called for what isn't an attribute.
        properties = self.__dict__.get("properties", ())
        if name in properties:
            return properties[name]["value"]
        raise missing_attribute(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__.get("properties", ()):
            self.set_property_value(name, value)
        else:
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"<{self.agent_type} {self.id}, {self.state}>"
