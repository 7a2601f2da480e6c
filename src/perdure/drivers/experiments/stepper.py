"""The stepper: takes the steps of a script's `run_loop`, and makes savepoints on the way.

Between any two steps it pauses and stops, as the keeper wants. Steps that the journal holds already, because
an older savepoint had to be used, are taken again and compared with it.
"""

import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import msgspec

from perdure.drivers.experiments.cosimulated import CoSimulated
from perdure.drivers.experiments.journal import READINGS, RUN_LOOP, Looped, Record
from perdure.drivers.experiments.keeper import Control, Keeper
from perdure.drivers.experiments.nrp import Rows, ScriptStopped
from perdure.drivers.experiments.recorder import Recorder
from perdure.drivers.experiments.replay import agree
from perdure.drivers.experiments.script_position import POSITION, ScriptPosition
from perdure.drivers.experiments.stopwatch import Stopwatch
from perdure.errors import ReplayMismatch
from perdure.state.codec import State, encode
from perdure.state.grid import next_savepoint
from perdure.state.savepoint import Savepoint
from perdure.times import NANOSECOND, nanoseconds

__all__ = ["Stepper"]

EARLY = 0.2  # seconds of stepping after which each attempt has a savepoint, lest it be broken off for nothing
TIMES = 5  # as long as that is the distance of savepoints, where it isn't given: about a second


class _Call(msgspec.Struct):
    """A `run_loop` that is going on.

    Attributes
    ----------
    arguments
        What it was called with.
    rows, done
        What it has come to, and the steps taken, when that was last looked at.
    left
        Steps that it has to take yet.
    recorded, recorded_rows
        The steps, and the rows, that the journal has.
    logged
        What the journal held of it when it was made again.
    """

    arguments: list[Any]
    rows: Rows
    done: int = 0
    left: int = 0
    recorded: int = 0
    recorded_rows: int = 0
    logged: Record | None = None

    @property
    def catching_up(self) -> bool:
        """Whether the next step was taken before, after the savepoint."""
        return self.logged is not None and (self.logged.whole or self.done < self.logged.answer.steps)


class Stepper:
    """Steps a co-simulation for one script.

    Parameters
    ----------
    cosimulation
        What is stepped.
    keeper
        Who keeps it and says when to pause and to stop.
    recorder
        Of the script's calls.
    place
        Where the script stands when it begins.
    position
        Entries in the step log.
    timeout
        Simulation time that there is, in seconds; None is endless.
    every
        Distance of savepoints, rounded up to a multiple of the timestep; None measures it.
    keep
        How many of the newest savepoints are kept; None leaves that to the store.
    describe
        Returns the entities of a savepoint that are neither the co-simulation's nor the place.
    publish
        Tells at once how far the simulation is, when it stands still and when it goes on.
    clock
        Seconds, for the time that steps take.

    Attributes
    ----------
    watch
        Shows the time spent in steps, of the whole run.
    broken
        What an engine raised.
    stopped
        Whether a stop was obeyed.
    """

    def __init__(
        self,
        cosimulation: CoSimulated,
        keeper: Keeper,
        recorder: Recorder,
        place: ScriptPosition,
        position: int,
        *,
        timeout: Fraction | None,
        every: Fraction | None,
        keep: int | None,
        describe: Callable[[], Mapping[str, State]],
        publish: Callable[[], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.watch = Stopwatch(place.seconds, clock)
        self.broken: Exception | None = None
        self.stopped = False
        self._timeout = timeout
        self._cosimulation = cosimulation
        self._keeper = keeper
        self._recorder = recorder
        self._place = place
        self._position = position
        self._keep = keep
        if every is not None:
            every = -(-every // cosimulation.timestep) * cosimulation.timestep
        elif place.every is not None:
            every = place.every * NANOSECOND
        self._every = every
        self._describe = describe
        self._publish = publish
        self._call: _Call | None = None
        # Steps are counted from the beginning of this attempt: it is cheaper than to compare times.
        self._steps = 0
        self._limit: int | None = None  # that the time-out allows
        self._grid: int | None = None  # after which the next savepoint lies on the grid
        self._next = 0  # after which it is looked whether a savepoint is due
        self._saved: tuple[int, int, bool] | None = None  # calls, steps of the one going on, ended
        self._began = (Fraction(0), 0.0)  # simulation time and seconds at the start of this attempt

    @property
    def left(self) -> int | None:
        """Timesteps that are left; None without a time-out."""
        return self._steps_left() if self._limit is None else self._limit - self._steps

    def begin(self) -> None:
        """Let the script begin, or go on: the co-simulation is where the place says."""
        self._place = msgspec.structs.replace(self._place, begun=True)
        self._began = (self._cosimulation.time, self.watch.seconds)
        self._limit = self._steps_left()
        if self._every is not None:
            self._grid = self._steps_to_grid(self._every)

    def loop(self, count: int, datapacks: list[Any]) -> Looped:
        """Take timesteps, or answer what they answered before; see `Nrp.run_loop`.

        Raises
        ------
        ScriptStopped
            If a stop is wanted.
        ReplayMismatch
            If the journal holds another call, or other answers.
        Exception
            What an engine raised; it is `broken` then.
        """
        arguments = [count, datapacks]
        resumed = self._recorder.at_place
        logged = self._recorder.answer(RUN_LOOP, arguments)
        if logged is not None and not self._recorder.arrived:
            self.obey()
            answer: Looped = logged.answer
            return answer
        call = self._call = _Call(arguments=arguments, rows=[], logged=logged)
        if logged is not None and resumed:
            call.rows = logged.answer.rows[: self._place.rows]
            call.done = call.recorded = self._place.done
            call.recorded_rows = len(call.rows)
        call.left = count - call.done
        self.watch.go()
        try:
            over = self._take_steps(call, datapacks)
        finally:
            self.watch.stand()
        looped = Looped(rows=call.rows, steps=call.done, done=self._cosimulation.done and not over, over=over)
        if logged is None or not logged.whole:
            rest = msgspec.structs.replace(looped, rows=call.rows[call.recorded_rows :])
            self._recorder.journal.add(Record(name=RUN_LOOP, arguments=arguments, answer=rest))
        elif not agree(looped.to_state(), logged.answer.to_state()):
            raise self._diverged()
        self._call = None
        return looped

    def obey(self) -> None:
        """Pause or stop if that is wanted."""
        while (control := self._keeper.control()) is Control.PAUSED:
            self.save()
            with self.watch.standing():
                self._publish()
                self._keeper.hold()
                self._publish()
        if control is Control.STOPPING:
            self.save()
            self.stopped = True
            raise ScriptStopped

    def save(self, *, ended: bool = False) -> None:
        """Make a savepoint with the journal up to here; not where the journal goes on already."""
        call = self._call
        if call is not None:
            self._look_at(call)
        if not self._recorder.live or (call is not None and call.catching_up):
            return
        with self.watch.standing():
            self._save(call, ended)

    def _save(self, call: _Call | None, ended: bool) -> None:
        journal = self._recorder.journal
        if call is not None and call.done > call.recorded:
            part = Looped(rows=call.rows[call.recorded_rows :], steps=call.done)
            journal.add(Record(name=RUN_LOOP, arguments=call.arguments, answer=part, whole=False))
            call.recorded, call.recorded_rows = call.done, len(call.rows)
        mark = (self._recorder.calls, 0 if call is None else call.done, ended)
        if mark == self._saved:
            return  # nothing happened since
        self._saved = mark
        read = self._cosimulation.readings()
        if read is not None:
            journal.add(Record(name=READINGS, arguments=[], answer=read))
        entries = journal.take()
        described = self._describe()
        place = msgspec.structs.replace(
            self._place,
            ended=ended,
            calls=self._recorder.calls,
            done=0 if call is None else call.done,
            rows=0 if call is None else len(call.rows),
            every=None if self._every is None else nanoseconds(self._every),
            seconds=self.watch.seconds,
        )
        states = {**self._cosimulation.snapshot(), **described, POSITION: place.to_state()}
        entities = {id: encode(state) for id, state in states.items()}
        self._position += len(entries)
        self._keeper.append(
            entries,
            Savepoint(
                timestamp=nanoseconds(self._cosimulation.time),
                position=self._position,
                entities=entities,
                keep=self._keep,
            ),
        )

    def _take_steps(self, call: _Call, datapacks: list[Any]) -> str:
        """Take the steps of a call that are left, and make savepoints where they are due.

        It returns why the time was up, if it was. This is what journalling costs a step: it is kept short.
        """
        cosimulation, wanted, running = self._cosimulation, self._keeper.control, Control.RUNNING
        journal = self._recorder.journal
        logged, sent = call.logged, call.done > 0 or not datapacks
        possible = self.left
        steps = call.left if possible is None else min(call.left, possible)
        for _ in range(steps):
            if wanted() is not running:
                self.obey()
            if cosimulation.done:
                break
            try:
                if not sent:
                    sent = True
                    for name, engine, data in datapacks:
                        cosimulation.set_datapack(name, engine, data)
                cosimulation.step()
            except Exception as error:
                self.broken = error
                raise
            call.left -= 1
            self._steps += 1
            if logged is not None:
                self._compare(call, logged)
            if self._steps >= self._next:
                self._save_if_due()
            if journal.full_with(cosimulation.unsaved):
                self.save()
        else:
            if call.left:
                self.obey()
        self._look_at(call)
        if not call.left:
            return ""
        if cosimulation.done:
            return "" if call.done else "The status function ended the simulation."
        return "The simulation time is up: SimulationTimeout was reached."

    def _look_at(self, call: _Call) -> None:
        """Bring up to date what a call has come to."""
        call.rows += self._cosimulation.take_trajectory()
        call.done = call.arguments[0] - call.left

    def _compare(self, call: _Call, logged: Record) -> None:
        """Compare what a call has come to with the journal, where that ends within the call."""
        self._look_at(call)
        if not logged.whole and call.done == logged.answer.steps > call.recorded:
            call.recorded, call.recorded_rows = call.done, len(call.rows)
            if not agree(call.rows, logged.answer.rows):
                raise self._diverged()

    def _save_if_due(self) -> None:
        """Make a savepoint on the grid, and one early in an attempt, by which the distance is measured."""
        began, seconds = self._began
        on_the_grid = self._grid is not None and self._steps >= self._grid
        if not on_the_grid and self.watch.seconds - seconds < EARLY:
            return
        if self._every is None:
            self._every = nanoseconds(self._cosimulation.time - began) * TIMES * NANOSECOND
        self.save()
        self._next = self._grid = self._steps_to_grid(self._every)

    def _steps_to_grid(self, every: Fraction) -> int:
        """Return the number of the step that reaches the next point of the grid of savepoints."""
        now = self._cosimulation.time
        return self._steps - (now - next_savepoint(every, now)) // self._cosimulation.timestep

    def _steps_left(self) -> int | None:
        if self._timeout is None:
            return None
        return max(Fraction(0), self._timeout - self._cosimulation.time) // self._cosimulation.timestep

    def _diverged(self) -> ReplayMismatch:
        return ReplayMismatch(
            f"Run again from a savepoint to {nanoseconds(self._cosimulation.time)} ns, the engines answered "
            f"otherwise than the journal holds (call {self._recorder.calls + 1}). The run is left as it is; "
            "serve the engines and the Python it was made with.",
            call=self._recorder.calls + 1,
        )
