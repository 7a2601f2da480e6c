"""Every page: axe-core finds no violation in either theme, wide and on a phone; none is wider than that."""

from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Response, expect
from tests.support.browser import PHONE, WIDE, Opened, opened, violations
from tests.support.experiment_runs import EMPTY, made, send
from tests.support.server import Server

SESSION = {"kind": "session", "scenarios": {"customer_acquisition": ["base", "strong_word_of_mouth"]}}
SEASONAL = {"kind": "session", "scenarios": {"supply_chain": ["base"]}}
LARGEST = 60_000  # bytes of the scripts of a page, as they are sent


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
        for heading, (address, role, name) in addresses.items():
            page = person.tab(f"{served.url}/ui/{address}")
            expect(page.get_by_role("heading", level=1)).to_have_text(heading)
            expect(page.get_by_role(role, name=name).first).to_be_visible()
            if wrong := violations(page, axe_script):
                found[heading] = wrong
            if (width := page.evaluate("document.documentElement.scrollWidth")) > size["width"]:
                found[heading] = [f"{width} pixels wide"]
            page.close()
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
