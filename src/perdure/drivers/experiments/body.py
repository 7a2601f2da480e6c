"""The body of an experiment: the simulation server, which works on one run in a child process of its own.

It loads the configuration, starts the engines, stands still until the run is started, and executes the main
script. Its working folder is prepared by the server before each attempt (`Provisions`).
"""

from pathlib import Path

from perdure.drivers.experiments.configuration import load
from perdure.drivers.experiments.cosimulation import CoSimulation
from perdure.drivers.experiments.plan import EndState, Past, Plan
from perdure.drivers.experiments.simulation import Simulation
from perdure.drivers.experiments.spec import ExperimentSpec
from perdure.engines.kinds import engine_kinds
from perdure.errors import PerdureError, Unavailable
from perdure.execution.context import BodyFailed, BodyInterrupted, RunContext

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
        ending = Simulation(plan, cosimulation, context, folder, past).run()
    except Unavailable as error:
        raise BodyInterrupted(f"{error.code}: {error}") from error
    except PerdureError as error:
        raise BodyFailed(error.code, str(error)) from error
    if ending.how is EndState.STOPPED and not context.stopping:
        raise BodyInterrupted("its worker has ended")
    if ending.how is EndState.FAILED:
        assert ending.error is not None, "a simulation that failed says why"
        raise BodyFailed("script_failed", ending.error.in_words, traceback=ending.error.traceback)
