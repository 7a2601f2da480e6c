"""A member of a co-simulation: an engine in the loop, in this process or in one of its own."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perdure.drivers.experiments.configuration import EngineConfiguration
from perdure.drivers.experiments.engines import make_engine, make_isolated, start_outputs
from perdure.engines.base import Engine, Visible
from perdure.engines.json_data import copied
from perdure.engines.recorded import Recorded
from perdure.errors import EngineCrashed, InvalidDataPack, PerdureError, ScriptFailed, message_of
from perdure.execution.isolated_engine import IsolatedEngine
from perdure.state.codec import State

__all__ = ["Member", "isolated_engine", "named"]


class Member:
    """An engine in the loop.

    Attributes
    ----------
    entity
        What its state is kept as.
    timestep
        How far one of its steps goes, in seconds.
    step
        The same in units of the co-simulation's time.
    due
        When it synchronises next, in these units.
    answers
        Its data packs after the step it finished last.
    """

    def __init__(
        self, configuration: EngineConfiguration, folder: Path, seed: int, began: Mapping[str, State]
    ) -> None:
        self.name = configuration.name
        self.entity = f"engine/{self.name}"
        self.isolated = configuration.isolated
        self._has_scene = configuration.simulator is not None
        self.timestep = configuration.timestep
        self.step = 0
        self.due = 0
        self._stepping = False
        if configuration.isolated:
            isolated = isolated_engine(configuration, folder, seed)
            isolated.give_answers(began.get(self.entity))
            try:
                isolated.initialize({})
            except BaseException:
                isolated.close()
                raise
            self.engine: Engine = isolated
            self.answers = isolated.start
        else:
            self.engine = make_engine(configuration, folder, seed, began.get(self.entity))
            self.answers = self._copied(start_outputs(self.engine))
        self.recorded = Recorded(self.engine, f"the engine {self.name!r}", self.answers)

    def fetch(self) -> dict[str, Any]:
        """Return its data packs, after the step it was in."""
        self.finish()
        return self.answers

    def begin(self, inputs: Mapping[str, Any], number: int) -> None:
        """Begin its next step, in the loop's of that number; an engine of this process also finishes it."""
        self.due += self.step
        self.recorded.begin(number)
        try:
            if isinstance(self.engine, IsolatedEngine):
                self.engine.begin(inputs)
                self._stepping = True
            else:
                self.answers = self._copied(self.engine.step(inputs))
                self.recorded.finish()
        except PerdureError as error:
            raise named(self.name, error) from error

    def finish(self) -> None:
        """Wait for the step that it is in, if it is in one."""
        if self._stepping and isinstance(self.engine, IsolatedEngine):
            self._stepping = False
            try:
                self.answers = self._copied(self.engine.finish())
                self.recorded.finish()
            except PerdureError as error:
                raise named(self.name, error) from error

    @property
    def hidden(self) -> bool:
        """Whether it has a scene that can't be copied now, since the engine is in a step."""
        return self._has_scene and self._stepping

    def scene(self) -> list[State] | None:
        """Return a copy of what a picture of it shows, and why there is none; None if it is never drawn.

        Nothing changes that later steps depend on. So it doesn't wait for a step that the engine is in: its
        error, or that it takes too long, would come before what the functions do meanwhile.
        """
        if not self._has_scene or not isinstance(self.engine, Visible):
            return None
        if self._stepping:
            return [None, "it is in a step, and its steps take longer than others"]
        try:
            return [self.engine.scene(), ""]
        except Exception as error:  # whatever it is: a viewer must not end a run
            return [None, message_of(error)]

    def _copied(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        return {name: copied(data, name, self.name) for name, data in outputs.items()}


def isolated_engine(configuration: EngineConfiguration, folder: Path, seed: int) -> IsolatedEngine:
    """Return an engine that `initialize` starts in a process of its own."""
    return IsolatedEngine(
        configuration.name,
        make_isolated,
        [configuration.to_plain(), str(folder), seed],
        timeout=configuration.command_timeout or None,
        setting="EngineCommandTimeout",
        environment=os.environ,  # which this process was given by the server
    )


def named(engine: str, error: PerdureError) -> PerdureError:
    """Return an error that says in which engine it was, unless it says so already."""
    if isinstance(error, ScriptFailed | InvalidDataPack | EngineCrashed):
        return error
    return type(error)(f"The engine {engine!r}: {error}", **error.values)
