"""``perdure doctor``: checks a store and its runs, reports damage, repairs what a replay can repair."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from perdure.cli.connection import Models, StoreUrl, Target, answer, with_client
from perdure.cli.groups import new_app
from perdure.cli.output import say, with_progress
from perdure.cli.runs import all_runs
from perdure.errors import PerdureError

if TYPE_CHECKING:
    import httpx

__all__ = ["app", "doctor"]

_EXAMPLES = (
    "Examples:  perdure doctor  ·  perdure doctor --dry-run  ·  perdure doctor --models my_models:catalogue"
)


app = new_app()


@app.command(epilog=_EXAMPLES)
def doctor(
    store: StoreUrl = None,
    models: Models = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report only; change nothing.")] = False,
) -> None:
    """Check a store, report damage, and repair what a replay can repair.

    The exit status is 1 if damage remains.
    """
    tally = Tally()

    async def work(client: "httpx.AsyncClient") -> None:
        for _ in with_progress(["store"], "Checking the store"):
            with tally.failing("store"):
                found = answer(await client.post("/check", json={"repair": not dry_run}))
                for problem in found["repaired"]:
                    tally.add("store", problem, repaired=True)
                for problem in found["problems"]:
                    tally.add("store", problem)
        runs: list[str] = []
        with tally.failing("store"):
            runs = [run["id"] for run in await all_runs(client)]
        for run in with_progress(runs, "Checking the runs"):
            tally.runs += 1
            with tally.failing(run):
                report = answer(await client.post(f"/runs/{run}/check", json={"repair": not dry_run}))
                for finding in report["findings"]:
                    text = f"{finding['place']}: {finding['problem']}"
                    tally.add(run, text, repaired=finding["repaired"], checked=finding["checked"])

    with_client(Target(store), work, models)
    say(f"{tally.runs} runs checked, {tally.wrong} faults found, {tally.repaired} repaired.")
    if tally.unchecked:
        say(f"{tally.unchecked} runs were not replayed: name their models with --models.")
    if tally.wrong > tally.repaired:
        raise typer.Exit(1)


@dataclass
class Tally:
    """Counts the findings; each is printed when it is found."""

    runs: int = 0
    wrong: int = 0
    repaired: int = 0
    unchecked: int = 0

    def add(self, subject: str, text: str, *, repaired: bool = False, checked: bool = True) -> None:
        """Count and print a finding."""
        self.wrong += checked
        self.repaired += repaired
        self.unchecked += not checked
        outcome = "NOT checked" if not checked else "repaired" if repaired else "NOT repaired"
        say(f"{subject}  {text} ({outcome})")

    @contextmanager
    def failing(self, subject: str) -> Iterator[None]:
        """Report an error within the block as a finding, so that the check continues."""
        try:
            yield
        except PerdureError as error:
            self.add(subject, str(error))
