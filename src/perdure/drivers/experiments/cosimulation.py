"""The co-simulation: engines with time steps of their own, and the functions that pass data packs between.

The loop is nrp-core's FTILoop. At simulation time t the engines that are due have reached t; their data packs
are fetched; the preprocessing, then the transceiver functions linked to them run, and the status function;
what was made for engines that are due is sent, and these begin their next step. Then t moves on by the
smallest time step. What a function makes for an engine that isn't due is lost, as in nrp-core.

It knows no script and no store. Its state is a set of entities: one for each engine, the data packs, the
functions and the clock.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from perdure.drivers.experiments.configuration import Configuration
from perdure.drivers.experiments.functions import Functions
from perdure.drivers.experiments.member import Member, named
from perdure.drivers.experiments.samples import SAMPLES, Samples
from perdure.engines.base import Modular
from perdure.engines.json_data import copied
from perdure.engines.recorded import Notes, Recorded
from perdure.engines.warned import Modules
from perdure.errors import (
    Invalid,
    PerdureError,
    Refused,
    suggest,
)
from perdure.execution.isolated_engine import IsolatedEngine
from perdure.state.codec import State
from perdure.times import nanoseconds

__all__ = ["CoSimulation"]

FUNCTIONS = "functions"  # their entity
BEGAN = "began"  # the entity of what parts were answered at their start
WARNED = "warnings"  # the entity of what isolated engines have warned of
ANSWERED = "answered"  # what they answered, in the notes


class CoSimulation:
    """The engines and functions of one experiment.

    Parameters
    ----------
    configuration
        The experiment's.
    folder
        Where its files are; engines and functions run in it.
    seed
        Of all random draws.

    Attributes
    ----------
    timestep
        How far a step goes, in seconds: the smallest EngineTimestep.
    done
        Whether the status function said so in the last step.
    trajectory
        The rows that the status function answered since `take_trajectory`.
    kept
        Of each part, once there is a snapshot, why it could not be taken into it; None if it could. It is
        made anew by each snapshot, so that any thread may read it.
    notes
        What engines and functions were given since the last snapshot, and what functions answered.
    """

    def __init__(self, configuration: Configuration, folder: Path, seed: int) -> None:
        self.timestep = configuration.timestep
        self.done = False
        self.trajectory: list[Any] = []
        self.kept: Mapping[str, str | None] = {}
        self.notes = Notes()
        self._configuration = configuration
        self._folder = folder
        self._seed = seed
        self._iteration = 0
        # Times are counted in a part of a second in which every time step is a whole number.
        self._unit = 1
        self._step = 0  # the time step in units
        self._time = 0
        self._members: dict[str, Member] = {}
        self._packs: dict[str, dict[str, Any]] = {}
        self._given: dict[str, dict[str, Any]] = {}
        self._functions: Recorded | None = None
        self._samples = Samples()

    @property
    def samples(self) -> State:
        """Numbers of the data packs over time, as `Samples` keeps them; read by any thread."""
        return self._samples.to_state()

    @property
    def time(self) -> Fraction:
        """Simulation time reached, in seconds."""
        return Fraction(self._time, self._unit)

    @property
    def parts(self) -> Mapping[str, Recorded]:
        """The engines and the functions, by entity."""
        engines = {member.entity: member.recorded for member in self._members.values()}
        return {**engines, FUNCTIONS: self._initialized()}

    @property
    def modules(self) -> Modules:
        """The modules that engines and functions of this process have of their own, by entity."""
        parts = {id: recorded.part for id, recorded in self.parts.items()}
        return {id: part.modules for id, part in parts.items() if isinstance(part, Modular)}

    @property
    def unsaved(self) -> int:
        """The bytes of what `readings` would return now, but for steps that engines are in."""
        unsaved = self._initialized().size
        for member in self._members.values():
            unsaved += member.recorded.size
        return unsaved

    def initialize(self, entities: Mapping[str, Any] | None = None) -> None:
        """Load the functions and start the engines.

        Parameters
        ----------
        entities
            Those that `restore` will go to: parts are answered what they were when they started.

        Raises
        ------
        PerdureError
            If one of them can't be; the others are closed again.
        """
        configuration = self._configuration
        began: Mapping[str, State] = (entities or {}).get(BEGAN, {})
        names = [engine.name for engine in configuration.engines]
        functions = Functions(
            configuration.functions, configuration.status_function, names, self._folder, self._seed
        )
        functions.give_answers(began.get(FUNCTIONS))
        functions.initialize()
        self._functions = Recorded(functions, "the functions")
        try:
            for engine in configuration.engines:
                self._members[engine.name] = Member(engine, self._folder, self._seed, began)
        except BaseException:
            self.close()
            raise
        self._count_in(1)

    def step(self) -> None:
        """Advance by one time step.

        Raises
        ------
        PerdureError
            If an engine or a function fails. The co-simulation is then of no further use but to be closed.
        """
        functions = self._initialized()
        due = {name: m for name, m in self._members.items() if m.due <= self._time}
        for name, member in due.items():
            self._packs[name] = member.fetch()
        time_ns = nanoseconds(self._time, self._unit)
        if not self._iteration % self._samples.stride:
            self._samples.take(self._iteration, time_ns / 1e9, self._packs)
        inputs = {
            "iteration": self._iteration,
            "time_ns": time_ns,
            "due": list(due),
            "packs": dict(self._packs),
        }
        functions.begin(self._iteration)
        answer = functions.part.step(inputs)
        functions.finish()
        self.done = answer["done"]
        self.trajectory += answer["rows"]
        given = {
            member.entity: {**self._given.pop(name, {}), **answer["packs"].get(name, {})}
            for name, member in due.items()
        }
        self.notes.add({FUNCTIONS: inputs, ANSWERED: answer, **given})
        # Isolated engines begin first: they step while the others do, one after the other.
        for member in sorted(due.values(), key=lambda member: not member.isolated):
            try:
                member.begin(given[member.entity], self._iteration)
            except PerdureError as error:
                raise self._refused(member, error) from error
        self._iteration += 1
        self._time += self._step
        # Those that the next step needs are waited for here, so that an error belongs to the step it is in.
        for member in self._members.values():
            if member.due <= self._time:
                try:
                    member.finish()
                except PerdureError as error:
                    raise self._refused(member, error) from error

    def set_datapack(self, name: str, engine: str, data: Any) -> None:
        """Give an engine a data pack when it next synchronises, unless a function then makes that pack.

        Raises
        ------
        Invalid
            If there is no such engine.
        InvalidDataPack
            If the data aren't JSON.
        """
        if engine not in self._members:
            raise Invalid(f"There is no engine {engine!r}.{suggest(engine, self._members)}")
        self._given.setdefault(engine, {})[name] = copied(data, name, engine)

    def take_trajectory(self) -> list[Any]:
        """Return the rows answered since this was last called."""
        rows, self.trajectory = self.trajectory, []
        return rows

    def readings(self) -> State:
        """Return what parts were answered in the steps since the last snapshot; None if nothing."""
        for member in self._members.values():
            member.finish()
        read: Any = {id: part.readings for id, part in self.parts.items() if part.readings}
        return read or None

    @property
    def hidden(self) -> bool:
        """Whether an engine with a scene is in a step, so that `scenes` has none of it."""
        return any(member.hidden for member in self._members.values())

    def scenes(self) -> Mapping[str, State]:
        """Return what can be drawn of the engines, by name, between two steps; see `Member.scene`."""
        found = {name: member.scene() for name, member in self._members.items()}
        return {name: scene for name, scene in found.items() if scene is not None}

    def snapshot(self) -> Mapping[str, State]:
        """Return the states of all entities, between two steps.

        Where an engine's or the functions' state can't be taken, its entity holds the last that could be and
        the inputs since; `kept` says why.
        """
        for member in self._members.values():
            member.finish()
        entities: dict[str, Any] = {
            **{
                member.entity: member.recorded.snapshot(
                    self.notes.of(member.entity), self._answers_of(member)
                )
                for member in self._members.values()
            },
            FUNCTIONS: self._initialized().snapshot(self.notes.of(FUNCTIONS), self.notes.of(ANSWERED)),
            "datapacks": {
                "fetched": dict(self._packs),
                "answered": {name: member.answers for name, member in self._members.items()},
                "given": {name: dict(packs) for name, packs in self._given.items()},
            },
            "clock": {
                "unit": self._unit,
                "time": self._time,
                "iteration": self._iteration,
                "done": self.done,
                "due": {name: member.due for name, member in self._members.items()},
                "trajectory": list(self.trajectory),
            },
            SAMPLES: self.samples,
            BEGAN: {id: part.began for id, part in self.parts.items()},
            WARNED: {name: isolated.warned() for name, isolated in self._isolated()},
        }
        self.notes.clear()
        refusals = {id: part.refusal for id, part in self.parts.items()}
        self.kept = {id: None if refusal is None else str(refusal) for id, refusal in refusals.items()}
        return entities

    def restore(self, entities: Mapping[str, Any], ahead: Iterable[Any] = ()) -> None:
        """Go to what `snapshot` returned, on a co-simulation that was initialised with it and is fresh.

        Its configuration may be another one, in a fork: an engine that there was none of begins now, and one
        that there is no more is left out.

        Parameters
        ----------
        entities
            What it returned.
        ahead
            What `readings` returned after that: it is answered again in these steps.

        Raises
        ------
        ReplayMismatch
            If a part that is given its inputs again answers otherwise.
        """
        functions = self._initialized()
        clock, packs = entities["clock"], entities["datapacks"]
        unit, time, due = _times_of(clock)
        read: dict[str, dict[int, State]] = {}
        for readings in ahead:
            for id, by_step in readings.items():
                read.setdefault(id, {}).update(by_step)
        self._count_in(unit)
        self._time = time * (self._unit // unit)
        for name, member in self._members.items():
            member.due = self._time
            if member.entity in entities:
                try:
                    member.recorded.restore(entities[member.entity], read.get(member.entity))
                except PerdureError as error:
                    raise named(name, error) from error
                member.due, member.answers = due[name] * (self._unit // unit), packs["answered"][name]
        functions.restore(entities[FUNCTIONS], read.get(FUNCTIONS))
        for name, isolated in self._isolated():
            if (warned := entities.get(WARNED, {}).get(name)) is not None:
                isolated.restore_warned(warned)
        self.notes.clear()
        members = self._members
        self._packs = {name: fetched for name, fetched in packs["fetched"].items() if name in members}
        self._given = {name: dict(given) for name, given in packs["given"].items() if name in members}
        self._iteration, self.done = clock["iteration"], clock["done"]
        self.trajectory = list(clock["trajectory"])
        self._samples = Samples(entities.get(SAMPLES))

    def close(self) -> None:
        """Close all engines and end their processes; raise the first error once all are closed."""
        members, self._members = self._members, {}
        failure: PerdureError | None = None
        for member in members.values():
            try:
                member.engine.close()
            except PerdureError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def _refused(self, member: Member, error: PerdureError) -> PerdureError:
        """Return an engine's error, with the line of the functions' that made what it refuses."""
        functions = self._initialized().part
        assert isinstance(functions, Functions)
        return functions.refused(error, member.name, member.answers)

    def _isolated(self) -> Iterator[tuple[str, IsolatedEngine]]:
        for name, member in self._members.items():
            if isinstance(member.engine, IsolatedEngine):
                yield name, member.engine

    def _count_in(self, unit: int) -> None:
        """Count times in parts of a second in which multiples of 1/unit are whole, and all time steps."""
        steps = [self.timestep, *(member.timestep for member in self._members.values())]
        self._unit = math.lcm(unit, *(step.denominator for step in steps))
        self._step = int(self.timestep * self._unit)
        for member in self._members.values():
            member.step = int(member.timestep * self._unit)

    def _answers_of(self, member: "Member") -> Iterator[Any]:
        """Return what an engine answered since the last snapshot: functions were given it, but the last."""
        latest = None
        for given in self.notes.of(FUNCTIONS):
            if member.name in given["due"]:
                if latest is not None:  # the first one belongs to a step before
                    yield given["packs"][member.name]
                latest = member.answers
        if latest is not None:
            yield latest

    def _initialized(self) -> Recorded:
        if self._functions is None:
            raise Refused("The co-simulation isn't initialised; call `initialize` first.")
        return self._functions


def _times_of(clock: Mapping[str, Any]) -> tuple[int, int, Mapping[str, int]]:
    """Return the unit of a savepoint's times, the time, and when engines are due; once all was in ns."""
    if "time_ns" in clock:
        return 10**9, clock["time_ns"], clock["due_ns"]
    return clock["unit"], clock["time"], clock["due"]
