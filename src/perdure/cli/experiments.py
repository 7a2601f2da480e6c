"""``perdure experiment``: runs and creates experiments, and manages those of a store or server."""

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perdure.cli import experiment_run, run_options
from perdure.cli.connection import Target, answer, on_target, with_client
from perdure.cli.groups import new_app
from perdure.cli.output import AsJson, moment, safe_json, say, show, table
from perdure.cli.run_options import label
from perdure.cli.runs import find_runs, print_lines, read_run
from perdure.drivers.experiments.file_names import CONFIGURATION, SCRIPT
from perdure.errors import ExperimentExists, PerdureError
from perdure.lifecycle import FINAL, RunStatus

if TYPE_CHECKING:
    import httpx

__all__ = ["app"]

app = new_app("Run experiments, and manage those of a server.")

RunId = Annotated[str, typer.Argument(help="The experiment's run id.", show_default=False)]
RunIds = Annotated[list[str], typer.Argument(help="The experiments' run ids.", show_default=False)]

ENDED = frozenset((*FINAL, RunStatus.COMPLETED))  # nothing runs any more in these
LOOK = 0.25  # seconds between two requests for new lines
SUFFIX = ".in"  # suffix of the template's files, so that they aren't modules of this package

app.command("run", epilog=experiment_run.EXAMPLES)(experiment_run.run_experiment)


@app.command("new", epilog="Example:  perdure experiment new room && perdure experiment run room")
def new_experiment(
    name: Annotated[Path, typer.Argument(help="The folder to create.", show_default=False)],
) -> None:
    """Create an example experiment to start from: a heated room and its thermostat."""
    from importlib.resources import files

    try:
        name.mkdir(parents=True)
        for file in files("perdure.cli").joinpath("experiment_template").iterdir():
            if file.name.endswith(SUFFIX):
                (name / file.name.removesuffix(SUFFIX)).write_bytes(file.read_bytes())
    except FileExistsError:
        raise PerdureError(f"{str(name)!r} exists already; choose another name.") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise PerdureError(f"{str(name)!r} can't be created: {reason}. Choose another path.") from error
    say(f"Created {name}. Run it with: perdure experiment run {shlex.quote(str(name))}")


@app.command(
    "send",
    epilog="Examples:  perdure experiment send pendulum  ·  perdure experiment send pendulum --replace",
)
@on_target
def send_experiment(
    target: Target,
    folder: Annotated[Path, typer.Argument(help="The experiment's folder.", show_default=False)],
    name: Annotated[
        str | None, typer.Option(help="Name of the experiment; by default that of the folder.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the experiment with this name.")
    ] = False,
) -> None:
    """Upload a folder's files to a server as an experiment, and print its name.

    Hidden files are left out. Existing runs of a replaced experiment keep its former files.
    """
    from perdure.artifacts.names import check_experiment
    from perdure.cli.experiment_folder import name_of, zipped_folder

    if not folder.is_dir():
        raise PerdureError(f"There is no folder {str(folder)!r}; name the folder of an experiment.")
    called = check_experiment(name or name_of(folder))

    with zipped_folder(folder.resolve(), partial(say, err=True)) as archive:
        content = archive.read()

    async def send(client: "httpx.AsyncClient") -> None:
        headers = {"Content-Type": "application/zip"}
        answer(await client.post("/experiments", params={"name": called}, content=content, headers=headers))

    async def work(client: "httpx.AsyncClient") -> None:
        try:
            await send(client)
        except PerdureError as error:
            if error.values.get("code") != ExperimentExists.code:
                raise
            if not replace:
                message = f"There is another experiment {called!r}; give --replace, or another --name."
                raise PerdureError(message) from None
            # The files are fine: every other error is raised before the name is checked.
            answer(await client.delete(f"/experiments/{called}"))
            await send(client)

    with_client(target, work)
    say(called)


@app.command(
    "create",
    epilog="Examples:  perdure experiment create pendulum  ·  perdure experiment create pendulum --start",
)
@on_target
def create_experiment(
    target: Target,
    name: Annotated[str, typer.Argument(help="The experiment's name.", show_default=False)],
    config: experiment_run.Config = CONFIGURATION,
    script: experiment_run.Script = SCRIPT,
    seed: experiment_run.Seed = None,
    run_name: run_options.Name = None,
    tag: run_options.Tags = None,
    start: Annotated[bool, typer.Option("--start", help="Start it at once.")] = False,
) -> None:
    """Create a run of an experiment on a server, paused at its beginning, and print its id."""
    asked: dict[str, Any] = {
        "kind": "experiment",
        "experiment": name,
        "configuration": config,
        "script": script,
        **label(run_name, tag),
    }
    if seed is not None:
        asked["seed"] = seed

    async def work(client: "httpx.AsyncClient") -> None:
        run = answer(await client.post("/runs", json=asked))
        say(run["id"])
        if run["state"] == "failed":
            raise PerdureError(f"The run couldn't be initialised: {run['reason']}")
        if start:
            answer(await client.put(f"/runs/{run['id']}/state", json={"state": "started"}))

    with_client(target, work, served=True)


@app.command("list", epilog="Examples:  perdure experiment list  ·  perdure experiment list --json")
@on_target
def list_experiments(target: Target, as_json: AsJson = False) -> None:
    """List all runs of experiments, newest first, with their progress."""
    found = find_runs(target, kind="experiment")
    if as_json:
        show(found)
    elif not found:
        say("No experiments yet.")
    else:
        rows = [
            (
                run["id"],
                run["owner"],
                run["experiment"] or "damaged, see perdure doctor",
                run["state"],
                run["attempt"],
                "" if run["progress"] is None else f"{run['progress']['simulation_time']:g} s",
                moment(run["created"]),
            )
            for run in found
        ]
        table(("ID", "OWNER", "EXPERIMENT", "STATE", "ATTEMPT", "SIMULATED", "CREATED (UTC)"), rows)


@app.command("pause", epilog="Example:  perdure experiment pause 0f3c…")
@on_target
def pause_experiments(target: Target, runs: RunIds) -> None:
    """Pause experiments between two steps, each with a savepoint."""
    _bring(target, runs, "paused")


@app.command("start", epilog="Example:  perdure experiment start 0f3c…")
@on_target
def start_experiments(target: Target, runs: RunIds) -> None:
    """Start experiments, or resume paused ones."""
    _bring(target, runs, "started")


@app.command("stop", epilog="Example:  perdure experiment stop 0f3c…")
@on_target
def stop_experiments(target: Target, runs: RunIds) -> None:
    """End experiments permanently; their files are kept."""
    _bring(target, runs, "stopped")


@app.command(
    "logs", epilog="Examples:  perdure experiment logs 0f3c…  ·  perdure experiment logs 0f3c… --follow"
)
@on_target
def show_logs(
    target: Target,
    run: RunId,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Continue until the experiment has ended.")
    ] = False,
) -> None:
    """Print the output lines of an experiment."""

    import asyncio

    async def work(client: "httpx.AsyncClient") -> None:
        after, ended = 0, False
        while not ended:
            state = (await read_run(client, run, "experiment"))["state"]
            # The state is read before the lines, since no line comes after the end.
            ended = not follow or state in ENDED
            after = await print_lines(client, run, after)
            if not ended:
                await asyncio.sleep(LOOK)

    with_client(target, work, served=follow)


@app.command("trajectory", epilog="Example:  perdure experiment trajectory 0f3c… > rows.jsonl")
@on_target
def show_trajectory(target: Target, run: RunId) -> None:
    """Print the rows that an experiment's status function returned, each as a line of JSON."""

    async def work(client: "httpx.AsyncClient") -> None:
        async with client.stream("GET", f"/runs/{run}/trajectory") as rows:
            if rows.is_error:
                await rows.aread()
                answer(rows)
            async for text in rows.aiter_text():
                typer.echo(safe_json(text), nl=False)

    with_client(target, work)


@app.command(
    "fork",
    epilog="Examples:  perdure experiment fork 0f3c…  ·  "
    "perdure experiment fork 0f3c… --savepoint 2000000000 --script other_script.py",
)
@on_target
def fork_experiment(
    target: Target,
    run: RunId,
    savepoint: Annotated[
        int | None, typer.Option(help="The savepoint, in simulation nanoseconds; by default the newest.")
    ] = None,
    config: Annotated[
        str | None, typer.Option(metavar="FILE", help="Another configuration of the experiment.")
    ] = None,
    script: Annotated[
        str | None, typer.Option(metavar="FILE", help="Another script, which starts from the top.")
    ] = None,
    newest: Annotated[
        bool, typer.Option("--newest", help="Use the current files of the experiment.")
    ] = False,
    name: run_options.Name = None,
    tag: run_options.ForkTags = None,
) -> None:
    """Create a run that begins as a copy of another at a savepoint, paused there; print its id."""
    asked: dict[str, Any] = {"savepoint": savepoint, "configuration": config, "script": script}
    body = {what: value for what, value in asked.items() if value is not None} | label(name, tag)

    async def work(client: "httpx.AsyncClient") -> Any:
        await read_run(client, run, "experiment")
        return answer(await client.post(f"/runs/{run}/fork", json=body | {"newest": newest}))

    say(with_client(target, work, served=True)["id"])


def _bring(target: Target, runs: list[str], state: str) -> None:
    """Set the desired state of experiments, and print the state of each.

    An error in one doesn't stop the others.
    """
    refused = []

    async def work(client: "httpx.AsyncClient") -> None:
        for run in runs:
            try:
                await read_run(client, run, "experiment")
                brought = answer(await client.put(f"/runs/{run}/state", json={"state": state}))
            except PerdureError as error:
                refused.append(str(error))
            else:
                say(f"{run}: {brought['state']}")

    with_client(target, work, served=state != "stopped")
    if refused:
        raise PerdureError("\n".join(refused))
