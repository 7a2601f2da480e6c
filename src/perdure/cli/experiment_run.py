"""``perdure experiment run``: one experiment in a folder, without a server, that goes on where it was left.

The store, the working folder and the results are in the folder's ``.perdure``. A call opens the store as a
server does, works on one run in a child process under a guard, and closes it again.
"""

import os
import signal
import tempfile
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import IO, Annotated, Any

import anyio
import anyio.to_thread
import typer

from perdure.api.app import create_app
from perdure.api.context import Context
from perdure.artifacts.archive import OWN
from perdure.cli.experiment_progress import ExperimentProgress
from perdure.cli.options import read_settings
from perdure.drivers.changes import changes_of
from perdure.drivers.experiments.configuration import load
from perdure.drivers.experiments.engines import engine_kinds
from perdure.drivers.experiments.requests import CONFIGURATION, SCRIPT, ExperimentView, NewExperiment
from perdure.drivers.experiments.results import NOT_STORED
from perdure.drivers.seeds import LARGEST_SEED
from perdure.errors import (
    ExperimentExists,
    PerdureError,
    ResultsPending,
    StoreUnavailable,
    TriggerRefused,
)
from perdure.lifecycle import FINAL, RunState
from perdure.observability import configure_logging
from perdure.run import Run
from perdure.scenarios import Catalogue
from perdure.stores.open import open_store
from perdure.web.auth import LOCAL

__all__ = ["EXAMPLES", "OWN", "run_experiment", "zipped"]

EXAMPLES = (
    "Examples:  perdure experiment run examples/experiments/pendulum  ·  "
    "perdure experiment run pendulum --script other_script.py  ·  perdure experiment run pendulum --watch"
)
NAME = "experiment"  # what the folder's experiment is called in its own store
INTERRUPTED = 130  # the status that shells give to what Ctrl-C ended
LOOK = 1.0  # seconds after which it is looked whether the store can be written, since no change tells that
PAGE = 1000  # lines that are read at a time
NAMED = 10  # files that are named at the end


def run_experiment(
    folder: Annotated[Path, typer.Argument(help="The experiment's folder.", show_default=False)],
    config: Annotated[
        str, typer.Option(metavar="FILE", help="The simulation configuration, a path within the folder.")
    ] = CONFIGURATION,
    script: Annotated[
        str, typer.Option(metavar="FILE", help="The main script, a path within the folder.")
    ] = SCRIPT,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, max=LARGEST_SEED, help="Of all random draws; by default one is made.", show_default=False
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Print a line of progress a second where there is no terminal.")
    ] = False,
) -> None:
    """Run the experiment in a folder to its end; no server is needed.

    What a call that was interrupted or killed left goes on from its last savepoint, if the files and options
    are the same. Everything is kept in the folder's .perdure. Ends with status 0 if the experiment completed,
    1 if it failed, 130 if it was interrupted.
    """
    if not folder.is_dir():
        raise PerdureError(
            f"There is no folder {str(folder)!r}; `perdure experiment new {folder}` makes one to start from."
        )
    load(folder, config, engine_kinds())  # what is wrong is told before anything is kept
    if script != SCRIPT and not (folder / script).is_file():
        raise PerdureError(f"There is no script {script!r} in {folder}; --script names one of its files.")
    asked = NewExperiment(experiment=NAME, configuration=config, script=script, seed=seed)
    try:
        status = anyio.run(_run, folder.resolve(), asked, watch)
    except Exception as error:
        raise _in_words(error) from None
    if status:
        raise typer.Exit(status)


def _in_words(error: Exception) -> PerdureError:
    """Return what went wrong as an error that is told in a line; of several, the first."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, PerdureError):
        return error
    return PerdureError(f"The experiment can't be run: {type(error).__name__}: {error}")


async def _run(folder: Path, asked: NewExperiment, watch: bool) -> int:
    with (
        anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
        ExperimentProgress(watch) as bar,
    ):
        async with _opened(folder) as context, anyio.create_task_group() as group:
            interrupted = anyio.Event()
            run_id, shown = await _taken_up(context, folder, asked, bar)

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
                await anyio.to_thread.run_sync(_told, context, folder, view, bar)
            else:
                bar.say("Paused, and saved. The same command goes on from here.")
            group.cancel_scope.cancel()
            return (view.run.state is not RunState.COMPLETED) if view.ended else INTERRUPTED
    bar.say("Interrupted. The same command goes on from the last savepoint.")
    return INTERRUPTED


async def _stored(context: Context, run: Run) -> None:
    """Wait until what a run wrote is stored, or that failed, which its reason says."""
    while True:
        try:
            return await context.experiments.stored(run)
        except ResultsPending:
            if NOT_STORED in (await context.experiments.view(LOCAL, run.id)).run.reason:
                return None


@asynccontextmanager
async def _opened(folder: Path) -> AsyncIterator[Context]:
    """Open the folder's own store, with what works on its runs."""
    own = folder / OWN
    settings = read_settings(store=f"sqlite:///{own / 'perdure.db'}", artifacts=str(own / "artifacts"))
    settings = settings.model_copy(update={"resume": "always", "allow_experiments": True, "run_as": None})
    configure_logging("ERROR", as_json=False)
    own.mkdir(exist_ok=True)
    store = open_store(
        settings.store,
        keep=settings.savepoint_keep,
        keep_lines=settings.max_log_lines,
        keep_bytes=settings.max_log_bytes,
    )
    try:
        app = create_app(store, Catalogue(), settings)
        async with app.router.lifespan_context(app):
            context: Context = app.state.context
            yield context
    finally:
        store.close()


async def _taken_up(
    context: Context, folder: Path, asked: NewExperiment, bar: ExperimentProgress
) -> tuple[str, int]:
    """Start the run that a former call left, or a new one; return its id and the last line it had written."""
    experiments, store = context.experiments, context.store
    same = await anyio.to_thread.run_sync(_kept, context, folder, bar)
    runs = await anyio.to_thread.run_sync(lambda: store.runs(owner=LOCAL, kind="experiment", limit=PAGE))
    for run in runs:
        if run.state in FINAL:
            continue
        view = await experiments.view(LOCAL, run.id)
        spec = view.spec
        script = asked.script if (folder / asked.script).is_file() else None
        same_options = (spec.configuration, spec.script) == (asked.configuration, script)
        if same and same_options and asked.seed in (None, spec.seed):
            lines = await anyio.to_thread.run_sync(_last_line, context, run.id)
            if run.state is not RunState.CREATED:
                await experiments.trigger(LOCAL, run.id, "started")
                bar.say(f"Going on with run {run.id} from {await _reached(context, run.id)}.")
                return run.id, lines
        with suppress(TriggerRefused):
            await experiments.trigger(LOCAL, run.id, "stopped")
        bar.say(f"Stopped run {run.id}: it was made of other files or options, or hadn't begun.")
    made = (await experiments.make(LOCAL, asked)).run
    bar.say(f"Run {made.id}")
    with suppress(TriggerRefused):  # it couldn't be initialised, and has failed
        await experiments.trigger(LOCAL, made.id, "started")
    return made.id, 0


async def _followed(
    context: Context, run_id: str, shown: int, bar: ExperimentProgress, interrupted: anyio.Event
) -> ExperimentView:
    """Show lines and progress as they come, until the run has ended, or is paused since that was asked.

    Raises `StoreUnavailable` if nothing can be kept any more; what was kept is safe.
    """
    with changes_of(context.store, run_id) as changed:
        while True:
            with anyio.move_on_after(LOOK):
                await changed.wait()
            changed.clear()
            if (reason := context.store.unavailable) is not None:
                raise StoreUnavailable(reason=reason)
            view = await context.experiments.view(LOCAL, run_id)
            while lines := await context.experiments.lines(LOCAL, run_id, shown, PAGE):
                for line in lines:
                    bar.line(line.text)
                shown = lines[-1].number
            bar.show(view.progress)
            if view.ended or (interrupted.is_set() and view.run.state is RunState.PAUSED):
                return view


async def _pause(context: Context, run_id: str) -> None:
    with suppress(TriggerRefused):  # it has ended meanwhile
        await context.experiments.trigger(LOCAL, run_id, "paused")


def _kept(context: Context, folder: Path, bar: ExperimentProgress) -> bool:
    """Keep the folder's files as the experiment; return whether they are what was kept before."""
    experiments = context.artifacts.experiments(LOCAL)
    with zipped(folder, bar.say) as archive:
        try:
            return experiments.create(NAME, archive).replayed
        except ExperimentExists:
            experiments.delete(NAME)  # a run that was made of it keeps its files
            archive.seek(0)
            return experiments.create(NAME, archive).replayed


@contextmanager
def zipped(folder: Path, say: Callable[[str], None]) -> Iterator[IO[bytes]]:
    """Yield a zip of a folder's files, but those that are hidden, or in hidden folders.

    Links are followed, but to a folder that they are in. What has a name that isn't UTF-8 is left out, which
    `say` is given a line about.
    """
    with tempfile.TemporaryFile() as archive:
        with zipfile.ZipFile(archive, "w", strict_timestamps=False) as files:
            for within, folders, names in os.walk(folder, followlinks=True):
                here = Path(within)
                # No hidden one is entered: what is in our own moves and goes meanwhile.
                seen = [name for name in sorted(folders + names) if not name.startswith(".")]
                for name in (name for name in seen if not _is_text(name)):
                    say(f"Left out {str(here / name)!r}: its name isn't UTF-8.")
                seen = [name for name in seen if _is_text(name)]
                above = [here, *(part for part in here.parents if part.is_relative_to(folder))]
                inside = [part.resolve() for part in above]
                folders[:] = [
                    name
                    for name in seen
                    if name in folders
                    and not any(part.is_relative_to((here / name).resolve()) for part in inside)
                ]
                for name in (name for name in seen if name in names):
                    path = here / name
                    if path.is_file():
                        # In one folder, which is left out, so that one of the experiment's own never is.
                        files.write(path, Path(NAME) / path.relative_to(folder))
        archive.seek(0)
        yield archive


def _is_text(name: str) -> bool:
    """Return whether a file's name is UTF-8."""
    return os.fsencode(name).decode(errors="replace") == name


def _last_line(context: Context, run_id: str) -> int:
    """Return the number of the last line that a run has written."""
    last = 0
    while lines := context.store.log_lines(run_id, last, PAGE):
        last = lines[-1].number
    return last


async def _reached(context: Context, run_id: str) -> str:
    savepoints = await context.experiments.savepoints(LOCAL, run_id)
    return f"its savepoint at {savepoints[-1].timestamp / 1e9:g} s" if savepoints else "its start"


def _told(context: Context, folder: Path, view: ExperimentView, bar: ExperimentProgress) -> None:
    """Fetch what a run wrote, and say how it ended."""
    run = view.run
    results = context.artifacts.results(LOCAL)
    stored = results.get(run.id)
    target = folder / OWN / "results" / run.id
    files = {} if stored is None else stored.files
    for path, file in files.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        with (target / path).open("wb") as copy:
            copy.writelines(results.read(run.id, file))
        if file.executable:
            (target / path).chmod((target / path).stat().st_mode | 0o111)
    if files:
        more = f", and {len(files) - NAMED} more" if len(files) > NAMED else ""
        bar.say(f"What it wrote is in {target}: {', '.join(sorted(files)[:NAMED])}{more}")
    progress: dict[str, Any] = view.progress or {"simulation_time": 0.0, "real_time": 0.0}
    told = f"{progress['simulation_time']:g} s simulated in {progress['real_time']:.1f} s"
    if run.state is RunState.COMPLETED and not run.reason:
        bar.say(f"Completed: {told}.")
    else:
        # The lines of the traceback, if it has one, are among the run's lines, and so have been shown.
        bar.say(f"perdure: {run.state.value} after {told}: {run.reason.partition(chr(10))[0]}")
