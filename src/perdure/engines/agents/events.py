"""Events: what agents send each other."""

from typing import Any

__all__ = ["DelayedEvent", "Event"]


class Event:
    """An event, which its receiver handles in the step after the one in which it was sent.

    Parameters
    ----------
    name
        What happened; selects the handler.
    sender_id, receiver_id
        Ids of agents. The sender may be None: then the event comes from outside.
    data
        Anything that the handler needs. It must be plain data, or an agent, to be saved.

    Raises
    ------
    ValueError
        If an id is not a number.
    """

    def __init__(
        self, name: str, sender_id: float | None, receiver_id: float | None, data: Any = None
    ) -> None:
        for what, given in (("sender_id", sender_id), ("receiver_id", receiver_id)):
            if given and not isinstance(given, int | float):
                raise ValueError(
                    f"The {what} of the event {name!r} is {given!r}, but the id of an agent is a number: "
                    "pass the agent's attribute id, or None"
                )
        self.name = name
        self.sender_id = sender_id
        self.receiver_id = receiver_id
        self.data = data

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} to {self.receiver_id}>"


class DelayedEvent(Event):
    """An event that arrives later.

    Parameters
    ----------
    delay
        In the model's unit of time. An event that is sent in the step at t is handled at
        t + dt·(1 + ceil(delay / dt)); one that is queued before the run, at start + dt·ceil(delay / dt).

    Attributes
    ----------
    delay
        What is left of it.
    """

    def __init__(
        self,
        name: str,
        sender_id: float | None,
        receiver_id: float | None,
        delay: float,
        data: Any = None,
    ) -> None:
        super().__init__(name, sender_id, receiver_id, data)
        if not isinstance(delay, int | float):
            raise ValueError(
                f"The delay of the event {name!r} is {delay!r}, but it must be a number, in the model's unit "
                "of time, after which the event is handled"
            )
        self.delay = delay
