"""PostgreSQL: durable steps a second at one and two API processes, a step at another process, and a claim."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median, quantiles

import httpx
import pytest
from tests.support.postgres import postgres_server

from benchmarks import servers
from benchmarks.disk import fsync_rate
from benchmarks.errors import BenchmarkFailed
from benchmarks.figure import Figure, spread
from benchmarks.load import Load, answers_a_second
from benchmarks.servers import Server
from perdure.drivers.tasks import KIND
from perdure.run import Execution, Run
from perdure.stores.base import Store
from perdure.stores.commands import CreateRun
from perdure.stores.open import open_store

__all__ = ["measure"]

CLIENTS = (16, 64)
WARM_UP, SECONDS = 0.5, 1.5
STEPS = 100  # of a session, at one process or at two in turn
APART = 3.0  # how much more a step may cost at alternating processes
WAITING = 10_000
STARTS = 100


def measure(folder: Path, quick: bool) -> Iterator[Figure]:
    """Yield the figures, from short rounds in which all take turns."""
    rounds = 2 if quick else 5
    with ExitStack() as opened:
        try:
            postgres = opened.enter_context(postgres_server(durable=True, parent=folder.parent))
        except pytest.skip.Exception as error:
            raise BenchmarkFailed(str(error)) from error
        url = postgres.url()
        sqlite = opened.enter_context(servers.perdure(folder))
        settings = {"PERDURE_ARTIFACTS": str(folder / "artifacts"), "PERDURE_ARTIFACTS_SHARED": "yes"}
        first, second = (
            opened.enter_context(
                servers.perdure(folder, url, {**settings, "PERDURE_WORKING_FOLDERS": str(folder / name)})
            )
            for name in ("first", "second")
        )
        yield from _throughput(folder, sqlite, [first, second], rounds)
        yield from _alternating(first, second, rounds)
        with closing(open_store(url)) as store:
            _fill(store, WAITING // 10 if quick else WAITING)
        yield from _starts(first, STARTS // 10 if quick else STARTS)


def _throughput(folder: Path, sqlite: Server, apis: Sequence[Server], rounds: int) -> Iterator[Figure]:
    """Yield the durable steps a second of each number of clients, beside the bare fsync rate."""
    places = {"SQLite": [sqlite], "PostgreSQL, one API process": apis[:1], "  two API processes": apis}
    for clients in CLIENTS:
        rates: dict[str, list[float]] = {name: [] for name in places}
        syncs = []
        for _ in range(rounds):
            syncs.append(clients * fsync_rate(folder, SECONDS / 2))
            for name, there in places.items():
                paths = [servers.new_session(there[0]) for _ in range(clients)]
                addresses = [server.address for server in there]
                rates[name].append(answers_a_second(Load(addresses, paths, WARM_UP, SECONDS)))
        yield Figure(f"{clients} × bare fsync rate", spread(syncs, ",.0f"))
        for name, found in rates.items():
            yield Figure(f"durable steps/s, {clients} clients, {name}", spread(found, ",.0f"))


def _alternating(first: Server, second: Server, rounds: int) -> Iterator[Figure]:
    """Yield the time of a step at one process, and of one at another process each time."""
    at_one, apart = [], []
    with httpx.Client(timeout=60) as client:

        def seconds(there: Sequence[Server]) -> float:
            path = servers.new_session(first)
            begun = time.perf_counter()
            for number in range(STEPS):
                client.post(f"{there[number % len(there)].url}{path}").raise_for_status()
            return (time.perf_counter() - begun) / STEPS

        for _ in range(rounds):
            at_one.append(seconds([first]))
            apart.append(seconds([first, second]))
    ratio = median(b / a for a, b in zip(at_one, apart, strict=True))
    yield Figure("a step at one process", f"{spread([1000 * it for it in at_one], '.2f')} ms")
    yield Figure("a step at another process each time", f"{spread([1000 * it for it in apart], '.2f')} ms")
    yield Figure("  ratio of the two", f"{ratio:.2f}", f"≤ {APART:g}", ratio <= APART)


def _fill(store: Store, waiting: int) -> None:
    """Queue tasks that no server can compute."""
    made = []
    for number in range(waiting):
        now = time.time()
        id, needs = f"waits-{number}", "what nobody has"
        run = Run(id=id, kind=KIND, owner="another", spec=b"", created=now, updated=now)
        execution = Execution(run_id=id, kind=KIND, owner="another", needs=needs)
        made.append(store.submit(CreateRun(run, execution=execution)))
    for future in made:
        future.result()


def _starts(server: Server, count: int) -> Iterator[Figure]:
    """Yield how soon a task begins that is queued beside those that wait."""
    waits = []
    body = {"kind": "task", "task": "stable_configurations", "input": {"monomers": ["a b", "a* b*"]}}
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for _ in range(count):
            begun = time.perf_counter()
            made = client.post("/runs", json=body).raise_for_status().json()
            run = made
            while not run["attempt"]:
                run = client.get(f"/runs/{made['id']}").json()
            waits.append(time.perf_counter() - begun)
            while run["outcome"] is None:  # the next one finds a free slot
                run = client.get(f"/runs/{made['id']}").json()
    middle, slowest = median(waits), quantiles(waits, n=100)[98]
    what = f"from queued to started beside {WAITING:,} waiting tasks"
    yield Figure(what, f"p50 {1000 * middle:.0f} ms, p99 {1000 * slowest:.0f} ms")
