"""``perdure tasks``: list, show, cancel."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perdure.cli.connection import Target, answer, on_target, with_client
from perdure.cli.groups import new_app
from perdure.cli.output import AsJson, moment, say, show, table, with_progress
from perdure.cli.runs import find_runs, print_lines, read_run

if TYPE_CHECKING:
    import httpx

__all__ = ["app"]

app = new_app("List, show and cancel tasks.")

TaskId = Annotated[str, typer.Argument(help="The task's run id.", show_default=False)]
ENDED = ("completed", "stopped", "failed")


@app.command("list", epilog="Examples:  perdure tasks list  ·  perdure tasks list --unfinished --json")
@on_target
def list_tasks(
    target: Target,
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Only tasks that haven't ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """List all tasks, newest first, with their progress."""
    states: dict[str, Any] = {"state": "created,paused,started"} if unfinished else {}
    found = find_runs(target, kind="task", **states)
    if as_json:
        show(found)
    elif not found:
        say("No such tasks." if unfinished else "No tasks yet.")
    else:
        rows = [
            (
                task["id"],
                task["owner"],
                task["task"] or "damaged, see perdure doctor",
                task["outcome"] or task["state"],
                task["attempt"],
                _in_words(task["progress"]),
                moment(task["created"]),
            )
            for task in found
        ]
        table(("ID", "OWNER", "TASK", "STATE", "ATTEMPT", "PROGRESS", "CREATED (UTC)"), rows)


@app.command("show", epilog="Examples:  perdure tasks show 0f3c…  ·  perdure tasks show 0f3c… --logs")
@on_target
def show_task(
    target: Target,
    task: TaskId,
    logs: Annotated[bool, typer.Option("--logs", help="Print its output lines instead.")] = False,
) -> None:
    """Show everything known about a task: its input, its progress, and its result once it has ended."""

    async def work(client: "httpx.AsyncClient") -> None:
        shown = await read_run(client, task, "task")
        if logs:
            await print_lines(client, task)
            return
        if shown["state"] in ENDED:
            shown["result"] = answer(await client.get(f"/runs/{task}/result"))["result"]
        show(shown)

    with_client(target, work)


@app.command("cancel", epilog="Example:  perdure tasks cancel 0f3c…")
@on_target
def cancel_tasks(
    target: Target,
    tasks: Annotated[list[str], typer.Argument(help="The tasks' run ids.", show_default=False)],
) -> None:
    """End tasks permanently: running ones end at once, waiting ones never start."""

    async def work(client: "httpx.AsyncClient") -> None:
        for task in with_progress(tasks, "Cancelling"):
            await read_run(client, task, "task")
            ended = answer(await client.put(f"/runs/{task}/state", json={"state": "stopped"}))
            say(f"{task}: {ended['state']}")

    with_client(target, work)


def _in_words(progress: Mapping[str, Any] | None) -> str:
    return "" if progress is None else ", ".join(f"{name}={value}" for name, value in progress.items())
