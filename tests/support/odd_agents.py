"""Models of agents that misbehave: they wait for ever, kill their process, leave threads, give turns away."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

from tests.support.bptk_agents import DEFINITION, Person, Town

STUCK_AT, KILLED_AT = 2.0, 3.0


class Waiting(Person):
    """A person who, at a time, opens the named pipe that the model has a path of, and then waits for ever."""

    def act(self, time: float, round_no: int, step_no: int) -> None:
        if time == STUCK_AT and self.model.path:
            Path(self.model.path).write_text("waiting")
            threading.Event().wait()
        super().act(time, round_no, step_no)


class Killing(Person):
    """A person who, at a time, kills the process if there is the file that the model has a path of."""

    def act(self, time: float, round_no: int, step_no: int) -> None:
        super().act(time, round_no, step_no)
        if time == KILLED_AT and self.model.path and Path(self.model.path).exists():
            Path(self.model.path).unlink()
            os.kill(os.getpid(), signal.SIGKILL)


class Threaded(Person):
    """A person who leaves a thread behind, which ends when the process does."""

    def act(self, time: float, round_no: int, step_no: int) -> None:
        threading.Thread(target=threading.Event().wait, daemon=True).start()


class ThreadedTown(Town):
    def instantiate_model(self) -> None:
        super().instantiate_model()
        self.register_agent_factory("person", lambda i, model, p: Threaded(i, model, p, "person"))


class Yielding(Person):
    """A person who lets the other threads of the process have a turn before each act."""

    def act(self, time: float, round_no: int, step_no: int) -> None:
        os.sched_yield()  # another thread gets Python's lock meanwhile
        super().act(time, round_no, step_no)


class YieldingTown(Town):
    def instantiate_model(self) -> None:
        super().instantiate_model()
        self.register_agent_factory("person", lambda i, model, p: Yielding(i, model, p, "person"))


class WaitingTown(Town):
    def instantiate_model(self) -> None:
        super().instantiate_model()
        self.register_agent_factory("person", lambda i, model, p: Waiting(i, model, p, "person"))


class KillingTown(Town):
    def instantiate_model(self) -> None:
        super().instantiate_model()
        self.register_agent_factory("person", lambda i, model, p: Killing(i, model, p, "person"))


def definition(path: str) -> dict[str, Any]:
    """Return a scenario whose model has a path; an empty one lets it behave."""
    return {
        **DEFINITION,
        "properties": {**DEFINITION["properties"], "path": {"type": "String", "value": path}},
    }
