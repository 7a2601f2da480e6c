"""The simulation: a script (or none) over a co-simulation, paused, stopped and resumed between any steps.

The step log of an experiment holds pages of its journal; its savepoints lie in simulation nanoseconds, each
committed together with the page that leads to it. To resume, engines are restored at once and the script
runs again from the top, answered from the journal, until it has made the calls that the savepoint holds; from
there on its calls make steps again. Should an older savepoint have to be used, the pages after it are
compared with what the steps answer.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from perdure.drivers.experiments.cosimulated import CoSimulated
from perdure.drivers.experiments.files import Files, OpenFiles
from perdure.drivers.experiments.journal import readings
from perdure.drivers.experiments.keeper import Keeper
from perdure.drivers.experiments.nrp import Nrp, NRPSimulationTimeout, Rows, ScriptStopped
from perdure.drivers.experiments.plan import Ending, EndState, Past, Plan
from perdure.drivers.experiments.printed import Printed
from perdure.drivers.experiments.publisher import Publisher
from perdure.drivers.experiments.samples import SAMPLES
from perdure.drivers.experiments.script import Script, error_in_words
from perdure.drivers.experiments.script_log import ScriptLog, log_name
from perdure.drivers.experiments.script_position import FILES, POSITION, SCRIPT, WARNED, ScriptPosition
from perdure.drivers.experiments.stepper import Stepper
from perdure.drivers.experiments.tape import Phase, Tape
from perdure.drivers.kept_parts import parts_in_words
from perdure.engines.clock_methods import ClockMethods
from perdure.engines.clocks import TICK, Polled, builtins_with, facades
from perdure.engines.warned import Modules, restore_warnings, snapshot_warnings
from perdure.errors import Unavailable
from perdure.state.codec import State, decode, pack
from perdure.times import nanoseconds

__all__ = ["Simulation"]

T = TypeVar("T")

SLICE = 0.05  # seconds that a sleeping script may take to obey
WITHOUT_SCRIPT = 1000  # steps a call, where no script makes them


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
        self._place = ScriptPosition() if past is None else ScriptPosition.read(past.savepoint)
        self._kept: Any = {} if past is None else decode(past.savepoint.entities[FILES])
        self._beginning: Any = self._kept.get("beginning")
        self._left_out: set[str] = set(self._kept.get("left_out", ()))  # and reported
        base = self._place.base
        pages = () if past is None else past.steps[base:]
        answered = 0 if past is None else past.savepoint.position - base
        self._tape = Tape(self._place, pages, answered, self._folder, self._arrive)
        self._publisher = Publisher(self._report, keeper.progress, period)
        self._stepper = Stepper(
            cosimulation,
            keeper,
            self._tape,
            self._place,
            0 if past is None else len(past.steps),
            timeout=plan.timeout,
            every=plan.every,
            keep=plan.keep,
            describe=self._describe,
            publish=self._publisher.now,
            clock=clock,
        )
        self._failure: Exception | None = None  # why it can't go on, or isn't kept any more
        self._thread = threading.get_ident()
        self._files = Files(self._folder)
        self._opened = OpenFiles(self._folder, lambda: self._script is not None and self._script.running)
        self._log_name = log_name(plan.script, plan.sim_id)
        self._log = ScriptLog(self._folder / self._log_name, keeper.write_line, muted=past is not None)
        self._polled = Polled()
        self._script: Script | None = None
        if plan.script is not None:
            modules = facades(self._read_clock, self._sleep)
            seen = partial(builtins_with, modules, ClockMethods(self._read_clock))
            self._script = Script(self._folder / plan.script, self._folder, plan.seed, seen)

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
            stack.enter_context(Printed(self._print_line))
            stack.enter_context(self._opened)
            stack.callback(self._cosimulation.close)
            stack.enter_context(self._log)
            stack.enter_context(self._publisher)
            ending = self._work()
            if ending.how is EndState.COMPLETED:
                ending = self._shut_down()
        return ending

    def _work(self) -> Ending:
        error = None
        try:
            self._begin()
            self._stepper.obey()  # nothing of the script is run before the simulation is started
            self._stepper.begin()
            nrp = Nrp(self, self.plan.sim_id)
            if self._script is None:
                _run_to_the_end(nrp)
            else:
                error = self._script.run(nrp, self._log.logger)
            if self._failure is None and self._stepper.ended is None:
                self._tape.end()
                self._stepper.save(ended=True)
        except ScriptStopped:
            pass  # the reason is one of those below
        except Exception as raised:
            if raised is not self._stepper.ended:
                raise
        if self._failure is not None:
            raise self._failure
        match self._stepper.ended:
            case ScriptStopped():
                return Ending(how=EndState.STOPPED)
            case Unavailable() as lost:
                raise lost
            case Exception() as broken:
                error = error_in_words(broken, self._folder)
        return Ending(how=EndState.COMPLETED if error is None else EndState.FAILED, error=error)

    def _begin(self) -> None:
        """Start the engines, and make savepoint 0 or go to the one that there is."""
        past = {} if self._past is None else self._past.savepoint.entities
        entities = {id: decode(blob) for id, blob in past.items() if id not in (POSITION, FILES, WARNED)}
        try:
            self._cosimulation.initialize(entities)
        except Exception as error:
            self._stepper.ended = error
            raise ScriptStopped from error
        if self._past is None:
            self._tape.begin()
            self._stepper.save()
        else:
            self._place.check_hash_seed()
            later = self._past.steps[self._past.savepoint.position :]
            self._cosimulation.restore(entities, readings(later))
            self._lay_beginning()
            self._tape.begin()

    def _shut_down(self) -> Ending:
        """Close the engines of a simulation that came to its end; an engine may fail even then."""
        try:
            self._cosimulation.close()
        except Exception as error:
            return Ending(how=EndState.FAILED, error=error_in_words(error, self._folder))
        return Ending(how=EndState.COMPLETED)

    # What a script calls ------------------------------------------------------------------------------------

    # All of it is in the journal: a fork may have another time-out, and other timesteps.

    def max_timesteps(self) -> int:
        """How many timesteps the time-out allows; 0 without one."""
        most = (self.plan.timeout or Fraction(0)) // self._cosimulation.timestep
        return int(self._read_clock("nrp.max_timesteps", most))

    def simulation_time(self) -> float:
        """Simulation time reached, in seconds."""
        return float(self._read_clock("nrp.simulation_time", _shown(self._cosimulation.time)))

    def simulation_time_remaining(self) -> float:
        """Simulation time left, in seconds, as far as it is whole timesteps; infinite without a time-out."""
        steps = self._stepper.left
        left = float("inf") if steps is None else _shown(steps * self._cosimulation.timestep)
        return float(self._read_clock("nrp.simulation_time_remaining", left))

    def real_time(self) -> float:
        """Seconds spent in steps."""
        return float(self._read_clock("nrp.real_time", self._stepper.watch.seconds))

    def run_loop(self, count: int, datapacks: list[Any]) -> tuple[bool, Rows]:
        """Take timesteps, or answer what they answered before; see `Nrp.run_loop`."""
        if threading.get_ident() != self._thread:
            raise RuntimeError("run_loop was called in another thread than the script's own; call it there.")
        looped = self._called(self._stepper.loop, count, datapacks)
        if looped.steps:
            self._polled.over()
        if looped.done and not looped.steps:
            raise NRPSimulationTimeout("The status function ended the simulation.")
        if not looped.done and looped.steps < count:
            raise NRPSimulationTimeout("The simulation time is up: SimulationTimeout was reached.")
        return looped.done, looped.rows

    def _read_clock(self, name: str, reading: Any) -> Any:
        """Return the reading that counts: the journal's where the script is replayed."""
        if not self._asked_by_script():
            return reading
        counts = self._polled.reading(name, reading)
        return self._called(self._tape.call, name, [], lambda _: counts, aside=False)

    def _sleep(self, seconds: float) -> None:
        """Sleep for a script, except in a replay; it can be paused and stopped meanwhile."""
        if not self._asked_by_script():
            time.sleep(seconds)
            return

        def sleep(_: Any) -> None:
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                time.sleep(min(left, SLICE))
                self._stepper.obey()

        if seconds >= TICK:
            self._polled.over()
        self._called(self._tape.call, "time.sleep", [seconds], sleep)

    def _asked_by_script(self) -> bool:
        return (
            self._script is not None
            and self._script.running
            and self._failure is None
            and threading.get_ident() == self._thread
        )

    def _called(self, answer: Callable[..., T], *given: Any, aside: bool = True) -> T:
        """Answer a call: what goes wrong ends the script, but an engine's error, which it may look at.

        If the journal is full a savepoint is made first: when the script runs again it will have come to
        this very call.
        """
        if self._failure is not None or self._stepper.ended is not None:
            raise ScriptStopped
        full = self._tape.journal.full
        # Where the script arrives files are put back, which isn't its doing.
        script = self._script if aside or full or self._tape.arriving else None
        if script is not None:
            script.leave()
        try:
            if full:
                self._stepper.save()
            return answer(*given)
        except Exception as error:
            if error is self._stepper.ended:
                raise
            self._failure = error
            raise ScriptStopped from error
        finally:
            if script is not None:
                script.enter()

    # Files and reports --------------------------------------------------------------------------------------

    def _print_line(self, text: str, level: str) -> bool:
        """Pass a printed line on; in a replay it goes through the pipe, where the server drops it."""
        return not self._log.muted and self._keeper.print_line(text, level)

    def _describe(self) -> Mapping[str, State]:
        return {FILES: self._describe_files(), WARNED: snapshot_warnings(self._own_modules())}

    def _own_modules(self) -> Modules:
        """Return the modules that the script, engines and functions have each of their own."""
        script = {} if self._script is None else {SCRIPT: self._script.modules}
        return {**self._cosimulation.modules, **script}

    def _describe_files(self) -> State:
        self._opened.flush()
        scripts: list[State] = [*sorted({self._log_name, *self._opened.scripts})]
        files = self._files.snapshot()
        self._tell_left_out()
        left_out: list[State] = [*sorted(self._left_out)]
        modules: list[State] = [] if self._script is None else [*sorted(self._script.module_files)]
        return {
            "log": self._log_name,
            "files": files,
            "left_out": left_out,
            "scripts": scripts,
            "modules": modules,
            "beginning": self._beginning,
        }

    def _tell_left_out(self) -> None:
        """Say of what savepoints can't name that they lack it, once: what a script wrote it writes again."""
        left_out = {quote(os.fsencode(name)) for name in self._files.left_out}
        for name in sorted(left_out - self._left_out):
            self._keeper.write_line(f"Left out of savepoints: {name}, since its name isn't UTF-8.", "warning")
        self._left_out |= left_out

    def _arrive(self) -> None:
        """Make the folder what it was, now that the script has written and said again what it had itself."""
        if self._past is not None:
            self._opened.flush()
            files = self._kept["files"]
            # What engines had written by savepoint 0 they have written again when they started.
            again = self._kept["scripts"] if self._past.savepoint.timestamp else files["written"]
            self._files.put_back(files, self._past.folder, again)
            if WARNED in self._past.savepoint.entities:
                restore_warnings(decode(self._past.savepoint.entities[WARNED]), self._own_modules())
            self._keeper.arrived()
            self._log.muted = False

    def _lay_beginning(self) -> None:
        """Let a fork's script find at its top what it found there when it ran for the first time."""
        if self._past is not None and self._beginning is not None and self._place.begun:
            self._opened.flush()
            self._files.put_back(self._beginning["files"], self._past.beginning)

    def _report(self) -> Mapping[str, Any]:
        timestep, now = self._cosimulation.timestep, self._cosimulation.time
        left = self._stepper.left
        steps = now // timestep
        most = None if left is None else steps + left
        return {
            "real_time": self._stepper.watch.seconds,
            "simulation_time": _shown(now),
            "time_left": None if left is None else _shown(left * timestep),
            "steps": steps,
            "max_steps": most,
            "fraction": None if most is None else steps / most if most else 1.0,
            SAMPLES: pack(self._cosimulation.samples),
            "replaying": self._tape.phase is not Phase.RECORDING,
            "parts": parts_in_words(self._cosimulation.kept),
        }


def _shown(time: Fraction) -> float:
    """Return a time as it is shown: in seconds, rounded to nanoseconds."""
    return nanoseconds(time) / 1e9


def _run_to_the_end(nrp: Nrp) -> None:
    """Do what a main script does that is nothing but a loop."""
    with contextlib.suppress(NRPSimulationTimeout):
        while True:
            nrp.run_loop(WITHOUT_SCRIPT)
