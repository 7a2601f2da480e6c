"""The stepper: takes the steps of a script's `run_loop`, and makes savepoints on the way.

Between any two steps it pauses and stops, as the keeper wants. To make a savepoint it cuts the `run_loop`:
each chunk is a call on the tape, and savepoints are made between them. Where the tape has a chunk already,
because an older savepoint had to be used, its steps are taken again and compared with it.
"""

import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from typing import Any

import msgspec

from perdure.drivers.experiments.cosimulated import CoSimulated
from perdure.drivers.experiments.journal import READINGS, RUN_LOOP, Looped, Record
from perdure.drivers.experiments.keeper import Control, Keeper, control_of
from perdure.drivers.experiments.nrp import Rows, ScriptStopped
from perdure.drivers.experiments.scene_views import SceneView
from perdure.drivers.experiments.script_position import POSITION, ScriptPosition
from perdure.drivers.experiments.stopwatch import Stopwatch
from perdure.drivers.experiments.tape import Phase, Tape, agree
from perdure.errors import ReplayMismatch
from perdure.state.codec import State, encode
from perdure.state.grid import next_savepoint
from perdure.state.savepoint import Savepoint
from perdure.times import NANOSECOND, nanoseconds

__all__ = ["Stepper"]

EARLY = 0.2  # seconds of stepping after which each attempt has a savepoint, lest it be broken off for nothing
HIDDEN = 100  # steps after which a view has what can be copied, though an engine is in a step of its own
TIMES = 5  # as long as that is the distance of savepoints, where it isn't given: about a second


class Stepper:
    """Steps a co-simulation for one script.

    Parameters
    ----------
    cosimulation
        What is stepped.
    keeper
        Who keeps it and says when to pause and to stop.
    tape
        The script's calls.
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
        Reports the progress at once: when the simulation pauses, and when it goes on.
    clock
        Seconds, for the time that steps take.

    Attributes
    ----------
    watch
        Shows the time spent in steps, of the whole run.
    ended
        Why no more steps are taken: what an engine raised, or `ScriptStopped` once a stop was obeyed.
    """

    def __init__(
        self,
        cosimulation: CoSimulated,
        keeper: Keeper,
        tape: Tape,
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
        self.ended: BaseException | None = None
        self._timeout = timeout
        self._cosimulation = cosimulation
        self._keeper = keeper
        self._tape = tape
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
        # Steps are counted from the beginning of this attempt: it is cheaper than to compare times.
        self._steps = 0
        self._limit: int | None = None  # that the time-out allows
        self._grid: int | None = None  # after which the next savepoint lies on the grid
        self._next = 0  # after which each step checks whether a savepoint is due
        self._saved: bool | None = None  # whether the script had ended at this attempt's last savepoint
        self._hidden = 0  # steps since a view was requested, some scene being hidden in each
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
            If the tape holds another call, or other answers.
        Exception
            What an engine raised; it is `ended` then.
        """
        if self._tape.phase is Phase.ANSWERING and control_of(self._keeper) is Control.PREEMPTED:
            self.obey()  # there is nothing to save, and the rest of the replay would be for nothing
        rows: Rows = []
        left = count
        while True:
            take = partial(self._take_steps, left, datapacks)
            chunk: Looped = self._tape.call(RUN_LOOP, [left, datapacks], take, again=True)
            rows += chunk.rows
            left -= chunk.steps
            if not chunk.cut:
                return Looped(rows=rows, steps=count - left, done=chunk.done)
            datapacks = []
            if self._due:
                self._plan_next()
            self.save()

    def obey(self) -> None:
        """Pause or stop if that is wanted; after a savepoint, unless there is one of this position."""
        while (control := control_of(self._keeper)) is Control.PAUSED:
            self.save()
            with self.watch.standing():
                self._publish()
                self._keeper.hold()
                self._publish()
        if control is not Control.RUNNING:
            self.save()
            self.ended = ScriptStopped()
            raise self.ended

    def save(self, *, ended: bool = False) -> None:
        """Make a savepoint between two calls of the tape; not where the tape goes on already."""
        if self._tape.phase is not Phase.RECORDING or (not self._tape.journal and self._saved is ended):
            return
        with self.watch.standing():
            self._save(ended)

    def _save(self, ended: bool) -> None:
        self._saved = ended
        journal = self._tape.journal
        read = self._cosimulation.readings()
        if read is not None:
            journal.add(Record(name=READINGS, arguments=[], answer=read))
        entries = journal.take()
        described = self._describe()
        place = msgspec.structs.replace(
            self._place,
            ended=ended,
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

    def _take_steps(self, count: int, datapacks: list[Any], recorded: Looped | None) -> Looped:
        """Take the steps of a chunk: of `recorded`, or up to where a savepoint is due.

        This is what journalling costs a step: it is kept short.
        """
        cosimulation, keeper, running = self._cosimulation, self._keeper, Control.RUNNING
        watched = keeper.watched.is_set
        full_with = self._tape.journal.full_with
        possible = self.left
        limit = count if possible is None else min(count, possible)
        if recorded is not None:
            limit = min(limit, recorded.steps)
        taken, cut = 0, False
        self.watch.go()
        try:
            while taken < count and not cut:
                if control_of(keeper) is not running:
                    if taken and recorded is None:
                        cut = True
                        break
                    self.obey()
                if taken == limit or cosimulation.done:
                    break
                try:
                    if not taken:
                        for name, engine, data in datapacks:
                            cosimulation.set_datapack(name, engine, data)
                    cosimulation.step()
                except Exception as error:
                    self.ended = error
                    raise
                taken += 1
                self._steps += 1
                if watched():
                    self._show()
                if recorded is None:
                    cut = (self._steps >= self._next and self._due) or full_with(cosimulation.unsaved)
        finally:
            self.watch.stand()
        if recorded is not None:
            cut = recorded.cut
        done = cosimulation.done and not cut
        chunk = Looped(rows=cosimulation.take_trajectory(), steps=taken, done=done, cut=cut)
        if recorded is not None and not agree(chunk.to_state(), recorded.to_state()):
            raise self._diverged()
        return chunk

    def _show(self) -> None:
        """Show whoever watches copies of the engines' scenes, when there are copies of all, or soon."""
        self._hidden += 1
        if self._cosimulation.hidden and self._hidden < HIDDEN:
            return
        self._hidden = 0
        with self.watch.standing():
            view = SceneView.of(nanoseconds(self._cosimulation.time), self._cosimulation.scenes())
            self._keeper.show(view.to_blob())

    @property
    def _due(self) -> bool:
        """Whether a savepoint is due: on the grid, and one early in an attempt, which measures the grid."""
        if self._grid is not None and self._steps >= self._grid:
            return True
        return self.watch.seconds - self._began[1] >= EARLY

    def _plan_next(self) -> None:
        """Set the step of the next savepoint on the grid, which is measured now unless it was before."""
        if self._every is None:
            elapsed = self._cosimulation.time - self._began[0]
            self._every = nanoseconds(elapsed) * TIMES * NANOSECOND
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
            f"otherwise than the journal holds (call {self._tape.number}). The run is left as it is; "
            "serve the engines and the Python it was made with.",
            call=self._tape.number,
        )
