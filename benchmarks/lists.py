"""The CPU time of a page of a list of runs, by tag and by state, among ten thousand runs of an owner."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

from benchmarks.figure import Figure, spread
from perdure.lifecycle import RunStatus
from perdure.run import Run
from perdure.stores.commands import CreateRun
from perdure.stores.run_list import Cursor, RunFilter, RunOrder
from perdure.stores.sqlite import SqliteStore

__all__ = ["measure"]

BUDGET = 5.0  # milliseconds
RUNS = 10_000
PAGE = 50
OWNER = "ann"
STATES = (RunStatus.COMPLETED, RunStatus.STOPPED, RunStatus.CREATED)


def measure(folder: Path, quick: bool) -> Iterator[Figure]:
    """Yield the milliseconds for a page, of what many runs are and of what few are."""
    rounds = 20 if quick else 100
    with closing(SqliteStore(folder)) as store:
        made = [store.submit(CreateRun(run=_run(number))) for number in range(2 * RUNS)]
        for future in made:
            future.result()
        stopped = frozenset({RunStatus.STOPPED})
        for what, filter, order in (
            ("newest first", RunFilter(), RunOrder.NEWEST),
            ("by a tag that half of them have", RunFilter(tags=("even",)), RunOrder.NEWEST),
            ("by a tag that 1 in 100 has", RunFilter(tags=("rare",)), RunOrder.NEWEST),
            ("by a state that 1 in 100 is in", RunFilter(states=stopped), RunOrder.NEWEST),
            (
                "by both a common tag and a rare state",
                RunFilter(tags=("even",), states=stopped),
                RunOrder.NEWEST,
            ),
            ("by two tags, in the order of names", RunFilter(tags=("even", "rare")), RunOrder.NAME),
            ("updated last, 1 in 10 unfinished", RunFilter(), RunOrder.LATEST),
        ):
            yield _page(store, what, filter, order, rounds)


def _run(number: int) -> Run:
    """Return a run of the owner, or every other one of another owner, with what it is found by."""
    of_owner = number // 2
    tags = tuple(tag for tag, every in (("even", 2), ("rare", 100)) if of_owner % every == 0)
    state = STATES[1] if of_owner % 100 == 50 else STATES[2] if of_owner % 10 == 1 else STATES[0]
    return Run(
        id=f"run-{number}",
        kind=("session", "task")[of_owner % 3 == 0],
        owner=OWNER if number % 2 else "bob",
        spec=bytes(200),
        state=state,
        created=float(number),
        updated=float(number),
        name=f"run {number * 7919 % 10_000}",
        tags=tags,
    )


def _page(store: SqliteStore, what: str, filter: RunFilter, order: RunOrder, rounds: int) -> Figure:
    """Measure the first page, and one in the middle of the list."""
    of_owner = RunFilter(owner=OWNER, **{name: getattr(filter, name) for name in ("states", "tags")})
    everything = store.runs(of_owner, order=order, limit=RUNS)
    middle = Cursor.behind(everything[len(everything) // 2], order)
    first, later = (
        [_milliseconds(store, of_owner, order, cursor) for _ in range(rounds)] for cursor in (None, middle)
    )
    name, measured = f"a page of {PAGE} of {len(everything):,} runs {what}", f"{spread(first, '.2f')} ms"
    measured += f", from the middle {median(later):.2f} ms"
    if order is RunOrder.LATEST:
        return Figure(name, measured)
    return Figure(name, measured, f"< {BUDGET:g} ms", median(first + later) < BUDGET)


def _milliseconds(store: SqliteStore, filter: RunFilter, order: RunOrder, cursor: Cursor | None) -> float:
    begun = time.thread_time()
    store.runs(filter, order=order, limit=PAGE, cursor=cursor)
    return (time.thread_time() - begun) * 1e3
