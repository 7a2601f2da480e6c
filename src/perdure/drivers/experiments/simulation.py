"""The simulation: a script (or none) over a co-simulation, paused, stopped and resumed between any steps.

The step log of an experiment holds pages of its journal; its savepoints lie in simulation nanoseconds, each
committed together with the page that leads to it. To resume, engines are restored at once and the script
runs again from the top, answered from the journal, until it has made the calls that the savepoint holds; from
there on its calls make steps again. Should an older savepoint have to be used, the pages after it are
compared with what the steps answer.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from perdure.drivers.experiments.clocks import facades
from perdure.drivers.experiments.cosimulated import CoSimulated
from perdure.drivers.experiments.files import Files, OpenFiles
from perdure.drivers.experiments.journal import RUN_LOOP, Looped, Record
from perdure.drivers.experiments.keeper import Control, Keeper
from perdure.drivers.experiments.nrp import Nrp, NRPSimulationTimeout, Rows, ScriptStopped
from perdure.drivers.experiments.place import FILES, PLACE, Place
from perdure.drivers.experiments.plan import Ending, How, Past, Plan
from perdure.drivers.experiments.publisher import Publisher
from perdure.drivers.experiments.recorder import Recorder
from perdure.drivers.experiments.replay import agree
from perdure.drivers.experiments.script import Script, error_in_words
from perdure.drivers.experiments.script_log import ScriptLog
from perdure.errors import ReplayMismatch, Unavailable
from perdure.state.codec import decode, encode
from perdure.state.grid import next_savepoint
from perdure.state.savepoint import Savepoint

__all__ = ["Simulation"]

MEASURED = 1.0  # seconds of stepping after which the distance of savepoints is known
SLICE = 0.05  # seconds that a sleeping script may take to obey
WITHOUT_SCRIPT = 1000  # steps a call, where no script makes them


class _Call(msgspec.Struct):
    """A `run_loop` that is going on.

    Attributes
    ----------
    arguments, rows, done
        Its arguments; what it has come to, and the steps taken.
    fresh, recorded
        Rows that the journal hasn't got yet, and the steps that it has.
    logged
        What the journal held of it when it was made again.
    """

    arguments: list[Any]
    rows: Rows
    fresh: Rows
    done: int = 0
    recorded: int = 0
    logged: Record | None = None

    @property
    def catching_up(self) -> bool:
        """Whether the next step was taken before, after the savepoint."""
        return self.logged is not None and (self.logged.whole or self.done < self.logged.answer.steps)


class Simulation:
    """One attempt at a simulation.

    Parameters
    ----------
    plan
        What is to be simulated.
    cosimulation
        The engines and what is between them, neither initialised nor used before.
    keeper
        Who keeps it and says when to pause and to stop.
    folder
        A fresh copy of the experiment; the simulation works in it.
    past
        Where it left off; None begins it.
    clock
        Seconds, for the time that steps take.
    period
        Seconds between two reports.
    """

    def __init__(
        self,
        plan: Plan,
        cosimulation: CoSimulated,
        keeper: Keeper,
        folder: Path,
        past: Past | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
        period: float = 1.0,
    ) -> None:
        self.plan = plan
        self._cosimulation = cosimulation
        self._keeper = keeper
        self._folder = folder.resolve()
        self._past = past
        self._clock = clock
        self._place = Place() if past is None else Place.read(past.savepoint)
        self._position = 0 if past is None else len(past.steps)
        pages = () if past is None else past.steps[self._place.base :]
        self._recorder = Recorder(self._place, pages, self._folder, self._put_back_files)
        self._call: _Call | None = None
        self._broken: Exception | None = None  # what an engine raised
        self._failure: Exception | None = None  # why it can't go on, or isn't kept any more
        self._stopped = False
        self._state = "started"
        self.steps = self._place.base_steps
        self._seconds = self._place.seconds
        self._every = self._place.every
        if plan.every_ns is not None:
            self._every = -(-plan.every_ns // cosimulation.timestep_ns) * cosimulation.timestep_ns
        self._next: int | None = None
        self._saved: tuple[int, int, bool] | None = None  # calls, steps of the one going on, ended
        self._began = (0, 0.0)  # simulation time and seconds at the start of this attempt
        self._thread = threading.get_ident()
        self._files = Files(self._folder)
        self._opened = OpenFiles(self._folder)
        stem = "perdure" if plan.script is None else Path(plan.script).stem
        self._log_name = f"{stem}_{plan.sim_id}.log"
        self._log = ScriptLog(self._folder / self._log_name, keeper.write_line)
        self._script: Script | None = None
        if plan.script is not None:
            modules = facades(self._read_clock, self._sleep)
            self._script = Script(self._folder / plan.script, self._folder, plan.seed, modules)
        self._publisher = Publisher(self._report, keeper.progress, period)

    # From beginning to end ----------------------------------------------------------------------------------

    def run(self) -> Ending:
        """Simulate to the end, and return how it ended; all is saved then.

        Raises
        ------
        ReplayMismatch, FileLost, HashSeedChanged
            If the run can't go on where it left off.
        Unavailable
            If the process of an engine was lost; another attempt may get on.
        Exception
            Whatever the keeper raises.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.chdir(self._folder))
            stack.enter_context(self._opened)
            stack.callback(self._cosimulation.close)
            stack.enter_context(self._log)
            stack.enter_context(self._publisher)
            ending = self._work()
            if ending.how is How.COMPLETED:
                ending = self._shut_down()
            self._state = ending.how.value
        return ending

    def _work(self) -> Ending:
        error = None
        try:
            self._begin()
            nrp = Nrp(self, self.plan.sim_id)
            if self._script is None:
                _run_to_the_end(nrp)
            else:
                error = self._script.run(nrp, self._log.logger)
            if self._failure is None and self._broken is None and not self._stopped:
                self._recorder.end()
                self._save(ended=True)
        except ScriptStopped:
            pass  # the reason is one of the three below
        except Exception as raised:
            if raised is not self._broken:
                raise
        if self._failure is not None:
            raise self._failure
        if self._broken is not None:
            if isinstance(self._broken, Unavailable):
                raise self._broken
            error = error_in_words(self._broken, self._folder)
        elif self._stopped:
            return Ending(how=How.STOPPED)
        return Ending(how=How.COMPLETED if error is None else How.FAILED, error=error)

    def _begin(self) -> None:
        """Start the engines, and make savepoint 0 or go to the one that there is."""
        try:
            self._cosimulation.initialize()
        except Exception as error:
            self._broken = error
            raise ScriptStopped from error
        if self._past is None:
            self._recorder.begin()
            self._save()
        else:
            self._place.check_hash_seed()
            entities = self._past.savepoint.entities
            self._cosimulation.restore(
                {id: decode(blob) for id, blob in entities.items() if id not in (PLACE, FILES)}
            )
            self._log.muted = True
            self._recorder.begin()
        self._place = msgspec.structs.replace(self._place, begun=True)
        now = self._cosimulation.time_ns
        self._began = (now, self._seconds)
        self._next = None if self._every is None else next_savepoint(self._every, now)

    def _shut_down(self) -> Ending:
        """Close the engines of a simulation that came to its end; an engine may fail even then."""
        try:
            self._cosimulation.close()
        except Exception as error:
            return Ending(how=How.FAILED, error=error_in_words(error, self._folder))
        return Ending(how=How.COMPLETED)

    # What a script calls ------------------------------------------------------------------------------------

    @property
    def timestep_ns(self) -> int:
        """Length of a timestep."""
        return self._cosimulation.timestep_ns

    @property
    def max_steps(self) -> int | None:
        """Timesteps that there are; None without a time-out."""
        return None if self.plan.timeout_ns is None else self.plan.timeout_ns // self.timestep_ns

    def real_time(self) -> float:
        """Seconds spent in steps."""
        return float(self._read_clock("nrp.real_time", self._seconds))

    def run_loop(self, count: int, datapacks: list[Any]) -> tuple[bool, Rows]:
        """Take timesteps, or answer what they answered before; see `Nrp.run_loop`."""
        if threading.get_ident() != self._thread:
            raise RuntimeError("run_loop was called in another thread than the script's own; call it there.")
        with self._called():
            looped = self._loop(count, datapacks)
            self._recorder.calls += 1
        if looped.over:
            raise NRPSimulationTimeout(looped.over)
        return looped.done, looped.rows

    def _read_clock(self, name: str, reading: Any) -> Any:
        """Return the reading that counts: the journal's where the script is replayed."""
        if not self._asked_by_script():
            return reading
        with self._called(aside=False):
            return self._recorder.call(name, [], lambda: reading)

    def _sleep(self, seconds: float) -> None:
        """Sleep for a script, except in a replay; it can be paused and stopped meanwhile."""
        if not self._asked_by_script():
            time.sleep(seconds)
            return

        def sleep() -> None:
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                time.sleep(min(left, SLICE))
                self._obey()

        with self._called():
            self._recorder.call("time.sleep", [seconds], sleep)

    def _asked_by_script(self) -> bool:
        return (
            self._script is not None
            and self._script.running
            and self._failure is None
            and threading.get_ident() == self._thread
        )

    @contextlib.contextmanager
    def _called(self, *, aside: bool = True) -> Iterator[None]:
        """Answer a call: what goes wrong ends the script, but an engine's error, which it may look at."""
        if self._failure is not None or self._broken is not None or self._stopped:
            raise ScriptStopped
        with self._script.aside() if aside and self._script is not None else contextlib.nullcontext():
            try:
                yield
            except Exception as error:
                if error is self._broken:
                    raise
                self._failure = error
                raise ScriptStopped from error

    # Steps --------------------------------------------------------------------------------------------------

    def _loop(self, count: int, datapacks: list[Any]) -> Looped:
        arguments = [count, datapacks]
        resumed = self._recorder.at_place
        logged = self._recorder.answer(RUN_LOOP, arguments)
        if logged is not None and not self._recorder.arrived:
            self._obey()
            answer: Looped = logged.answer
            self.steps += answer.steps
            return answer
        call = self._call = _Call(arguments=arguments, rows=[], fresh=[], logged=logged)
        if logged is not None and resumed:
            call.rows = logged.answer.rows[: self._place.rows]
            call.done = call.recorded = self._place.done
            self.steps += call.done
        over = ""
        while call.done < count:
            self._obey()
            if self._cosimulation.done:
                over = "" if call.done else "The status function ended the simulation."
                break
            if self.max_steps is not None and self.steps >= self.max_steps:
                over = "The simulation time is up: SimulationTimeout was reached."
                break
            self._step(call, datapacks if call.done == 0 else [])
        looped = Looped(rows=call.rows, steps=call.done, done=self._cosimulation.done and not over, over=over)
        if logged is None or not logged.whole:
            rest = msgspec.structs.replace(looped, rows=call.fresh)
            self._recorder.journal.add(Record(name=RUN_LOOP, arguments=arguments, answer=rest))
        elif not agree(looped.to_state(), logged.answer.to_state()):
            raise self._diverged()
        self._call = None
        return looped

    def _step(self, call: _Call, datapacks: list[Any]) -> None:
        """Take one step of a call, and make a savepoint where one is due."""
        catching_up = call.catching_up
        before = self._clock()
        try:
            for name, engine, data in datapacks:
                self._cosimulation.set_datapack(name, engine, data)
            self._cosimulation.step()
            rows = self._cosimulation.take_trajectory()
        except Exception as error:
            self._broken = error
            raise
        self._seconds += self._clock() - before
        self.steps += 1
        call.done += 1
        call.rows += rows
        if not catching_up:
            call.fresh += rows
        elif not call.catching_up:  # the journal ends here, within the call
            assert call.logged is not None
            call.recorded = call.done
            if not agree(call.rows, call.logged.answer.rows):
                raise self._diverged()
        self._save_on_the_grid()

    def _diverged(self) -> ReplayMismatch:
        return ReplayMismatch(
            f"Run again from a savepoint to {self._cosimulation.time_ns} ns, the engines answered otherwise "
            f"than the journal holds (call {self._recorder.calls + 1}). The run is left as it is; serve the "
            "engines and the Python it was made with.",
            call=self._recorder.calls + 1,
        )

    def _obey(self) -> None:
        """Pause or stop if that is wanted."""
        while (control := self._keeper.control()) is Control.PAUSED:
            self._save()
            self._publish("paused")
            self._keeper.hold()
            self._publish("started")
        if control is Control.STOPPING:
            self._save()
            self._stopped = True
            raise ScriptStopped

    # Savepoints ---------------------------------------------------------------------------------------------

    def _save_on_the_grid(self) -> None:
        now = self._cosimulation.time_ns
        began, seconds = self._began
        if self._every is None and self._seconds - seconds >= MEASURED:
            self._every = self._next = now - began
        if self._next is not None and self._every is not None and now >= self._next:
            self._save()
            self._next = next_savepoint(self._every, now)

    def _save(self, *, ended: bool = False) -> None:
        """Make a savepoint with the journal up to here; not where the journal goes on already."""
        call = self._call
        if not self._recorder.live or (call is not None and call.catching_up):
            return
        journal = self._recorder.journal
        if call is not None and call.done > call.recorded:
            part = Looped(rows=call.fresh, steps=call.done)
            journal.add(Record(name=RUN_LOOP, arguments=call.arguments, answer=part, whole=False))
            call.recorded, call.fresh = call.done, []
        mark = (self._recorder.calls, 0 if call is None else call.done, ended)
        if mark == self._saved:
            return  # nothing happened since
        self._saved = mark
        entries = journal.take()
        self._opened.flush()
        place = msgspec.structs.replace(
            self._place,
            ended=ended,
            steps=self.steps,
            calls=self._recorder.calls,
            done=0 if call is None else call.done,
            rows=0 if call is None else len(call.rows),
            every=self._every,
            seconds=self._seconds,
        )
        entities = {id: encode(state) for id, state in self._cosimulation.snapshot().items()}
        entities[PLACE] = encode(place.to_state())
        entities[FILES] = encode({"log": self._log_name, "files": self._files.snapshot()})
        self._position += len(entries)
        self._keeper.append(
            entries,
            Savepoint(timestamp=self._cosimulation.time_ns, position=self._position, entities=entities),
        )

    def _put_back_files(self) -> None:
        """Make the folder what it was, now that the script has written again what it had written itself."""
        if self._past is not None:
            self._opened.flush()
            kept = decode(self._past.savepoint.entities[FILES])
            self._files.put_back(kept["files"], self._past.folder, {kept["log"]: self._log_name})
        self._log.muted = False

    # Reports ------------------------------------------------------------------------------------------------

    def _publish(self, state: str) -> None:
        self._state = state
        self._publisher.now()

    def _report(self) -> Mapping[str, Any]:
        now = self._cosimulation.time_ns
        left = None if self.plan.timeout_ns is None else max(0, self.plan.timeout_ns - now) / 1e9
        return {
            "state": self._state,
            "real_time": self._seconds,
            "simulation_time": now / 1e9,
            "time_left": left,
            "replaying": not self._recorder.live,
        }


def _run_to_the_end(nrp: Nrp) -> None:
    """Do what a main script does that is nothing but a loop."""
    with contextlib.suppress(NRPSimulationTimeout):
        while True:
            nrp.run_loop(WITHOUT_SCRIPT)
