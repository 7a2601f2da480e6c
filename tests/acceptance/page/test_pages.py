"""Every page, in either theme, wide and on a phone, and in rare states: axe-core finds no violation."""

import re
from itertools import cycle
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Response, Route, expect
from tests.support.browser import PHONE, WIDE, Opened, opened, violations
from tests.support.experiment_runs import EMPTY, made, send
from tests.support.server import Server

SESSION = {"kind": "session", "scenarios": {"customer_acquisition": ["base", "strong_word_of_mouth"]}}
SEASONAL = {"kind": "session", "scenarios": {"supply_chain": ["base"]}}
LARGEST = 60_000  # bytes of the scripts of a page, as they are sent
STATES = ("created", "paused", "started", "completed", "stopped", "failed")
AT_WORK: dict[str, Any] = {
    "kind": "experiment",
    "experiment": "arm",
    "progress": {"fraction": 0.4, "simulation_time": 1.25},
    "attempt": 2,
}
CLOSING = {"error": {"code": "server_closing", "message": "The server is closing.", "details": {}}}
WAITING = [
    {"kind": "task", "tag": None, "runs": 12, "since": 0.0},
    {"kind": "task", "tag": "gpu", "runs": 3, "since": 0.0},
]
WORKERS = [
    {
        "name": "worker-0123456789ab",
        "host": "first",
        "tags": None,
        "slots": {"task": 2, "experiment": 1},
        "busy": {"task": 1},
        "runs": ["0123456789abcdef"],
        "lacks": ["The package 'pandas' is missing."],
    },
    {
        "name": "worker-ba9876543210",
        "host": "second",
        "tags": ["gpu", "large"],
        "slots": {"task": 1},
        "busy": {},
        "runs": [],
        "lacks": [],
    },
]
HAS_CURVE = """(canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colours = [[0x1f, 0x6f, 0xb4], [0xc2, 0x41, 0x0c]];  // of the first two curves
  for (let at = 0; at < data.length; at += 4)
    if (colours.some((it) => it.every((part, of) => Math.abs(part - data[at + of]) < 9))) return true;
  return false;
}"""


@pytest.fixture(scope="module")
def addresses(served: Server) -> dict[str, tuple[str, Any, str]]:
    """The addresses of all pages, by the heading of each; and what is on it when all of it is there."""
    with httpx.Client(base_url=served.url, timeout=240) as client:
        session = client.post("/runs", json={**SESSION, "name": "A session"}).raise_for_status().json()["id"]
        client.post(f"/runs/{session}/steps", json={"steps": 20}).raise_for_status()
        fork = client.post(f"/runs/{session}/fork", json={"step": 10, "name": "A fork"}).raise_for_status()
        seasonal = {**SEASONAL, "name": "A seasonal session"}
        points = client.post("/runs", json=seasonal).raise_for_status().json()["id"]
        network = {"monomers": ["a b", "a* >left", "b* >right"], "constraints": ["FREE left"]}
        task = {"kind": "task", "task": "stable_configurations", "input": network, "name": "A task"}
        task_id = client.post("/runs", json=task).raise_for_status().json()["id"]
        client.get(f"/runs/{task_id}/events")  # it is there when the task has ended
        send(client, "short", {**EMPTY, "main_script.py": b"print('a line')\nnrp.run_loop(10)\n"})
        experiment = made(client, "short", name="An experiment")["id"]
    return {
        "Runs": ("", "link", "A session"),
        "Begin something new": ("new", "link", "binding network"),
        "New session": ("new/session", "checkbox", "interactive"),
        "New experiment": ("new/experiment", "paragraph", ""),
        "New binding network": ("new/network", "button", "Open monomers"),
        "A session": (f"runs/{session}", "button", "Table of customers"),
        "A seasonal session": (f"runs/{points}", "group", "season"),
        "A task": (f"runs/{task_id}", "heading", "Result"),
        "An experiment": (f"runs/{experiment}", "button", "Fork here"),
        "Compare": (f"compare?runs={session},{fork.json()['id']}", "button", "Table of"),
        "System": ("system", "heading", "Workers"),
        "Log in": ("login", "button", "Log in"),
        "There is nothing here": ("nowhere", "link", "See the runs"),
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_axe_finds_nothing_to_mend_on_any_page(
    served: Server,
    browser: Browser,
    addresses: dict[str, tuple[str, Any, str]],
    axe_script: str,
    theme: str,
    size: dict[str, int],
) -> None:
    found = {}
    with opened(browser, color_scheme=theme, viewport=size) as person:
        page = person.tab("about:blank")  # one tab, as a new one costs more than the load of a page
        for heading, (address, role, name) in addresses.items():
            page.goto(f"{served.url}/ui/{address}", wait_until="domcontentloaded")
            expect(page.get_by_role("heading", level=1)).to_have_text(heading)
            expect(page.get_by_role(role, name=name).first).to_be_visible()
            if wrong := violations(page, axe_script):
                found[heading] = wrong
            if (width := page.evaluate("document.documentElement.scrollWidth")) > size["width"]:
                found[heading] = [f"{width} pixels wide"]
    assert found == {}


def test_no_page_loads_more_than_60_kilobytes_of_scripts(
    served: Server, person: Opened, addresses: dict[str, tuple[str, Any, str]]
) -> None:
    worker = httpx.head(f"{served.url}/ui/worker.js", headers={"Accept-Encoding": "gzip"})
    answers: list[Response] = []
    person.context.on("response", lambda answer: answers.append(answer))
    sent = {}
    for heading, (address, role, name) in addresses.items():
        answers.clear()
        page = person.tab(f"{served.url}/ui/{address}")
        expect(page.get_by_role(role, name=name).first).to_be_visible()
        page.wait_for_load_state("load")
        page.close()
        scripts = {it.url: it.headers for it in answers if it.request.resource_type == "script"}
        assert all(it["content-encoding"] == "gzip" for it in scripts.values())
        sent[heading] = sum(int(it["content-length"]) for it in [*scripts.values(), worker.headers])
    assert min(sent.values()) > 0
    assert {heading: size for heading, size in sent.items() if size > LARGEST} == {}


def with_states(route: Route) -> None:
    """Answer a list of runs as if they were in all states there are, one of them an experiment at work."""
    answer = route.fetch()
    listed = answer.json()
    for run, state in zip(listed["runs"], cycle(STATES), strict=False):
        run.update(state=state, **(AT_WORK if state == "started" else {}))
    route.fulfill(response=answer, json=listed)


def with_workers(route: Route) -> None:
    """Answer where the system stands as if its store were shared, and failed."""
    answer = route.fetch()
    system = answer.json()
    server = system["server"]
    server.update(broker="down", waiting=WAITING, workers=WORKERS)
    server["store"].update(shared=True, ready=False, problem="the disk is full")
    route.fulfill(response=answer, json=system)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_state_a_question_an_error_and_a_lost_server_can_be_read_by_all(
    served: Server, browser: Browser, axe_script: str, theme: str
) -> None:
    with httpx.Client(base_url=served.url, timeout=240) as client:
        for number in range(len(STATES)):
            client.post(
                "/runs", json={**SESSION, "tags": ["states"], "name": f"{theme} {number}"}
            ).raise_for_status()
    with opened(browser, color_scheme=theme) as person:
        page = person.context.new_page()
        page.add_init_script("delete window.SharedWorker")  # whose requests can't be answered here
        page.route("**/events*", lambda route: route.abort())
        page.route("**/runs?*", with_states)
        page.route("**/delete", lambda route: route.fulfill(status=503, json=CLOSING))
        page.goto(f"{served.url}/ui/?tag=states&q={theme}")
        expect(page.get_by_text("The server doesn't answer.")).to_be_visible()
        for state in STATES:
            expect(page.locator(f".state.{state}")).to_be_visible()
        expect(page.get_by_text("at 1.25 s")).to_be_visible()
        page.get_by_role("button", name="Choose all").click()
        page.get_by_role("button", name="Delete").click()
        question = page.get_by_role("dialog")
        expect(question).to_contain_text("Delete 6 runs?")
        assert violations(page, axe_script) == []
        question.get_by_role("button", name="Delete").click()
        error = page.locator("p-error").get_by_role("alert")
        expect(error).to_contain_text("The server is closing.")
        expect(error).to_contain_text("try again in a moment")
        assert violations(page, axe_script) == []
        page.unroute_all(behavior="wait")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_system_shows_what_waits_by_kind_and_tag_and_what_workers_work_on(
    served: Server, browser: Browser, axe_script: str, theme: str
) -> None:
    with opened(browser, color_scheme=theme, viewport=PHONE) as person:
        page = person.context.new_page()
        page.route(f"{served.url}/system", with_workers)
        page.goto(f"{served.url}/ui/system")
        expect(page.get_by_text("can't be written: the disk is full")).to_be_visible()
        expect(page.get_by_text("doesn't answer; workers look for runs by themselves")).to_be_visible()
        waiting = page.locator("section", has=page.get_by_role("heading", name="Waiting for a worker"))
        expect(waiting.get_by_role("row").nth(1)).to_contain_text("all")
        expect(waiting.get_by_role("row").nth(2)).to_contain_text("gpu")
        workers = page.get_by_role("region", name="Workers").get_by_role("row")
        expect(workers.nth(1)).to_contain_text("1 of 2 tasks")
        expect(workers.nth(1).get_by_role("link", name="0123456789ab")).to_be_visible()
        expect(workers.nth(1)).to_contain_text("The package 'pandas' is missing.")
        expect(workers.nth(2)).to_contain_text("gpu, large")
        assert violations(page, axe_script) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        page.unroute_all(behavior="wait")  # it is read again every few seconds


def test_the_system_shows_how_long_commits_take_and_how_large_the_store_is(
    served: Server, person: Opened
) -> None:
    with httpx.Client(base_url=served.url, timeout=240) as client:
        run = client.post("/runs", json=SESSION).raise_for_status().json()["id"]
        page = person.tab(f"{served.url}/ui/system")
        store = page.locator("section", has=page.get_by_role("heading", name="Store"))
        expect(store).to_contain_text(re.compile(r"Commit\s+[\d.,]+ ms on average, 95 % within\s+[\d.,]+ ms"))
        expect(store).to_contain_text(re.compile(r"database\s+[\d.,]+ [kM]?B"))
        steps = page.locator("p-chart", has=page.get_by_role("heading", name="A step until it is durable"))
        expect(steps).to_contain_text("There are no values yet.")
        client.post(f"/runs/{run}/steps", json={"steps": 3}).raise_for_status()
        expect(steps).not_to_contain_text("There are no values yet.")
        # Of a single value, with none before and behind it, there is a point.
        page.wait_for_function(HAS_CURVE, arg=steps.locator("canvas").element_handle())
    commits = page.locator("p-chart", has=page.get_by_role("heading", name="A commit"))
    commits.get_by_role("button", name="Table").click()
    numbers = commits.get_by_role("grid").get_by_role("gridcell").filter(has_text=re.compile(r"\d"))
    expect(numbers).not_to_have_count(0)
    expect(page.locator("section", has=page.get_by_role("heading", name="Queue"))).to_contain_text("waiting")
