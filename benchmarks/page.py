"""The page in a real browser: what is sent for it, how soon it shows something, and what open pages cost."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median

import httpx
from playwright.sync_api import Browser, Page, Response, sync_playwright

from benchmarks.errors import BenchmarkFailed
from benchmarks.figure import Figure, spread
from benchmarks.models import MANAGER, OUTPUTS, SCENARIO
from benchmarks.servers import Server, new_session, perdure
from benchmarks.throughput import rate
from perdure.api.page import FOLDER
from perdure.lifecycle import RunStatus
from perdure.run import Run
from perdure.stores.commands import CreateRun
from perdure.stores.sqlite import SqliteStore

__all__ = ["measure"]

MOST_SCRIPT = 60.0  # kB, compressed
FIRST_PAGE = 1.5  # seconds
ROWS = 1.0  # seconds
SEARCH = 200.0  # milliseconds
IDLE = 10.0  # percent of a core
MOUNTED = 1.1  # CPU of a step, compared with a server without the page
CLIENTS = 16
RUNS = 100_000
PAGES = 50
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

_WITHOUT = """
from perdure.api import app
from perdure.cli import main
app.installed_page = lambda: None
main()
"""

# Types into the search, and resolves with the milliseconds until so many runs are found.
_SEARCH = """async ([type, found]) => {
  const root = document.querySelector("perdure-app").shadowRoot.querySelector("page-runs").shadowRoot;
  const input = root.querySelector("input[type=search]");
  const begun = performance.now();
  input.value = type;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  const rows = root.querySelector("p-table").shadowRoot.querySelector("[role=grid]");
  while (rows.getAttribute("aria-rowcount") !== String(found + 1)) {
    if (performance.now() - begun > 30_000) throw new Error(`the search for ${type} has no end`);
    await new Promise(requestAnimationFrame);
  }
  return performance.now() - begun;
}"""


def measure(folder: Path, quick: bool) -> Iterator[Figure]:
    """Yield what the page costs; `BenchmarkFailed` without the built files, or without Chromium."""
    if not (FOLDER / "index.html").exists():
        raise BenchmarkFailed("The page isn't built: pip install --editable .")
    yield _mounted(folder, 3 if quick else 7)
    with _browser() as browser:
        yield from _first_pages(folder, browser, 3 if quick else 7)
        yield from _many_runs(folder, browser, RUNS // 10 if quick else RUNS)
        yield _idle(folder, browser, 5.0 if quick else 20.0)


def _mounted(folder: Path, rounds: int) -> Figure:
    """Measure what the page costs the API while nobody has it open: two servers take turns."""
    places = [folder / name for name in ("with", "without")]
    for place in places:
        place.mkdir()
    ratios = []
    with perdure(places[0]) as served, perdure(places[1], program=("-c", _WITHOUT)) as bare:
        for server, status in ((served, 200), (bare, 404)):
            if httpx.get(f"{server.url}/ui/").status_code != status:
                raise BenchmarkFailed(f"{server.url}/ui/ doesn't answer with {status}.")
        for number in range(rounds):
            order = (served, bare) if number % 2 else (bare, served)  # the second one may meet another load
            cost = {server.url: rate(server, new_session, CLIENTS)[1] for server in order}
            ratios.append(cost[served.url] / cost[bare.url])
    what = "CPU a durable step, compared with a server without the page"
    return Figure(what, spread(ratios, ".2f"), f"≤ {MOUNTED}", median(ratios) <= MOUNTED)


@contextmanager
def _browser() -> Iterator[Browser]:
    found = (shutil.which(name) for name in ("chromium", "chromium-headless-shell"))
    program = os.environ.get("CHROMIUM") or next(filter(None, found), None)
    if program is None:
        raise BenchmarkFailed("There is no Chromium: install Debian's package chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(OPTIONS))
        try:
            yield browser
        finally:
            browser.close()


def _session(server: Server) -> str:
    """Make a session with a few steps; return its id."""
    body = {"kind": "session", "scenarios": {MANAGER: [SCENARIO]}, "outputs": OUTPUTS, "seed": 1}
    run: str = httpx.post(f"{server.url}/runs", json=body, timeout=60).raise_for_status().json()["id"]
    httpx.post(f"{server.url}/runs/{run}/steps", json={"steps": 10}, timeout=60).raise_for_status()
    return run


def _first_pages(folder: Path, browser: Browser, rounds: int) -> Iterator[Figure]:
    """Measure what is sent for a first visit, and how long that takes on a server that has just begun."""
    seconds, sent = [], {}
    for number in range(rounds):
        place = folder / f"first-{number}"
        place.mkdir()
        with perdure(place) as server:
            page = browser.new_context().new_page()
            begun = time.perf_counter()
            page.goto(f"{server.url}/ui/")
            page.get_by_role("heading", level=1).wait_for()
            seconds.append(time.perf_counter() - begun)
            page.context.close()
            if not number:
                run = _session(server)
                sent = {
                    "the list of runs": _script(browser, server.url, ""),
                    "a new session": _script(browser, server.url, "new/session"),
                    "a new experiment": _script(browser, server.url, "new/experiment"),
                    "a new network": _script(browser, server.url, "new/network"),
                    "a session": _script(browser, server.url, f"runs/{run}"),
                    "a comparison": _script(browser, server.url, f"compare?runs={run}"),
                    "the system": _script(browser, server.url, "system"),
                }
    for what, kilobytes in sent.items():
        name = f"script sent for {what}, nothing kept by the browser"
        yield Figure(name, f"{kilobytes:.1f} kB", f"≤ {MOST_SCRIPT:g} kB", kilobytes <= MOST_SCRIPT)
    within = median(seconds) < FIRST_PAGE
    yield Figure(
        "first page, server just begun", f"{spread(seconds, '.2f')} s", f"< {FIRST_PAGE:g} s", within
    )


def _script(browser: Browser, url: str, path: str) -> float:
    """Return the kilobytes of all scripts that a page loads, its worker among them."""
    page = browser.new_context().new_page()
    answers: list[Response] = []

    def note(answer: Response) -> None:  # Playwright takes no builtin method
        answers.append(answer)

    page.on("response", note)
    page.goto(f"{url}/ui/{path}")
    page.get_by_role("heading", level=1).wait_for()
    page.wait_for_timeout(1000)  # what is loaded when it is needed; the stream of events never ends
    sizes = [
        answer.request.sizes()["responseBodySize"]
        for answer in answers
        if answer.request.resource_type == "script"
    ]
    page.context.close()
    worker = httpx.head(f"{url}/ui/worker.js", headers={"Accept-Encoding": "gzip"})  # no page's, but shared
    return (sum(sizes) + int(worker.headers["Content-Length"])) / 1000


def _many_runs(folder: Path, browser: Browser, number: int) -> Iterator[Figure]:
    """Measure the table of very many runs."""
    place = folder / "many"
    place.mkdir()
    with closing(SqliteStore(place / "perdure.db")) as store:
        made = [store.submit(CreateRun(run=_run(at))) for at in range(number)]
        for future in made:
            future.result()
    with perdure(place) as server:
        page = browser.new_context().new_page()
        begun = time.perf_counter()
        page.goto(f"{server.url}/ui/")
        page.get_by_role("row").get_by_role("link").first.wait_for()
        seconds = time.perf_counter() - begun
        what = f"rows of a table of {number:,} runs"
        yield Figure(what, f"{seconds:.2f} s", f"< {ROWS:g} s", seconds < ROWS)
        searches = [_search(page, f"rare {at}-", 1) for at in range(10)]
        what = f"search for one of {number:,} runs by its name"
        yield Figure(what, f"{spread(searches, '.0f')} ms", f"< {SEARCH:g} ms", median(searches) < SEARCH)
        page.context.close()


def _run(number: int) -> Run:
    rare = number % 997 == 3
    return Run(
        id=f"run-{number}",
        kind="session",
        owner="local",
        spec=bytes(200),
        state=RunStatus.STOPPED if number % 2 else RunStatus.CREATED,
        created=float(number),
        updated=float(number),
        name=f"rare {number // 997}-" if rare else f"run {number}",
    )


def _search(page: Page, text: str, found: int) -> float:
    """Return the milliseconds from typing until the runs are shown, after a search for something else."""
    page.evaluate(_SEARCH, ["no such run", 0])
    milliseconds: float = page.evaluate(_SEARCH, [text, found])
    return milliseconds


def _idle(folder: Path, browser: Browser, seconds: float) -> Figure:
    """Measure what many open pages cost the server while nothing changes."""
    place = folder / "idle"
    place.mkdir()
    with perdure(place) as server:
        run = _session(server)
        context = browser.new_context()
        for number in range(PAGES):
            page = context.new_page()
            page.goto(f"{server.url}/ui/{f'runs/{run}' if number % 2 else ''}")
            page.get_by_role("heading", level=1).wait_for()
        time.sleep(2)
        used, begun = server.cpu_seconds(), time.perf_counter()
        time.sleep(seconds)
        percent = (server.cpu_seconds() - used) / (time.perf_counter() - begun) * 100
        context.close()
    what = f"{PAGES} open pages while nothing changes, the server's CPU"
    return Figure(what, f"{percent:.1f} % of a core", f"< {IDLE:g} %", percent < IDLE)
