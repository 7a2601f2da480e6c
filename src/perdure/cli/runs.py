"""``perdure runs``: list, show, edit, fork, upgrade, delete, prune."""

from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perdure.cli import run_options
from perdure.cli.connection import Models, Target, answer, ask, on_target, with_client
from perdure.cli.groups import new_app
from perdure.cli.output import AsJson, moment, say, show, table, with_progress
from perdure.cli.run_options import label, unix_time
from perdure.errors import ModelUnchanged, PerdureError, WrongKind

if TYPE_CHECKING:
    import httpx

__all__ = ["all_runs", "app", "find_runs", "print_lines", "read_run"]

app = new_app("List, show, edit, fork, upgrade, delete and prune runs.")

PAGE = 1000  # runs in a request
PIECE = 20  # runs that a request deletes

Prune = Callable[..., Awaitable[dict[str, Any]]]

RunId = Annotated[str, typer.Argument(help="The run's id.", show_default=False)]


@app.command(
    "list",
    epilog="Examples:  perdure runs list  ·  "
    "perdure runs list --tag nightly --state failed --created-after 7d  ·  "
    "perdure runs list --search flood --sort=-updated --limit 20  ·  "
    "perdure runs list --json | jq '.[].id'",
)
@on_target
def list_runs(
    target: Target,
    kind: run_options.Kind = None,
    state: run_options.States = None,
    tag: run_options.Tagged = None,
    name: run_options.NameBegins = None,
    search: run_options.Search = None,
    owner: run_options.Owner = None,
    created_after: run_options.CreatedAfter = None,
    created_before: run_options.CreatedBefore = None,
    updated_after: run_options.UpdatedAfter = None,
    updated_before: run_options.UpdatedBefore = None,
    sort: run_options.Sort = "-created",
    limit: run_options.Limit = None,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first: all, or those that match every given option.

    A time is a date in UTC, such as 2026-11-29 or 2026-11-29T18:30, or an age, such as 90m, 12h, 7d or 2w.
    """
    times = {
        "created_after": created_after,
        "created_before": created_before,
        "updated_after": updated_after,
        "updated_before": updated_before,
    }
    asked: dict[str, Any] = {
        "kind": kind,
        "state": ",".join(each.value for each in state) if state else None,
        "tag": ",".join(tag) if tag else None,
        "name": name,
        "q": search,
        "owner": owner,
        "sort": sort,
        **{what: unix_time(text, f"--{what.replace('_', '-')}") for what, text in times.items()},
    }
    given = {what: value for what, value in asked.items() if value is not None}

    found = find_runs(target, limit, **given)
    if as_json:
        show(found)
    elif not found:
        say("No such runs." if given.keys() > {"sort"} else "No runs yet.")
    else:
        rows = [
            (
                run["id"],
                run["name"],
                " ".join(run["tags"]),
                run["owner"],
                run["state"],
                run.get("step", ""),
                _made_of(run),
                moment(run["created"]),
            )
            for run in found
        ]
        table(("ID", "NAME", "TAGS", "OWNER", "STATE", "STEP", "MADE OF", "CREATED (UTC)"), rows)


@app.command("show", epilog="Example:  perdure runs show 0f3c…")
@on_target
def show_run(target: Target, run: RunId) -> None:
    """Show everything known about a run."""
    show(ask(target, "GET", f"/runs/{run}"))


@app.command(
    "edit",
    epilog="Examples:  perdure runs edit 0f3c… --name 'Flood of 2002'  ·  "
    "perdure runs edit 0f3c… --add-tag published --remove-tag draft",
)
@on_target
def edit_runs(
    target: Target,
    runs: Annotated[list[str], typer.Argument(help="The runs' ids.", show_default=False)],
    name: Annotated[
        str | None, typer.Option(help="Name of the runs; '' removes it.", show_default=False)
    ] = None,
    add_tag: run_options.AddedTags = None,
    remove_tag: run_options.RemovedTags = None,
) -> None:
    """Change the name and the tags of runs, in any state."""
    asked = {"name": name, "add_tags": add_tag, "remove_tags": remove_tag}
    given = {what: value for what, value in asked.items() if value not in (None, [])}
    if not given:
        raise PerdureError("Give --name, --add-tag or --remove-tag.")

    async def work(client: "httpx.AsyncClient") -> None:
        for run in with_progress(runs, "Changing"):
            edited = answer(await client.patch(f"/runs/{run}", json=given))
            say(f"{run}: {edited['name']!r}, {' '.join(edited['tags']) or 'no tags'}")

    with_client(target, work)


@app.command(
    "fork",
    epilog="Examples:  perdure runs fork 0f3c… --step 20  ·  perdure runs fork 0f3c… --seed 1 --seed 2  ·  "
    "perdure runs fork 0f3c… --stoptime 200",
)
@on_target
def fork_run(
    target: Target,
    run: RunId,
    step: Annotated[int | None, typer.Option(help="Fork after this step; by default the last.")] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(help="Another seed; given several times, one fork for each.", show_default=False),
    ] = None,
    stoptime: Annotated[
        float | None, typer.Option(help="Stop time of its scenarios; by default that of the other run.")
    ] = None,
    name: run_options.Name = None,
    tag: run_options.ForkTags = None,
    models: Models = None,
) -> None:
    """Create new runs that begin as copies of another, all of them or none, and print their ids."""
    alike = {what: value for what, value in (("step", step), ("stoptime", stoptime)) if value is not None}
    alike |= label(name, tag)
    seeds = [alike | {"seed": each} for each in seed or []]

    if len(seeds) > 1:
        made = ask(target, "POST", f"/runs/{run}/forks", models=models, json={"forks": seeds})["runs"]
    else:
        asked = seeds[0] if seeds else alike
        made = [ask(target, "POST", f"/runs/{run}/fork", models=models, json=asked)]
    for fork in made:
        say(fork["id"])


@app.command("upgrade", epilog="Examples:  perdure runs upgrade 0f3c…  ·  perdure runs upgrade --all")
@on_target
def upgrade_runs(
    target: Target,
    runs: Annotated[list[str] | None, typer.Argument(help="The runs' ids.", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="All runs that haven't ended.")] = False,
    models: Models = None,
) -> None:
    """Upgrade runs to the current version of their model, with the model's upgrade function."""
    if bool(runs) == every:
        raise PerdureError("Name the runs to upgrade, or give --all.")

    async def work(client: "httpx.AsyncClient") -> int:
        sessions = [] if runs else await all_runs(client, kind="session")
        ids = runs or [run["id"] for run in sessions if run["outcome"] is None]
        failed = 0
        for run in with_progress(ids, "Upgrading"):
            try:
                done = answer(await client.post(f"/runs/{run}/upgrade"))
            except PerdureError as error:
                if every and error.values.get("code") == ModelUnchanged.code:
                    say(f"{run}: unchanged")
                    continue
                failed += 1
                say(f"{run}: {error}", err=True)
            else:
                say(f"{run}: upgraded, {done['replayed']} steps replayed with the new model")
        return failed

    if with_client(target, work, models):
        raise typer.Exit(1)


@app.command("delete", epilog="Example:  perdure runs delete 0f3c… --yes")
@on_target
def delete_runs(
    target: Target,
    runs: Annotated[list[str], typer.Argument(help="The runs' ids.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Delete runs with all their steps and results."""
    if not yes:
        typer.confirm(f"Delete {len(runs)} run(s) permanently?", abort=True)

    async def work(client: "httpx.AsyncClient") -> None:
        for run in with_progress(runs, "Deleting"):
            answer(await client.delete(f"/runs/{run}"))
            say(f"{run}: deleted")

    with_client(target, work)


@app.command(
    "prune",
    epilog="Examples:  perdure runs prune --older 30d --kind task --dry-run  ·  "
    "perdure runs prune --older 2025-12-31 --yes",
)
@on_target
def prune_runs(
    target: Target,
    older: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="Only runs that ended earlier: an age or a date.", show_default=False
        ),
    ],
    kind: run_options.Kind = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the runs, and delete nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Delete runs that ended long ago, with all their steps, results and files.

    Unfinished runs, and sessions of BPTK instances, are never deleted. A time is a date in UTC, such as
    2026-11-29 or 2026-11-29T18:30, or an age, such as 90m, 12h, 7d or 2w.
    """
    asked: dict[str, Any] = {"ended_before": unix_time(older, "--older"), "kind": kind}

    async def work(client: "httpx.AsyncClient") -> int:

        async def pruned(**more: Any) -> dict[str, Any]:
            page: dict[str, Any] = answer(await client.post("/prune", json=asked | more))
            return page

        found, kept = await _to_prune(pruned)
        for run in kept:
            say(f"{run['id']}: kept, {run['reason']}", err=True)
        if not found:
            say("No such runs.")
            return 0
        if dry_run:
            for run in found:
                say(f"{run['id']}: {run['kind']} of {run['owner']}, ended {moment(run['ended'])}")
            say(f"{len(found)} run(s) would be deleted.")
            return 0
        if not yes:
            typer.confirm(f"Delete {len(found)} run(s) permanently?", abort=True)
        return await _pruned(pruned, len(found) + len(kept), {run["id"] for run in kept})

    if with_client(target, work):
        raise typer.Exit(1)


async def _to_prune(prune: Prune) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the runs that would be deleted, and those that match and are kept."""
    found: list[dict[str, Any]] = []
    kept: list[dict[str, Any]] = []
    more: dict[str, Any] = {"dry_run": True, "limit": PAGE}
    while True:
        page = await prune(**more)
        found += page["runs"]
        kept += page["kept"]
        if page["next"] is None:
            return found, kept
        more["cursor"] = page["next"]


async def _pruned(prune: Prune, matching: int, kept: Collection[str]) -> int:
    """Delete the matching runs, and print them; return how many were neither deleted nor kept before."""
    deleted = failed = 0
    more: dict[str, Any] = {"limit": PIECE}
    for _ in with_progress(range(matching // PIECE + 1), "Deleting"):
        page = await prune(**more)
        for run in page["runs"]:
            say(f"{run['id']}: deleted")
        for run in page["kept"]:
            if run["id"] not in kept:
                failed += 1
                say(f"{run['id']}: kept, {run['reason']}", err=True)
        deleted += len(page["runs"])
        more["cursor"] = page["next"]
        if page["next"] is None:
            break
    say(f"{deleted} run(s) deleted.")
    return failed


def find_runs(target: Target, limit: int | None = None, **params: Any) -> list[dict[str, Any]]:
    """Return the runs of a target that `all_runs` returns."""

    async def work(client: "httpx.AsyncClient") -> list[dict[str, Any]]:
        return await all_runs(client, limit, **params)

    return with_client(target, work)


async def all_runs(
    client: "httpx.AsyncClient", limit: int | None = None, **params: Any
) -> list[dict[str, Any]]:
    """Return the runs that match parameters of `GET /runs`, at most `limit`, page by page."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        size = PAGE if limit is None else min(PAGE, limit - len(found))
        page = answer(await client.get("/runs", params={"limit": size, **params, **cursor}))
        found += page["runs"]
        if page["next"] is None or len(found) == limit:
            return found
        cursor["cursor"] = page["next"]


async def read_run(client: "httpx.AsyncClient", run: str, kind: str) -> dict[str, Any]:
    """Return a run; raise `WrongKind` for one of another kind."""
    found: dict[str, Any] = answer(await client.get(f"/runs/{run}"))
    if found["kind"] != kind:
        raise WrongKind(run=run, kind=found["kind"], wanted=f"{kind}s")
    return found


async def print_lines(client: "httpx.AsyncClient", run: str, after: int = 0) -> int:
    """Print the output lines after a number; return the number of the last one."""
    following: int | None = after
    while following is not None:
        page = answer(await client.get(f"/runs/{run}/logs", params={"after": following}))
        for line in page["lines"]:
            say(f"{moment(line['time'])}  {line['level']:7} {line['text']}")
            after = line["number"]
        following = page["next"]
    return after


def _made_of(run: dict[str, Any]) -> str:
    if run["damage"] is not None:
        return "damaged, see perdure doctor"
    if run["kind"] == "task":
        return f"task {run['task']}"
    if run["kind"] == "experiment":
        return f"experiment {run['experiment']}"
    names = [f"{manager}/{name}" for manager, names in run["scenarios"].items() for name in names]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
