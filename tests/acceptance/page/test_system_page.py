"""The page of the system: the store and its commits, the queue, and charts of what changes meanwhile."""

import re

import httpx
from playwright.sync_api import expect
from tests.support.browser import Opened
from tests.support.server import Server

SESSION = {"kind": "session", "scenarios": {"customer_acquisition": ["base"]}}

HAS_CURVE = """(canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colours = [[0x1f, 0x6f, 0xb4], [0xc2, 0x41, 0x0c]];  // of the first two curves
  for (let at = 0; at < data.length; at += 4)
    if (colours.some((it) => it.every((part, of) => Math.abs(part - data[at + of]) < 9))) return true;
  return false;
}"""


def test_it_shows_how_long_commits_take_and_how_large_the_store_is(served: Server, person: Opened) -> None:
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
