"""``perdure experiment``: run, new; and list, pause, start, stop, logs, trajectory, fork of a store's."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import anyio
import httpx
import typer

from perdure.cli import experiment_run
from perdure.cli.connection import StoreUrl, answer, connect
from perdure.cli.output import AsJson, moment, safe_json, say, show, table
from perdure.cli.runs import all_runs
from perdure.errors import PerdureError, WrongKind
from perdure.lifecycle import FINAL, RunState

__all__ = ["app"]

app = typer.Typer(
    help="Run experiments, and look after those of a server.", no_args_is_help=True, add_completion=False
)

RunId = Annotated[str, typer.Argument(help="The experiment's run id.", show_default=False)]

ENDED = frozenset((*FINAL, RunState.COMPLETED))  # when nothing runs any more
LOOK = 0.25  # seconds between two looks for new lines
SUFFIX = ".in"  # of the template's files, which are no modules of this package

app.command("run", epilog=experiment_run.EXAMPLES)(experiment_run.run_experiment)


@app.command("new", epilog="Example:  perdure experiment new room && perdure experiment run room")
def new_experiment(
    name: Annotated[Path, typer.Argument(help="The folder to make.", show_default=False)],
) -> None:
    """Make an experiment to start from: a room that is heated, and its thermostat."""
    try:
        name.mkdir(parents=True)
        for file in files("perdure.cli").joinpath("experiment_template").iterdir():
            if file.name.endswith(SUFFIX):
                (name / file.name.removesuffix(SUFFIX)).write_bytes(file.read_bytes())
    except FileExistsError:
        raise PerdureError(f"{str(name)!r} is there already; choose another name.") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise PerdureError(f"{str(name)!r} can't be made: {reason}. Choose another place.") from error
    say(f"Made {name}. Run it with: perdure experiment run {name}")


@app.command("list", epilog="Examples:  perdure experiment list  ·  perdure experiment list --json")
def list_experiments(store: StoreUrl = None, as_json: AsJson = False) -> None:
    """List all runs of experiments, newest first, with how far they got."""

    async def work() -> list[dict[str, Any]]:
        async with connect(store) as client:
            return await all_runs(client, "experiment")

    found = anyio.run(work)
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
def pause_experiment(run: RunId, store: StoreUrl = None) -> None:
    """Let an experiment stand still between two steps, with a savepoint."""
    _bring(run, "paused", store)


@app.command("start", epilog="Example:  perdure experiment start 0f3c…")
def start_experiment(run: RunId, store: StoreUrl = None) -> None:
    """Start an experiment, or let one that is paused go on."""
    _bring(run, "started", store)


@app.command("stop", epilog="Example:  perdure experiment stop 0f3c…")
def stop_experiment(run: RunId, store: StoreUrl = None) -> None:
    """End an experiment for good; what it wrote is kept."""
    _bring(run, "stopped", store)


@app.command(
    "logs", epilog="Examples:  perdure experiment logs 0f3c…  ·  perdure experiment logs 0f3c… --follow"
)
def show_logs(
    run: RunId,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the experiment has ended.")
    ] = False,
    store: StoreUrl = None,
) -> None:
    """Print the lines that an experiment wrote."""

    async def work() -> None:
        async with connect(store, served=follow) as client:
            after, ended = 0, False
            while not ended:
                state = (await _read(client, run))["state"]
                # Looked for before the lines are read: none comes after the end.
                ended = not follow or state in ENDED
                after = await _print_lines(client, run, after)
                if not ended:
                    await anyio.sleep(LOOK)

    anyio.run(work)


@app.command("trajectory", epilog="Example:  perdure experiment trajectory 0f3c… > rows.jsonl")
def show_trajectory(run: RunId, store: StoreUrl = None) -> None:
    """Print what an experiment's status function answered, a line of JSON for each row."""

    async def work() -> None:
        async with connect(store) as client, client.stream("GET", f"/runs/{run}/trajectory") as rows:
            if rows.is_error:
                await rows.aread()
                answer(rows)
            async for text in rows.aiter_text():
                typer.echo(safe_json(text), nl=False)

    anyio.run(work)


@app.command(
    "fork",
    epilog="Examples:  perdure experiment fork 0f3c…  ·  "
    "perdure experiment fork 0f3c… --savepoint 2000000000 --script other_script.py",
)
def fork_experiment(
    run: RunId,
    savepoint: Annotated[
        int | None, typer.Option(help="Where it begins, in simulation nanoseconds; by default the newest.")
    ] = None,
    config: Annotated[
        str | None, typer.Option(metavar="FILE", help="Another configuration of the experiment.")
    ] = None,
    script: Annotated[
        str | None, typer.Option(metavar="FILE", help="Another script, which starts at its top.")
    ] = None,
    newest: Annotated[
        bool, typer.Option("--newest", help="Take the experiment's files as they are now.")
    ] = False,
    store: StoreUrl = None,
) -> None:
    """Make a run that begins as a copy of another at a savepoint, and is paused there; print its id."""
    asked: dict[str, Any] = {"savepoint": savepoint, "configuration": config, "script": script}
    body = {name: value for name, value in asked.items() if value is not None}

    async def work() -> Any:
        async with connect(store, served=True) as client:
            await _read(client, run)
            return answer(await client.post(f"/runs/{run}/fork", json=body | {"newest": newest}))

    say(anyio.run(work)["id"])


def _bring(run: str, state: str, store: str | None) -> None:
    """Bring an experiment to a state, and say which one it is in."""

    async def work() -> Any:
        async with connect(store, served=state != "stopped") as client:
            await _read(client, run)
            return answer(await client.put(f"/runs/{run}/state", json={"state": state}))

    say(f"{run}: {anyio.run(work)['state']}")


async def _print_lines(client: httpx.AsyncClient, run: str, after: int) -> int:
    """Print the lines after a number; return the number of the last one."""
    following: int | None = after
    while following is not None:
        page = answer(await client.get(f"/runs/{run}/logs", params={"after": following}))
        for line in page["lines"]:
            say(f"{moment(line['time'])}  {line['level']:7} {line['text']}")
            after = line["number"]
        following = page["next"]
    return after


async def _read(client: httpx.AsyncClient, run: str) -> dict[str, Any]:
    """Return where a run stands; `WrongKind` for one of another kind."""
    found: dict[str, Any] = answer(await client.get(f"/runs/{run}"))
    if found["kind"] != "experiment":
        raise WrongKind(run=run, kind=found["kind"], wanted="experiments")
    return found
