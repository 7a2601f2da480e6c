"""Sessions on the page: started, steered, forked and watched, with the mouse and by the keyboard alone."""

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from tests.support.browser import Opened, opened
from tests.support.server import Server

SLIDER = "word_of_mouth_success"
SESSION = {"kind": "session", "scenarios": {"customer_acquisition": ["base"]}}


@pytest.fixture
def session(served: Server) -> str:
    """A session that has taken 10 steps."""
    with httpx.Client(base_url=served.url, timeout=240) as client:
        run_id: str = client.post("/runs", json=SESSION).raise_for_status().json()["id"]
        client.post(f"/runs/{run_id}/steps", json={"steps": 10}).raise_for_status()
    return run_id


def stands(page: Page) -> Locator:
    """Return the line that says where the session stands."""
    return page.get_by_role("region", name="Steps").get_by_role("status")


def expect_step(page: Page, step: int) -> None:
    expect(stands(page)).to_contain_text(re.compile(rf"Step {step} of 60\b"))


def id_of(page: Page) -> str:
    return page.url.partition("/runs/")[2].partition("?")[0]


def customers(served: Server, run_id: str) -> list[float]:
    answer = httpx.get(f"{served.url}/runs/{run_id}/results", timeout=240).raise_for_status().json()
    found: list[float] = answer["results"]["customer_acquisition"]["base"]["values"]["customers"]
    return found


def success(served: Server, run_id: str) -> dict[int, Any]:
    """Return where a session was given another success of the word of mouth, and which."""
    answer = httpx.get(f"{served.url}/runs/{run_id}/settings", timeout=240).raise_for_status().json()
    return {
        change["step"]: change["settings"]["customer_acquisition"]["base"]["constants"][SLIDER]
        for change in answer["changes"]
    }


def test_a_session_is_played_and_forked_and_both_curves_are_seen(served: Server, person: Opened) -> None:
    page = person.tab(f"{served.url}/ui/")
    page.get_by_role("link", name="New", exact=True).click()
    page.get_by_role("link", name=re.compile("[Ss]ession")).first.click()
    model = page.get_by_role("region", name="customer_acquisition")
    model.get_by_role("checkbox", name="base", exact=True).check()
    page.get_by_role("button", name="Start the session").click()
    expect_step(page, 0)
    first = id_of(page)
    page.get_by_role("slider", name=SLIDER).fill("0.03")
    expect(page.get_by_text("1 change not sent")).to_be_visible()
    page.get_by_role("button", name="Step", exact=True).click()
    expect_step(page, 1)
    page.get_by_role("button", name="Run to the end").click()
    expect_step(page, 60)
    expect(stands(page)).to_contain_text("every scenario has ended")
    timeline = page.get_by_role("slider", name="Time line")
    timeline.focus()
    timeline.press("Home")
    for _ in range(10):
        timeline.press("ArrowRight")
    expect(page.get_by_role("region", name="Values at the step")).to_contain_text("Step 10")
    page.get_by_role("button", name=re.compile("Fork here")).click()
    page.get_by_role("textbox", name="Name").fill("with less")
    page.get_by_role("button", name="Make the fork").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("with less")
    expect_step(page, 10)
    fork = id_of(page)
    page.get_by_role("spinbutton", name=SLIDER).fill("0.001")
    page.get_by_role("button", name="Run to the end").click()
    expect_step(page, 60)
    curves = page.get_by_role("list", name="Curves").first
    for curve in ("base", "base · parent"):
        expect(curves.get_by_role("checkbox", name=curve, exact=True)).to_be_checked()
    page.get_by_role("button", name="Table of customers", exact=True).click()
    table = page.get_by_role("grid", name="customers", exact=True)
    expect(table.get_by_role("columnheader")).to_have_count(3)
    assert success(served, first) == {1: 0.03}
    assert success(served, fork) == {1: 0.03, 11: 0.001}
    former, changed = customers(served, first), customers(served, fork)
    assert former[:10] == changed[:10]
    assert former[-1] > changed[-1]


def test_a_session_is_played_and_forked_by_the_keyboard_alone(served: Server, person: Opened) -> None:
    page = person.tab(f"{served.url}/ui/new/session")
    model = page.get_by_role("region", name="customer_acquisition")
    tab_to(page, model.get_by_role("checkbox", name="base", exact=True))
    page.keyboard.press("Space")
    tab_to(page, page.get_by_role("button", name="Start the session"))
    page.keyboard.press("Enter")
    expect_step(page, 0)
    tab_to(page, page.get_by_role("slider", name=SLIDER))
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("1 change not sent")).to_be_visible()
    tab_to(page, page.get_by_role("button", name="Take 10 steps"), backwards=True)
    page.keyboard.press("Enter")
    expect_step(page, 10)
    (value,) = success(served, id_of(page)).values()
    assert value > 0.01
    tab_to(page, page.get_by_role("slider", name="Time line"))
    page.keyboard.press("ArrowLeft")
    tab_to(page, page.get_by_role("button", name=re.compile("Fork here .*step 9", re.IGNORECASE)))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("button", name="Make the fork"))
    page.keyboard.press("Enter")
    expect_step(page, 9)


def test_two_browsers_on_one_session_see_each_others_steps(
    served: Server, browser: Browser, session: str
) -> None:
    with opened(browser) as ann, opened(browser) as bob:
        address = f"{served.url}/ui/runs/{session}"
        of_ann, of_bob = ann.tab(address), bob.tab(address)
        expect_step(of_bob, 10)
        of_bob.get_by_role("spinbutton", name=SLIDER).fill("0.02")
        of_ann.get_by_role("button", name="Step", exact=True).click()
        expect_step(of_ann, 11)
        expect_step(of_bob, 11)
        expect(of_bob.get_by_role("spinbutton", name=SLIDER)).to_have_value("0.02")
        of_bob.get_by_role("button", name="Step", exact=True).click()
        expect_step(of_ann, 12)
    assert success(served, session) == {12: 0.02}


def test_eight_tabs_at_once_follow_a_session(served: Server, person: Opened, session: str) -> None:
    tabs = [person.tab(f"{served.url}/ui/runs/{session}") for _ in range(8)]
    for tab in tabs:
        expect_step(tab, 10)
    tabs[7].get_by_role("button", name="Step", exact=True).click()
    for tab in tabs:
        expect_step(tab, 11)


def test_a_hostile_name_is_a_text_on_every_page(served: Server, person: Opened, session: str) -> None:
    name = "<img src=x onerror=window.owned=1><script>window.owned=1</script>\u202e{{7*7}}"
    with httpx.Client(base_url=served.url, timeout=240) as client:
        client.patch(f"/runs/{session}", json={"name": name}).raise_for_status()
        fork = client.post(f"/runs/{session}/fork", json={"name": name}).raise_for_status().json()["id"]
    for address in (f"runs/{session}", f"runs/{fork}", f"compare?runs={session},{fork}", f"?q={session}"):
        page = person.tab(f"{served.url}/ui/{address}")
        expect(page.get_by_text(name).first).to_be_visible()
        assert page.evaluate("window.owned") is None
        assert page.locator("img[src=x]").count() == 0
        page.close()


def tab_to(page: Page, wanted: Locator, *, backwards: bool = False) -> None:
    """Press the tab key until an element has the focus."""
    expect(wanted).to_be_visible()
    for _ in range(300):
        page.keyboard.press("Shift+Tab" if backwards else "Tab")
        if wanted.evaluate("it => it.getRootNode().activeElement === it"):
            return
    pytest.fail(f"The tab key doesn't lead to {wanted}.")
