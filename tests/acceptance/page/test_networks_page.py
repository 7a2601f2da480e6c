"""Journeys through binding networks: written, checked, solved, drawn; and tasks paused and terminated."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.support.browser import PHONE, Opened, opened, violations
from tests.support.server import ROOT, Server

AND_GATE = ROOT / "examples" / "networks" / "and_gate.txt"
# Copies of an OR gate with leaks have more stable configurations than anybody waits for.
OR_GATE = [
    "a b",
    "a b e",
    "a* b*",
    "b e f",
    "b* e*",
    "c d",
    "c d e",
    "c* d*",
    "d e f",
    "d* e*",
    "e f",
    "e* f*",
]


def state(page: Page, words: str) -> None:
    expect(page.locator("p-heading .state")).to_have_text(words)


def test_the_and_gate_is_opened_solved_and_its_polymers_are_seen(
    served: Server, person: Opened, axe_script: str
) -> None:
    page = person.tab(served.url + "/ui/new")
    page.get_by_role("link", name="A binding network").click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Open monomers…").click()
    chooser.value.set_files(AND_GATE)
    expect(page.get_by_label("Monomers, one a line")).to_have_value(AND_GATE.read_text())
    expect(page.locator("#check")).to_contain_text("6 monomers, 12 sites, 4 domains, 0 constraints")
    page.get_by_label("Name", exact=True).fill("AND gate")
    page.get_by_role("button", name="Find stable configurations").click()

    state(page, "completed")
    expect(page.get_by_role("heading", level=1)).to_have_text("AND gate")
    expect(page.locator("p-bounds")).to_contain_text("The optimum is proved: 4 polymers.")
    picture = page.get_by_role("img", name="Configuration 1, 4 polymers")
    expect(picture).to_be_visible()
    assert picture.evaluate("it => it.naturalWidth") > 100
    page.get_by_text("As text").click()
    expect(page.locator("p-configurations pre")).to_contain_text("1 × [c d >output]")
    assert violations(page, axe_script) == []
    with page.expect_download() as download:
        page.get_by_role("link", name="Download JSON").click()
    result = json.loads(Path(download.value.path()).read_text())["result"]
    assert (result["optimum"], result["count"]) == (4, 1)


def test_a_mistake_is_shown_with_line_and_column_while_it_is_written(served: Server, person: Opened) -> None:
    page = person.tab(served.url + "/ui/new/network")
    monomers = page.get_by_label("Monomers, one a line")
    monomers.fill("a* b* >gate\n𝒶 b *\n")
    check = page.locator("#check")
    expect(check).to_contain_text("Monomers, line 2, column 5:")
    expect(check.locator("mark")).to_have_text("*")
    expect(page.get_by_role("button", name="Find stable configurations")).to_be_disabled()
    check.get_by_role("button", name="Go there").click()
    assert monomers.evaluate("it => it.value.slice(it.selectionStart, it.selectionEnd)") == "*"
    page.keyboard.type("b*")
    expect(check).to_contain_text("Right.")
    page.reload()
    expect(monomers).to_have_value("a* b* >gate\n𝒶 b b*\n")
    page.get_by_label("Constraints, one a line").fill("FREE nobody")
    expect(check).to_contain_text("Constraints, line 1, column 6:")


def test_configurations_are_drawn_while_more_are_sought_and_the_task_is_terminated(
    served: Server, person: Opened
) -> None:
    page = person.tab(served.url + "/ui/new/network")
    page.get_by_label("Monomers, one a line").fill("\n".join(OR_GATE * 6))
    page.get_by_label("All of them with the most polymers").check()
    expect(page.locator("#check")).to_contain_text("72 monomers")
    page.get_by_role("button", name="Find stable configurations").click()
    expect(page.get_by_role("img", name="Configuration 2, 42 polymers")).to_be_visible(timeout=30_000)
    expect(page.locator("p-configurations")).to_contain_text("configurations so far")
    state(page, "started")
    page.get_by_role("button", name="Pause", exact=True).click()
    state(page, "paused")
    page.get_by_role("button", name="Go on", exact=True).click()
    state(page, "started")
    page.get_by_role("button", name="Terminate", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Terminate").click()
    state(page, "stopped")
    expect(page.get_by_role("button", name="Terminate", exact=True)).to_be_disabled()
    expect(page.get_by_role("img", name="Configuration 1, 42 polymers")).to_be_visible()

    timeline = page.get_by_role("slider", name="Time line")
    values = page.get_by_label("Progress at the place")
    expect(page.locator("p-task-past .track .savepoint")).not_to_have_count(0)
    timeline.press("PageDown")
    expect(timeline).to_have_attribute("aria-valuetext", re.compile("after it was made, savepoint"))
    timeline.press("End")
    expect(values).to_contain_text(re.compile(r"lower\s+42"))
    timeline.press("Home")
    expect(values).to_be_hidden()
    box: Any = timeline.bounding_box()
    timeline.hover(position={"x": box["width"] - 12, "y": box["height"] / 2})
    expect(values).to_be_visible()


def test_constraints_that_contradict_each_other_are_named(
    served: Server, browser: Browser, axe_script: str
) -> None:
    with opened(browser, color_scheme="dark", viewport=PHONE) as person:
        contradict(person.tab(served.url + "/ui/new/network"), axe_script)


def contradict(page: Page, axe_script: str) -> None:
    page.get_by_label("Example").select_option(label="Constraints that can't hold together")
    expect(page.locator("#check")).to_contain_text("3 constraints")
    page.get_by_role("button", name="Find stable configurations").click()
    state(page, "completed")
    expect(page.locator("p-configurations")).to_contain_text("No configuration satisfies the constraints.")
    expect(page.locator("p-configurations")).to_contain_text("FREE output")
    assert violations(page, axe_script) == []


@pytest.mark.parametrize("path", ["/ui/new", "/ui/new/experiment", "/ui/new/network"])
def test_what_is_new_fits_a_phone(served: Server, person: Opened, path: str) -> None:
    page = person.tab(served.url + path)
    page.set_viewport_size(PHONE)
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("new|New"))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
