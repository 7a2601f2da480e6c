"""The body of an experiment: the simulation server, which works on one run in a child process of its own.

It loads the configuration, starts the engines, stands still until the run is started, and executes the main
script. Its working folder is prepared by the server before each attempt (`Provisions`).
"""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from perdure.drivers.experiments.configuration import load
from perdure.drivers.experiments.cosimulation import CoSimulation
from perdure.drivers.experiments.keeper import Control
from perdure.drivers.experiments.plan import EndState, Past, Plan
from perdure.drivers.experiments.simulation import Simulation
from perdure.drivers.experiments.spec import ExperimentSpec
from perdure.engines.kinds import engine_kinds
from perdure.errors import PerdureError, Unavailable
from perdure.execution.context import BodyFailed, BodyInterrupted, RunContext
from perdure.run import Entry
from perdure.state.savepoint import Savepoint

__all__ = ["BODY", "FOLDER", "FOUND", "SAVED", "run"]

BODY = "perdure.drivers.experiments.body:run"
"""The name of the function with which the executor works on runs of the kind "experiment"."""

FOLDER, SAVED, FOUND = "folder", "saved", "found"
"""What it is given: the paths of its working folder, and of folders with the files that its savepoint lists:
those that had been written, and those that the script of a fork found at its top."""


def run(context: RunContext) -> None:
    """Simulate an experiment from its beginning, or from its newest savepoint, to its end."""
    spec = ExperimentSpec.from_blob(context.spec)
    folder = Path(context.given[FOLDER])
    past = None
    if context.savepoint is not None:
        saved, found = (Path(context.given[name]) for name in (SAVED, FOUND))
        past = Past(savepoint=context.savepoint, steps=context.log, folder=saved, beginning=found)
    try:
        configuration = load(folder, spec.configuration, engine_kinds(), spec.times)
        if past is None:
            for key in configuration.ignored:
                context.write_line(f"{key} is ignored: a simulation server has no display.", "warning")
        plan = Plan(
            sim_id=spec.sim_id,
            script=spec.script,
            seed=spec.seed,
            timeout=configuration.timeout,
            every=configuration.savepoint.every,
            keep=configuration.savepoint.keep,
        )
        cosimulation = CoSimulation(configuration, folder, spec.seed)
        ending = Simulation(plan, cosimulation, ContextKeeper(context), folder, past).run()
    except Unavailable as error:
        raise BodyInterrupted(f"{error.code}: {error}") from error
    except PerdureError as error:
        raise BodyFailed(error.code, str(error)) from error
    if ending.how is EndState.STOPPED and not context.stopping:
        raise BodyInterrupted("its worker has ended")
    if ending.how is EndState.FAILED:
        assert ending.error is not None, "a simulation that failed says why"
        raise BodyFailed("script_failed", ending.error.in_words, traceback=ending.error.traceback)


class ContextKeeper:
    """Keeps a simulation through its run context.

    Parameters
    ----------
    context
        The run's.
    """

    def __init__(self, context: RunContext) -> None:
        self._context = context

    def append(self, entries: Sequence[Entry], savepoint: Savepoint) -> None:
        """Make entries and a savepoint durable, all or nothing."""
        self._context.append(entries, savepoint)

    def arrived(self) -> None:
        """Have what was printed so far dropped, and this attempt's files count from now on."""
        self._context.arrived()

    def control(self) -> Control:
        """Say at once what is wanted."""
        if self._context.stopping:
            return Control.STOPPING
        if self._context.preempted:
            return Control.PREEMPTED
        return Control.PAUSED if self._context.pausing else Control.RUNNING

    def hold(self) -> None:
        """Return when something else than a pause is wanted."""
        self._context.hold()

    @property
    def watched(self) -> threading.Event:
        """Set while somebody wants to see the simulation."""
        return self._context.watched

    def show(self, view: bytes) -> None:
        """Take what somebody sees."""
        self._context.show(view)

    def progress(self, report: Mapping[str, Any]) -> None:
        """Take a report of how far it got."""
        self._context.progress(report)

    def write_line(self, text: str, level: str) -> None:
        """Take a line of the script's log."""
        self._context.write_line(text, level)

    def print_line(self, text: str, level: str) -> bool:
        """Take a line that was printed."""
        return self._context.print_line(text, level)
