"""``perdure doctor``: check every checksum of a store, report, and repair what replay can repair."""

from typing import Annotated

import anyio
import typer

from perdure.cli.connection import Models, StoreUrl, answer, connect
from perdure.cli.output import with_progress
from perdure.cli.runs import all_runs

__all__ = ["EXAMPLES", "doctor"]

EXAMPLES = (
    "Examples:  perdure doctor  ·  perdure doctor --dry-run  ·  perdure doctor --models my_models:catalogue"
)


def doctor(
    store: StoreUrl = None,
    models: Models = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report only; change nothing.")] = False,
) -> None:
    """Check every checksum of a store, report what is wrong, and repair what replay can repair.

    Ends with status 1 if something is wrong that wasn't repaired.
    """

    async def work() -> tuple[int, int, int]:
        checked = wrong = repaired = 0
        async with connect(store, models) as client:
            for run in with_progress([run["id"] for run in await all_runs(client)], "Checking"):
                checked += 1
                report = answer(await client.post(f"/runs/{run}/check", json={"repair": not dry_run}))
                for finding in report["findings"]:
                    wrong += 1
                    repaired += finding["repaired"]
                    outcome = "repaired" if finding["repaired"] else "NOT repaired"
                    typer.echo(f"{run}  {finding['place']}: {finding['problem']} ({outcome})")
        return checked, wrong, repaired

    checked, wrong, repaired = anyio.run(work)
    typer.echo(f"{checked} runs checked, {wrong} faults found, {repaired} repaired.")
    if wrong > repaired:
        raise typer.Exit(1)
