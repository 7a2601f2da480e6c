"""Small engines for sessions: one that can be saved, one that can't, one that reads clocks, one that dies.

The process of each engine imports this module, so it imports little: models of these are in `engine_models`.
"""

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from perdure.errors import Invalid, InvalidOverride, NotSnapshotable
from perdure.state.codec import State

__all__ = ["Dying", "Reading", "Refusing", "Sealed", "Stuck", "Summing"]


class Summing:
    """Adds up what it is given: `total` grows by `rate` in each step, after the first."""

    def __init__(self) -> None:
        self.time = 0.0
        self.finished = False
        self.rate: Any = 0.0
        self.total = 0.0
        self.steps = 0

    def initialize(self, config: Mapping[str, Any]) -> None:
        self.timestep = config["timestep"]
        self.last = config.get("last")
        self.total = float(config.get("begin", 0.0))

    def validate(self, inputs: Mapping[str, Any]) -> None:
        if isinstance(inputs.get("rate"), str):
            raise Invalid("The rate is no text.")

    def step(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        self.validate(inputs)
        self.rate = inputs.get("rate", self.rate)
        if self.steps:
            self.time += self.timestep
            self.total += self.rate * self.timestep
        self.steps += 1
        self.finished = self.steps == self.last
        return {"total": self.total, "given": dict(inputs)}

    def snapshot(self) -> State:
        return {"rate": self.rate, "total": self.total, "steps": self.steps, "time": self.time}

    def restore(self, state: Any) -> None:
        self.rate, self.total, self.steps, self.time = (
            state[name] for name in ("rate", "total", "steps", "time")
        )

    def close(self) -> None: ...


class Sealed(Summing):
    """One whose state can't be taken."""

    def snapshot(self) -> State:
        raise NotSnapshotable(what="the engine", reason="it is sealed")


class Reading(Sealed):
    """One that reads a clock at its start and in each step, and can't be saved either."""

    def __init__(self) -> None:
        super().__init__()
        self._given: Any = None
        self._read: Any = None
        self._start = 0.0

    def initialize(self, config: Mapping[str, Any]) -> None:
        super().initialize(config)
        self._start = self._clock()

    def step(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        now = self._clock()
        return {**super().step(inputs), "passed": now - self._start}

    def _clock(self) -> float:
        given, self._given = self._given, None
        self._read = time.perf_counter() if given is None else given
        return self._read

    def take_answers(self) -> State:
        answers, self._read = self._read, None
        return answers

    def give_answers(self, answers: State) -> None:
        self._given = answers


class Dying(Summing):
    """One that is killed, or hangs, in the step ``dies_at``, as often as the file ``deaths`` says."""

    isolated: ClassVar[bool] = True

    def initialize(self, config: Mapping[str, Any]) -> None:
        super().initialize(config)
        self._dies_at, self._deaths = config["dies_at"], Path(config["deaths"])
        self._hangs = config.get("hangs", False)

    @classmethod
    def identify(cls, config: Mapping[str, Any]) -> State:
        return {"dies_at": config["dies_at"]}

    def step(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        left = int(self._deaths.read_text())
        if self.steps + 1 == self._dies_at and left > 0:
            self._deaths.write_text(str(left - 1))
            if self._hangs:
                signal.pause()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(inputs)


class OddRate(Invalid):
    """The rate {rate} is odd."""


class Refusing(Summing):
    """One that refuses rates by errors of its own: a class of its own, and Perdure's in its own words."""

    def validate(self, inputs: Mapping[str, Any]) -> None:
        if inputs.get("rate") == 3.0:
            raise OddRate(rate=3.0)
        if inputs.get("rate") == 5.0:
            raise InvalidOverride("A rate of 5 is too much.")


class Stuck(Summing):
    """One that hangs in its snapshot once it was stepped."""

    isolated: ClassVar[bool] = True

    def snapshot(self) -> State:
        if self.steps:
            signal.pause()
        return super().snapshot()
