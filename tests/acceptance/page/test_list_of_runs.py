"""The list of runs: live, searched, sorted, of any length, and what is done with many runs at once."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from secrets import token_hex
from threading import Event

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from tests.support.browser import Opened, opened
from tests.support.server import Server, running

from perdure.run import Run
from perdure.stores.commands import CreateRun
from perdure.stores.sqlite import SqliteStore

SESSION = {"kind": "session", "scenarios": {"customer_acquisition": ["base"]}}
HOSTILE = '<img src=x onerror="alert(1)">${alert(1)}{{alert(1)}}"><script>alert(1)</script>'
MANY = 4_000


@pytest.fixture
def api(served: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=240) as client:
        yield client


def made(api: httpx.Client, name: str, *tags: str) -> str:
    """Make a session; return its id."""
    body = {**SESSION, "name": name, "tags": list(tags)}
    run: str = api.post("/runs", json=body).raise_for_status().json()["id"]
    return run


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def test_new_runs_and_their_steps_are_shown_without_a_reload(
    served: Server, api: httpx.Client, person: Opened
) -> None:
    page = person.tab(f"{served.url}/ui/?tag=live")
    expect(page.get_by_text("No run is like that.")).to_be_visible()
    run = made(api, "Seen at once", "live")
    expect(row(page, "Seen at once")).to_contain_text("0 steps")
    api.post(f"/runs/{run}/steps", json={"steps": 3}).raise_for_status()
    expect(row(page, "Seen at once")).to_contain_text("3 steps")
    api.patch(f"/runs/{run}", json={"name": "Renamed"}).raise_for_status()
    expect(row(page, "Renamed")).to_be_visible()
    api.put(f"/runs/{run}/state", json={"state": "stopped"}).raise_for_status()
    expect(row(page, "Renamed")).to_contain_text("stopped")
    api.delete(f"/runs/{run}").raise_for_status()
    expect(page.get_by_text("No run is like that.")).to_be_visible()


def test_new_runs_are_shown_in_a_browser_without_shared_workers(
    served: Server, api: httpx.Client, person: Opened
) -> None:
    person.context.add_init_script("delete window.SharedWorker")
    page = person.tab(f"{served.url}/ui/?tag=alone")
    expect(page.get_by_text("No run is like that.")).to_be_visible()
    made(api, "Seen alone", "alone")
    expect(row(page, "Seen alone")).to_be_visible()


def test_new_runs_are_shown_while_others_change_all_the_time(
    served: Server, api: httpx.Client, person: Opened
) -> None:
    busy, enough = made(api, "Busy", "load"), Event()

    def step() -> None:
        with httpx.Client(base_url=served.url, timeout=240) as client:
            while not enough.is_set():
                client.patch(f"/runs/{busy}", json={"name": f"Busy {token_hex(4)}"}).raise_for_status()

    page = person.tab(f"{served.url}/ui/?tag=load")
    expect(page.get_by_text("1 run found")).to_be_visible()
    with ThreadPoolExecutor() as pool:
        stepping = pool.submit(step)
        try:
            made(api, "New", "load")
            expect(row(page, "New")).to_be_visible()
        finally:
            enough.set()
        stepping.result()


def test_what_is_looked_for_is_in_the_address_and_survives_a_reload(
    served: Server, api: httpx.Client, person: Opened
) -> None:
    for name in ("Alpha", "Beta", "Alphabet"):
        made(api, name, "found")
    page = person.tab(f"{served.url}/ui/?tag=found")
    expect(page.get_by_text("3 runs found")).to_be_visible()
    page.get_by_label("Search names and ids").fill("alph")
    expect(page.get_by_text("2 runs found")).to_be_visible()
    page.get_by_role("button", name="Name").click()
    expect(page.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "ascending")
    assert re.search(r"\?tag=found&q=alph&sort=name$", page.url)
    page.reload()
    expect(page.get_by_label("Search names and ids")).to_have_value("alph")
    expect(page.get_by_role("row").nth(1)).to_contain_text("Alpha")
    expect(page.get_by_role("row").nth(2)).to_contain_text("Alphabet")
    page.get_by_label("Kind").select_option("task")
    expect(page.get_by_text("0 runs found")).to_be_visible()
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_label("Kind")).to_have_value("")


def test_chosen_runs_are_stopped_and_deleted_after_a_question(
    served: Server, api: httpx.Client, person: Opened
) -> None:
    runs = [made(api, f"Many {number}", "many") for number in range(3)]
    page = person.tab(f"{served.url}/ui/?tag=many&sort=name")
    page.get_by_label("Choose Many 0").check()
    page.get_by_label("Choose Many 1").check()
    page.get_by_role("button", name="Stop").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Stop 2 runs?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    assert {api.get(f"/runs/{run}").json()["state"] for run in runs} == {"created"}
    page.get_by_role("button", name="Stop").click()
    dialog.get_by_role("button", name="Stop").click()
    expect(row(page, "Many 1")).to_contain_text("stopped")
    expect(page.get_by_text("2 runs stopped.")).to_be_visible()
    expect(row(page, "Many 2")).to_contain_text("created")

    page.get_by_role("button", name="Choose all").click()
    expect(page.get_by_text("3 runs chosen")).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("0 runs found")).to_be_visible()
    assert {api.get(f"/runs/{run}").status_code for run in runs} == {404}


def test_the_keyboard_alone_chooses_deletes_and_opens_runs(
    served: Server, api: httpx.Client, person: Opened
) -> None:
    for number in range(4):
        made(api, f"Key {number}", "keys")
    page = person.tab(f"{served.url}/ui/?tag=keys&sort=name")
    expect(row(page, "Key 3")).to_be_visible()

    def tab_to(found: Locator) -> None:
        for _ in range(40):
            if found.evaluate("it => it.matches(':focus')"):
                return
            page.keyboard.press("Tab")
        raise AssertionError("the keyboard doesn't get there")

    tab_to(row(page, "Key 0"))
    page.keyboard.press("ArrowDown")
    expect(row(page, "Key 1")).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+Space")
    expect(page.get_by_text("2 runs chosen")).to_be_visible()
    expect(row(page, "Key 2")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Shift+Tab")
    tab_to(page.get_by_role("button", name="Delete"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("2 runs found")).to_be_visible()
    tab_to(row(page, "Key 0"))
    page.keyboard.press("End")
    expect(row(page, "Key 3")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Key 3")


def test_hostile_names_are_text(served: Server, api: httpx.Client, person: Opened) -> None:
    run = made(api, HOSTILE, "hostile")
    page = person.tab(f"{served.url}/ui/?tag=hostile")
    expect(row(page, HOSTILE)).to_be_visible()
    expect(page.get_by_label(f"Choose {HOSTILE}")).to_be_visible()
    row(page, HOSTILE).get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    assert page.url.endswith(f"/ui/runs/{run}")


def test_of_very_many_runs_only_those_in_view_are_drawn_and_the_last_is_a_key_away(
    tmp_path: Path, browser: Browser
) -> None:
    with closing(SqliteStore(tmp_path / "perdure.db")) as store:
        made = [
            store.submit(
                CreateRun(
                    run=Run(
                        id=f"run-{number}",
                        kind="session",
                        owner="local",
                        spec=b"",
                        created=float(number),
                        updated=float(number),
                        name=f"run {number}",
                    )
                )
            )
            for number in range(MANY)
        ]
        for future in made:
            future.result()
    with (
        running(tmp_path / "perdure.db", "perdure.examples:catalogue") as server,
        opened(browser) as person,
    ):
        page = person.tab(f"{server.url}/ui/")
        expect(row(page, f"run {MANY - 1}")).to_be_visible()
        expect(page.get_by_role("grid")).to_have_attribute("aria-rowcount", str(MANY + 1))
        row(page, f"run {MANY - 1}").focus()
        page.keyboard.press("End")
        expect(row(page, "run 0")).to_be_focused()
        assert page.get_by_role("row").count() < 100
        page.get_by_label("Search names and ids").fill("run 1234")
        expect(page.get_by_text("1 run found")).to_be_visible()
        expect(row(page, "run 1234")).to_be_visible()


def test_a_server_that_was_killed_is_missed_and_its_runs_are_shown_again_without_a_reload(
    tmp_path: Path, browser: Browser
) -> None:
    store = tmp_path / "perdure.db"
    with running(store, "perdure.examples:catalogue") as first, opened(browser) as person:
        with httpx.Client(base_url=first.url, timeout=240) as api:
            made(api, "Before", "x")
        page = person.tab(f"{first.url}/ui/")
        expect(row(page, "Before")).to_be_visible()
        page.evaluate("window.stayed = true")
        first.kill()
        expect(page.get_by_text("The page goes on by itself once it does")).to_be_visible()
        port = first.url.rpartition(":")[2]
        with running(store, "perdure.examples:catalogue", options=("--port", port)) as second:
            expect(page.get_by_text("The page goes on by itself once it does")).to_be_hidden()
            with httpx.Client(base_url=second.url, timeout=240) as api:
                made(api, "After", "x")
            expect(row(page, "After")).to_be_visible()
            assert page.evaluate("window.stayed") is True


def test_what_the_server_serves_is_below_the_runs(served: Server, person: Opened) -> None:
    page = person.tab(f"{served.url}/")
    expect(page).to_have_url(f"{served.url}/ui/")
    page.get_by_text("This server:").click()
    part = page.locator("p-served")
    expect(part).to_contain_text(f"This server: {served.url}")
    expect(part.get_by_role("listitem").filter(has_text="epidemic")).to_contain_text("base, distancing")
    expect(part).to_contain_text("stable_configurations")
    for path in ("/docs", "/openapi.json", "/models", "/metrics"):
        link = part.get_by_role("link", name=path, exact=True)
        expect(link).to_have_attribute("href", f"{served.url}{path}")
    expect(part).to_contain_text(f"curl {served.url}/runs")
