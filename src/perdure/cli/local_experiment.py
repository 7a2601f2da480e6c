"""Runs one experiment in a folder without a server, and resumes it where it was left.

The store, the working folder and the results are in the folder's ``.perdure``. A call opens the store as a
server does, works on one run in a child process under a guard, and closes the store again.
"""

import shlex
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from perdure.api.app import create_app
from perdure.artifacts import FileSet
from perdure.artifacts.archive import OWN
from perdure.artifacts.fileset import same_content
from perdure.cli.experiment_folder import name_of, zipped_folder
from perdure.cli.experiment_progress import ExperimentProgress
from perdure.cli.options import read_settings
from perdure.drivers.experiments.configuration import load
from perdure.drivers.experiments.experiment_requests import ExperimentView, NewExperiment
from perdure.drivers.experiments.file_names import SCRIPT
from perdure.drivers.experiments.results import NOT_STORED
from perdure.drivers.labels import relabel
from perdure.engines.kinds import engine_kinds
from perdure.errors import (
    ExperimentExists,
    PerdureError,
    ResultsPending,
    StoreUnavailable,
    TriggerRefused,
)
from perdure.lifecycle import FINAL, RunStatus
from perdure.observability import configure_logging
from perdure.run import NO_LABEL, LabelChange, Run
from perdure.scenarios import Catalogue
from perdure.stores.open import open_configured
from perdure.stores.run_list import RunFilter
from perdure.web.auth import LOCAL
from perdure.web.services import AppServices

__all__ = ["how_far", "run_folder"]

INTERRUPTED = 130  # the shells' exit status for Ctrl-C
LOOK = 1.0  # seconds between two checks whether the store can be written, which no change reports
PAGE = 1000  # lines read at a time
NAMED = 10  # files that the last message names


def run_folder(
    folder: Path,
    config: str,
    script: str,
    seed: int | None,
    watch: bool,
    name: str | None = None,
    tags: list[str] | None = None,
) -> int:
    """Run the experiment in a folder to its end, and return the exit status.

    Parameters
    ----------
    config, script
        The simulation configuration and the main script, paths within the folder.
    seed
        Seed of all random draws; None makes one, or keeps that of a resumed run.
    watch
        Whether progress is printed line by line without a terminal.
    name, tags
        Name and tags of the run; None keeps those of a resumed run.

    Raises
    ------
    PerdureError
        If it can't be run.
    """
    if not folder.is_dir():
        making = f"perdure experiment new {shlex.quote(str(folder))}"
        raise PerdureError(
            f"There is no folder {str(folder)!r}; `{making}` creates an example to start from."
        )
    label = LabelChange(name=name, tags=None if tags is None else tuple(tags))
    label.of(NO_LABEL)
    load(folder, config, engine_kinds())  # raises errors before anything is stored
    if script != SCRIPT and not (folder / script).is_file():
        raise PerdureError(f"There is no script {script!r} in {folder}; --script names one of its files.")
    asked = NewExperiment(experiment=name_of(folder), configuration=config, script=script, seed=seed)
    try:
        return anyio.run(_run, folder.resolve(), asked, label, watch)
    except Exception as error:
        raise _in_words(error) from None


def _in_words(error: Exception) -> PerdureError:
    """Convert an error, or the first of several, into an error with one line."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, PerdureError):
        return error
    return PerdureError(f"The experiment can't be run: {type(error).__name__}: {error}")


async def _run(folder: Path, asked: NewExperiment, label: LabelChange, watch: bool) -> int:
    with (
        anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
        ExperimentProgress(watch) as bar,
    ):
        async with _opened(folder) as context, anyio.create_task_group() as group:
            interrupted = anyio.Event()
            run_id, shown = await _taken_up(context, folder, asked, label, bar)

            async def obey() -> None:
                async for _ in signals:
                    if interrupted.is_set():
                        group.cancel_scope.cancel()
                    interrupted.set()
                    group.start_soon(_pause, context, run_id)

            group.start_soon(obey)
            view = await _followed(context, run_id, shown, bar, interrupted)
            if view.ended:
                await _stored(context, view.run)
                view = await context.experiments.view(LOCAL, run_id)
                saved = await _reached(context, run_id)
                await anyio.to_thread.run_sync(_report_end, context, folder, view, saved, bar)
            else:
                bar.say("Paused, and saved. The same command resumes from here.")
            group.cancel_scope.cancel()
            return (view.run.state is not RunStatus.COMPLETED) if view.ended else INTERRUPTED
    bar.say("Interrupted. The same command resumes from the last savepoint.")
    return INTERRUPTED


async def _stored(context: AppServices, run: Run) -> None:
    """Wait until a run's files are stored, or until that has failed; then the run's reason says so."""
    while True:
        try:
            await context.experiments.stored(run)
            return
        except ResultsPending:
            if NOT_STORED in (await context.experiments.view(LOCAL, run.id)).run.reason:
                return


@asynccontextmanager
async def _opened(folder: Path) -> AsyncIterator[AppServices]:
    """Open the folder's own store and a worker for its run."""
    own = folder / OWN
    settings = read_settings(store=str(own / "perdure.db"), artifacts=str(own / "artifacts"))
    # Settings in the environment for a server, its store and its workers don't apply to the folder's store.
    own_settings = {"resume": "always", "allow_experiments": True, "run_as": None, "keep_finished": {}}
    own_places = {"store_listen": None, "broker": None, "working_folders": None}
    settings = settings.model_copy(update=own_settings | own_places)
    configure_logging("ERROR", as_json=False)
    own.mkdir(exist_ok=True)
    with closing(open_configured(settings)) as store:
        app = create_app(store, Catalogue(), settings, dialects=())
        async with app.router.lifespan_context(app):
            context: AppServices = app.state.services
            yield context


async def _taken_up(
    context: AppServices, folder: Path, asked: NewExperiment, label: LabelChange, bar: ExperimentProgress
) -> tuple[str, int]:
    """Resume the run that an earlier call left, or start a new one.

    Return its id and its last line number.
    """
    experiments, store = context.experiments, context.store
    kept = await anyio.to_thread.run_sync(_kept, context, folder, asked.experiment, bar)
    unfinished = RunFilter(owner=LOCAL, kind="experiment", states=frozenset(RunStatus) - FINAL)
    for run in await anyio.to_thread.run_sync(lambda: store.runs(unfinished, limit=PAGE)):
        view = await experiments.view(LOCAL, run.id)
        spec = view.spec
        script = asked.script if (folder / asked.script).is_file() else None
        of_run = await anyio.to_thread.run_sync(
            context.artifacts.experiments(LOCAL).version, spec.experiment, spec.version
        )
        same_options = (spec.configuration, spec.script) == (asked.configuration, script)
        if same_content(of_run.content, kept.content) and same_options and asked.seed in (None, spec.seed):
            lines = await anyio.to_thread.run_sync(_last_line, context, run.id)
            if run.state is not RunStatus.CREATED:
                await relabel(store, LOCAL, run.id, label)
                await experiments.trigger(LOCAL, run.id, "started")
                saved = await _reached(context, run.id)
                place = "its start" if saved is None else f"its savepoint at {saved:g} s"
                bar.say(f"Resuming run {run.id} from {place}.")
                return run.id, lines
        with suppress(TriggerRefused):
            await experiments.trigger(LOCAL, run.id, "stopped")
        bar.say(f"Stopped run {run.id}: it has other files or options, or hadn't begun.")
    made = (await experiments.make(LOCAL, asked, label=label.of(NO_LABEL))).run
    bar.say(f"Run {made.id}")
    with suppress(TriggerRefused):  # its initialisation has failed
        await experiments.trigger(LOCAL, made.id, "started")
    return made.id, 0


async def _followed(
    context: AppServices, run_id: str, shown: int, bar: ExperimentProgress, interrupted: anyio.Event
) -> ExperimentView:
    """Show lines and progress until the run has ended, or has paused after an interrupt.

    Raises `StoreUnavailable` if nothing can be stored any more; what was stored is safe.
    """
    with context.feed.subscribe(run_id) as changes:
        while True:
            changes.take()
            if (reason := context.store.unavailable) is not None:
                raise StoreUnavailable(reason=reason)
            view = await context.experiments.view(LOCAL, run_id)
            while lines := await context.experiments.lines(LOCAL, run_id, shown, PAGE):
                for line in lines:
                    bar.line(line.text)
                shown = lines[-1].number
            bar.show(view.progress)
            if view.ended or (interrupted.is_set() and view.run.state is RunStatus.PAUSED):
                return view
            with anyio.move_on_after(LOOK):
                await changes.wait()


async def _pause(context: AppServices, run_id: str) -> None:
    with suppress(TriggerRefused):  # the run has ended meanwhile
        await context.experiments.trigger(LOCAL, run_id, "paused")


def _kept(context: AppServices, folder: Path, name: str, bar: ExperimentProgress) -> FileSet:
    """Store the folder's files as the only experiment; runs of an earlier one keep their files."""
    experiments = context.artifacts.experiments(LOCAL)
    for other in experiments.all():  # of an earlier name of the folder
        if other.name != name:
            experiments.delete(other.name)
    with zipped_folder(folder, bar.say) as archive:
        try:
            return experiments.create(name, archive).files
        except ExperimentExists:
            experiments.delete(name)
            archive.seek(0)
            return experiments.create(name, archive).files


def how_far(progress: Mapping[str, Any] | None, saved: float | None) -> str:
    """Return a text with the progress of a run.

    Parameters
    ----------
    progress
        Its last report; None if there is none.
    saved
        The simulation time of its newest savepoint. A replay that fails before it has reported less, or
        nothing.
    """
    reached = 0.0 if progress is None else progress["simulation_time"]
    if saved is not None and saved > reached:
        return f"{saved:g} s simulated"
    took = 0.0 if progress is None else progress["real_time"]
    return f"{reached:g} s simulated in {took:.1f} s"


def _last_line(context: AppServices, run_id: str) -> int:
    """Return the number of the last output line of a run."""
    last = 0
    while lines := context.store.log_lines(run_id, last, PAGE):
        last = lines[-1].number
    return last


async def _reached(context: AppServices, run_id: str) -> float | None:
    """Return the simulation time of a run's newest savepoint, in seconds."""
    savepoints = await context.experiments.savepoints(LOCAL, run_id)
    return savepoints[-1].timestamp / 1e9 if savepoints else None


def _report_end(
    context: AppServices, folder: Path, view: ExperimentView, saved: float | None, bar: ExperimentProgress
) -> None:
    """Fetch a run's files, and print how it ended; `saved` is the time of its newest savepoint."""
    run = view.run
    results = context.artifacts.results(LOCAL)
    stored = results.get(run.id)
    target = folder / OWN / "results" / run.id
    files = {} if stored is None else stored.files
    for path in () if stored is None else stored.folders:
        (target / path).mkdir(parents=True, exist_ok=True)
    for path, file in files.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        with (target / path).open("wb") as copy:
            copy.writelines(results.read(run.id, file))
        if file.executable:
            (target / path).chmod((target / path).stat().st_mode | 0o111)
    if files:
        more = f", and {len(files) - NAMED} more" if len(files) > NAMED else ""
        bar.say(f"Its files are in {target}: {', '.join(sorted(files)[:NAMED])}{more}")
    progress = how_far(view.progress, saved)
    if run.state is RunStatus.COMPLETED and not run.reason:
        bar.say(f"Completed: {progress}.")
    else:
        # A traceback is among the run's output lines, so it has been shown.
        bar.say(f"perdure: {run.state.value} after {progress}: {run.reason.partition(chr(10))[0]}")
