"""The cockpit of a session: playing, points, charts, what isn't sent yet; and the comparison of runs."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, Route, expect
from tests.support.browser import Opened
from tests.support.server import Server

NEW = {"kind": "session", "scenarios": {"customer_acquisition": ["base"]}, "seed": 1}
WORD_OF_MOUTH = "word_of_mouth_success"


@pytest.fixture
def client(served: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=240) as made:
        yield made


def made(client: httpx.Client, **body: object) -> str:
    run_id: str = client.post("/runs", json={**NEW, **body}).raise_for_status().json()["id"]
    return run_id


def number(page: Page, name: str) -> Locator:
    """Return the field in which a constant is typed."""
    return page.get_by_role("spinbutton", name=name)


def stands_at(page: Page, words: str) -> None:
    expect(page.get_by_text(re.compile(rf"Step {words}"))).to_be_visible()


def press(page: Page, name: str) -> None:
    """Press a button as soon as it can be pressed."""
    button = page.get_by_role("button", name=name, exact=True)
    expect(button).to_have_attribute("aria-disabled", "false")
    button.click()


def test_what_is_not_sent_survives_a_reload(served: Server, person: Opened, client: httpx.Client) -> None:
    page = person.tab(f"{served.url}/ui/runs/{made(client)}")
    number(page, WORD_OF_MOUTH).fill("0.03")
    number(page, WORD_OF_MOUTH).press("Tab")
    page.get_by_label("All in one chart").check()
    page.reload()
    expect(number(page, WORD_OF_MOUTH)).to_have_value("0.03")
    expect(page.get_by_text("1 change not sent")).to_be_visible()
    expect(page.get_by_label("All in one chart")).to_be_checked()
    page.get_by_role("button", name=f"Set {WORD_OF_MOUTH} back").click()
    expect(number(page, WORD_OF_MOUTH)).to_have_value("0.01")


def test_a_session_plays_until_it_is_paused(served: Server, person: Opened, client: httpx.Client) -> None:
    run = made(client)
    page = person.tab(f"{served.url}/ui/runs/{run}")
    stands_at(page, "0 of 60")
    page.get_by_label("Steps a second").select_option("10")
    press(page, "Play")
    stands_at(page, "([4-9]|[1-5][0-9]) of 60")
    press(page, "Pause")
    stands_at(page, ".*ready")
    assert 4 <= client.get(f"/runs/{run}").json()["step"] < 60


def test_points_of_a_graphical_function_are_moved_and_sent(
    served: Server, person: Opened, client: httpx.Client
) -> None:
    run = made(client, scenarios={"supply_chain": ["base"]})
    page = person.tab(f"{served.url}/ui/runs/{run}")
    point = page.get_by_role("slider", name="season, point 2 of 5")
    point.scroll_into_view_if_needed()
    box: Any = point.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] - 40, steps=4)
    page.mouse.up()
    expect(page.get_by_text("1 change not sent")).to_be_visible()
    point.press("Delete")
    press(page, "Step")
    stands_at(page, "1 of 417")
    (change,) = client.get(f"/runs/{run}/settings").json()["changes"]
    points = change["settings"]["supply_chain"]["base"]["points"]["season"]
    assert points == [[0.0, 1.0], [26.0, 1.0], [39.0, 0.8], [52.0, 1.0]]


def test_a_chart_has_a_table_a_picture_and_a_zoom_and_the_session_a_csv(
    served: Server, person: Opened, client: httpx.Client
) -> None:
    run = made(client, scenarios={"customer_acquisition": ["base", "interactive"]}, name="Curves")
    client.post(f"/runs/{run}/steps", json={"steps": 60}).raise_for_status()
    page = person.tab(f"{served.url}/ui/runs/{run}")
    stands_at(page, "60 of 60")
    with page.expect_download() as picture:
        page.get_by_role("button", name="PNG of customers", exact=True).click()
    assert picture.value.suggested_filename == "customers.png"
    assert picture.value.path().read_bytes().startswith(b"\x89PNG")
    with page.expect_download() as table:
        page.get_by_role("link", name="CSV").click()
    assert table.value.suggested_filename == "Curves.csv"
    rows = list(csv.reader(io.StringIO(table.value.path().read_text("utf-8"))))
    assert len(rows) == 1 + 2 * 60

    chart = page.get_by_role("group", name=re.compile(r"^customers\."))
    chart.press("+")
    expect(page).to_have_url(re.compile(r"zoom="))
    page.reload()
    page.get_by_role("button", name="All times").first.click()
    expect(page).not_to_have_url(re.compile(r"zoom="))
    page.get_by_role("button", name="Table of customers", exact=True).click()
    expect(page.get_by_role("grid", name="customers")).to_contain_text("base [persons]")
    first = page.get_by_role("grid", name="customers").get_by_role("row").nth(2)
    expect(first).to_contain_text("1,000")

    # The next chart takes the place of one that is taken away, and is no table.
    page.get_by_text("Equations (").click()
    page.get_by_role("checkbox", name="customers", exact=True).uncheck()
    tables = page.get_by_role("button", name=re.compile("^Table of "))
    expect(page.get_by_role("button", name="Table of customers", exact=True)).to_have_count(0)
    expect(tables.first).to_have_attribute("aria-pressed", "false")


def test_runs_are_compared_by_what_differs_and_by_their_curves(
    served: Server, person: Opened, client: httpx.Client
) -> None:
    one = made(client, name="one")
    client.post(f"/runs/{one}/steps", json={"steps": 20}).raise_for_status()
    other = (
        client.post(f"/runs/{one}/fork", json={"step": 10, "name": "other"}).raise_for_status().json()["id"]
    )
    constants = {"customer_acquisition": {"base": {"constants": {WORD_OF_MOUTH: 0.05}}}}
    client.post(f"/runs/{other}/steps", json={"settings": constants, "steps": 10}).raise_for_status()
    page = person.tab(f"{served.url}/ui/compare?runs={one}")
    page.get_by_label("Name or id").fill("other")
    page.get_by_role("button", name="Add other").first.click()
    differences = page.get_by_role("region", name="What differs").get_by_role("row")
    texts = (
        "What.*one.*other",
        f"forked from.*none.*{one}",
        "forked after step.*none.*10",
        f"customer_acquisition · base · {WORD_OF_MOUTH}.*0.01.*0.05 from step 11",
    )
    expect(differences).to_have_text([re.compile(text, re.DOTALL) for text in texts])
    # Constants differ most for their size; then the curve that follows from it.
    page.get_by_role("button", name="Table of acquisition_through_word_of_mouth, difference").click()
    table = page.get_by_role("grid", name="acquisition_through_word_of_mouth, difference")
    apart = table.get_by_role("row").get_by_role("gridcell")
    expect(apart.nth(2 * 10 - 1)).to_have_text("0")  # at the tenth step, the last that they share
    expect(apart.nth(2 * 11 - 1)).not_to_have_text("0")


def test_steps_are_sent_again_when_a_proxy_says_that_its_server_is_away(
    served: Server, person: Opened, client: httpx.Client
) -> None:
    run = made(client)
    page = person.tab(f"{served.url}/ui/runs/{run}")
    stands_at(page, "0 of 60")
    keys: list[str] = []

    def answer(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) < 3:
            route.fulfill(status=(502, 504)[len(keys) - 1], body="<h1>Bad gateway</h1>")
        else:
            route.continue_()

    page.route("**/steps", answer)
    press(page, "Take 10 steps")
    stands_at(page, "10 of 60.*ready")
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert client.get(f"/runs/{run}").json()["step"] == 10


def test_picked_equations_are_answered_and_shown_over_each_other(
    served: Server, person: Opened, client: httpx.Client
) -> None:
    page = person.tab(f"{served.url}/ui/new/session")
    model = page.get_by_role("region", name="customer_acquisition")
    for scenario in ("base", "interactive"):
        model.get_by_role("checkbox", name=scenario, exact=True).check()
    model.get_by_text("Equations of customer_acquisition").click()
    for equation in ("customers", "potential_customers"):
        model.get_by_role("checkbox", name=equation, exact=True).check()
    page.get_by_role("button", name="Start the session").click()
    stands_at(page, "0 of 60")
    press(page, "Take 10 steps")
    stands_at(page, "10 of 60.*ready")
    page.get_by_label("All in one chart").check()
    legend = page.get_by_role("list", name="Curves").get_by_role("listitem")
    names = (f"{it} · {of}" for it in ("customers", "potential_customers") for of in ("base", "interactive"))
    expect(legend).to_have_text([re.compile(name) for name in names])
    expect(page.get_by_role("heading", name="All curves [persons]")).to_be_visible()

    timeline = page.get_by_role("slider", name="Time line")
    box: Any = timeline.bounding_box()
    timeline.hover(position={"x": 12 + 5 / 60 * (box["width"] - 24), "y": box["height"] / 2})
    values = page.get_by_role("region", name="Values at the step")
    expect(values).to_contain_text("Step 5")
    run = page.url.rpartition("/")[2].partition("?")[0]
    results = client.get(f"/runs/{run}/results").json()["results"]["customer_acquisition"]["base"]["values"]
    assert set(results) == {"customers", "potential_customers"}
    expect(values.get_by_role("row").nth(1)).to_contain_text(f"{results['customers'][4]:,.6g}")


def test_a_link_to_a_manager_picks_its_first_scenario(served: Server, person: Opened) -> None:
    page = person.tab(f"{served.url}/ui/new/session?manager=epidemic")
    model = page.get_by_role("region", name="epidemic")
    expect(model.get_by_role("checkbox", name="base", exact=True)).to_be_checked()
    page.get_by_role("button", name="Start the session").click()
    stands_at(page, "0 of 801")


def test_a_fork_that_somebody_else_makes_is_shown_in_the_tree(
    served: Server, person: Opened, client: httpx.Client
) -> None:
    run = made(client)
    client.post(f"/runs/{run}/steps", json={"steps": 2}).raise_for_status()
    page = person.tab(f"{served.url}/ui/runs/{run}")
    expect(page.get_by_text("There are no forks yet.")).to_be_visible()
    client.post(f"/runs/{run}/fork", json={"step": 1, "name": "Made elsewhere"}).raise_for_status()
    expect(page.get_by_role("link", name="Made elsewhere")).to_be_visible()
