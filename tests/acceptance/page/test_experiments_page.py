"""Journeys through experiments: sent, started, paused, stopped, watched, forked; also by keyboard alone."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from tests.support.browser import Opened, opened, violations
from tests.support.experiment_runs import EMPTY, example, made, put, send
from tests.support.server import Server
from tests.support.zips import zip_of

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'>"
SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="80" height="40" onload="alert(3)">
<script>alert(4)</script><foreignObject><iframe src="javascript:alert(5)"/></foreignObject>
<image href="http://127.0.0.1:1/seen"/><circle cx="20" cy="20" r="15"/></svg>"""
SCRIPT = f"""
import time
file_logger.info("begin")
file_logger.warning({HOSTILE!r})
open("picture.svg", "w").write({SVG!r})
open("<b>odd.txt", "w").write("odd")
while True:
    nrp.run_loop(10)
    time.sleep(0.02)
    file_logger.info(f"at {{nrp.simulation_time:.2f}}")
"""
ENDLESS = {
    **example("exchange"),
    "main_script.py": SCRIPT.encode(),
    "simulation_config.json": example("exchange")["simulation_config.json"].replace(
        b'"SimulationTimeout": 5', b'"SimulationTimeout": 100000'
    ),
}


@pytest.fixture
def client(served: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=240) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an experiment, and what isn't sent with it."""
    made = tmp_path / "My exchange"
    made.mkdir()
    for name, content in ENDLESS.items():
        (made / name).write_bytes(content)
    (made / "__pycache__").mkdir()
    (made / "__pycache__" / "old.pyc").write_bytes(b"x")
    return made


def state(page: Page, words: str) -> None:
    expect(page.locator("p-heading .state")).to_have_text(words)


def test_a_folder_is_uploaded_and_its_run_started_paused_and_stopped(
    served: Server, person: Opened, folder: Path
) -> None:
    page = person.tab(served.url + "/ui/new/experiment")
    page.locator("p-upload #folder").set_input_files(folder)
    expect(page.locator("p-upload")).to_contain_text("6 files")
    expect(page.locator("p-upload")).to_contain_text("1 file in hidden folders")
    expect(page.get_by_label("Name of the experiment")).to_have_value("My-exchange")
    page.get_by_role("button", name="Upload").click()
    page.get_by_label("Name of the run").fill("A walk")
    page.get_by_label("Start it at once").uncheck()
    page.get_by_role("button", name="Make the run").click()

    state(page, "paused")
    expect(page.get_by_role("heading", level=1)).to_have_text("A walk")
    buttons = {name: page.get_by_role("button", name=name, exact=True) for name in ("Start", "Pause", "Stop")}
    expect(buttons["Pause"]).to_be_disabled()
    buttons["Start"].click()
    state(page, "started")
    expect(buttons["Start"]).to_be_disabled()
    chart = page.locator("p-chart", has=page.get_by_role("heading", name="walker: position"))
    expect(chart.locator("canvas")).to_be_visible()
    expect(page.locator("p-log li", has_text=re.compile(r"at \d+\.\d"))).not_to_have_count(0)
    buttons["Pause"].click()
    state(page, "paused")
    chart.get_by_role("button", name="Table").click()
    expect(chart.get_by_role("grid")).to_be_visible()

    buttons["Stop"].click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    state(page, "stopped")
    for button in buttons.values():
        expect(button).to_be_disabled()
    expect(page.get_by_role("link", name="All files as a zip")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="picture.svg").click()
    assert download.value.suggested_filename == "picture.svg"


def test_the_list_of_runs_shows_the_simulation_time_of_an_experiment(
    served: Server, client: httpx.Client, person: Opened
) -> None:
    send(client, "endless", ENDLESS)
    run = made(client, "endless", name="Listed")["id"]
    page = person.tab(f"{served.url}/ui/?q={run}")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="Listed"))
    expect(row).to_contain_text("paused")
    put(client, run, "started")
    expect(row).to_contain_text(re.compile(r"at [\d.]+ s"))
    expect(row.get_by_role("progressbar", name="Progress")).to_be_visible()
    put(client, run, "stopped")


def drop(page: Page, name: str, content: bytes) -> None:
    """Drop a file on the page, as a browser does."""
    given = [name, base64.b64encode(content).decode()]
    page.locator("p-upload .drop").evaluate(DROP, given)


DROP = """(place, [name, content]) => {
  const bytes = Uint8Array.from(atob(content), (it) => it.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name));
  for (const type of ["dragover", "drop"])
    place.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
}"""


def test_a_zip_is_dropped_and_replaces_an_experiment_only_if_that_is_wanted(
    served: Server, client: httpx.Client, person: Opened
) -> None:
    send(client, "dropped", example("exchange"))
    before = client.get("/experiments/dropped").json()["modified"]
    page = person.tab(served.url + "/ui/new/experiment")
    drop(page, "dropped.zip", zip_of(ENDLESS))
    expect(page.locator("p-upload b")).to_have_text("dropped.zip")
    page.get_by_role("button", name="Upload").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("Replace the experiment dropped, which has other files?")
    question.get_by_role("button", name="Cancel").click()
    expect(question).to_be_hidden()
    assert client.get("/experiments/dropped").json()["modified"] == before
    page.get_by_role("button", name="Upload").click()
    question.get_by_role("button", name="Replace it").click()
    expect(page.get_by_role("heading", name="2. A run of dropped")).to_be_focused()
    assert client.get("/experiments/dropped/files/main_script.py").content == SCRIPT.encode()

    drop(page, "broken.zip", b"no zip")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("p-error").get_by_role("alert")).to_contain_text("zip")


def test_an_experiment_is_steered_by_keyboard_alone(
    served: Server, client: httpx.Client, person: Opened
) -> None:
    send(client, "endless", ENDLESS)
    run = made(client, "endless", name="Keys")["id"]
    page = person.tab(f"{served.url}/ui/runs/{run}")
    state(page, "paused")

    def press(name: str) -> None:
        """Go on by the tabulator key until the button has the focus, and press it."""
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate(FOCUSED) == name:
                page.keyboard.press("Enter")
                return
        raise AssertionError(f"no tabulator led to {name}")

    press("Start")
    state(page, "started")
    page.keyboard.press("Home")
    press("Pause")
    state(page, "paused")
    press("Stop")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    state(page, "paused")
    press("Fork here")
    expect(page).not_to_have_url(re.compile(run))
    expect(page.locator("p-heading")).to_contain_text("fork of")


FOCUSED = """() => {
  let at = document.activeElement;
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  return (at?.textContent ?? "").trim().replace(/ \\(.*$/, "");
}"""


def test_lines_are_filtered_by_level_and_searched_and_a_reload_keeps_that(
    served: Server, client: httpx.Client, person: Opened
) -> None:
    send(client, "endless", ENDLESS)
    run = made(client, "endless")["id"]
    put(client, run, "started")
    page = person.tab(f"{served.url}/ui/runs/{run}")
    lines = page.locator("p-log li")
    expect(lines.filter(has_text=re.compile(r"at \d"))).not_to_have_count(0)
    page.get_by_label("Level").select_option("warning")
    expect(lines).to_have_count(1)
    page.get_by_label("Level").select_option("")
    page.get_by_label("Search the lines").fill("BEGIN")
    expect(lines).to_have_count(1)
    expect(lines.locator("mark")).to_have_text("begin")
    page.reload()
    expect(page.get_by_label("Search the lines")).to_have_value("BEGIN")
    expect(lines).to_have_count(1)
    put(client, run, "stopped")


def test_hostile_names_lines_files_and_svg_do_nothing(
    served: Server, client: httpx.Client, person: Opened
) -> None:
    requests: list[str] = []
    person.context.on("request", lambda request: requests.append(request.url))
    send(client, "endless", ENDLESS)
    run = made(client, "endless", name=HOSTILE, tags=["a/b"])["id"]
    put(client, run, "started")
    page = person.tab(f"{served.url}/ui/runs/{run}")
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    page.get_by_label("Search the lines").fill("onerror")
    expect(page.locator("p-log li")).to_contain_text(HOSTILE)
    put(client, run, "stopped")
    page.get_by_role("button", name="Show picture.svg").click()
    image = page.get_by_role("img", name="picture.svg")
    expect(image).to_be_visible()
    assert image.evaluate("it => it.naturalWidth") == 80
    assert (image.get_attribute("src") or "").startswith("blob:")
    expect(page.get_by_role("link", name="<b>odd.txt")).to_be_visible()
    assert not [url for url in requests if "127.0.0.1:1/" in url]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_to_mend_on_a_run_and_its_files(
    served: Server, client: httpx.Client, browser: Browser, axe_script: str, theme: str
) -> None:
    send(client, "endless", ENDLESS)
    run = made(client, "endless", name="Looked at")["id"]
    put(client, run, "started")
    with opened(browser, color_scheme=theme) as person:
        page = person.tab(f"{served.url}/ui/runs/{run}")
        expect(page.locator("p-chart canvas").first).to_be_visible()
        assert violations(page, axe_script) == []
        put(client, run, "stopped")
        expect(page.get_by_role("link", name="All files as a zip")).to_be_visible()
        assert violations(page, axe_script) == []


def test_a_fork_begins_at_a_savepoint_with_its_parents_data_packs(
    served: Server, client: httpx.Client, person: Opened
) -> None:
    send(client, "endless", ENDLESS)
    run = made(client, "endless", name="Parent")["id"]
    page = person.tab(f"{served.url}/ui/runs/{run}")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("p-chart canvas").first).to_be_visible()
    page.get_by_role("button", name="Pause", exact=True).click()
    state(page, "paused")
    # That of the pause, too: at the first one, nothing has been computed yet.
    expect(page.get_by_text(re.compile(r"^[2-9]\d* savepoints$"))).to_be_visible()
    page.get_by_role("button", name="Fork here").click()
    expect(page).not_to_have_url(re.compile(run))
    expect(page.locator("p-heading")).to_contain_text("fork of")
    chart = page.locator("p-chart", has=page.get_by_role("heading", name="walker: position"))
    expect(chart.get_by_role("list", name="Curves")).to_contain_text("x · parent")
    page.get_by_role("slider", name="Time line").hover()
    expect(page.locator(".values")).to_contain_text("walker/position/x")
    put(client, run, "stopped")


def test_a_fork_may_have_another_script_and_the_newest_files(
    served: Server, client: httpx.Client, person: Opened
) -> None:
    send(client, "scripts", {**EMPTY, "main_script.py": b"nrp.run_loop(10)\n"})
    run = made(client, "scripts", name="Parent")["id"]
    client.put("/experiments/scripts/files/other.py", content=b"nrp.run_loop(20)\n").raise_for_status()
    page = person.tab(f"{served.url}/ui/runs/{run}")
    page.get_by_text("Fork with other files").click()
    page.get_by_label("Main script").fill("other.py")
    page.get_by_label("Take its files as they are stored now").check()
    page.get_by_role("button", name="Fork with these files").click()
    expect(page).not_to_have_url(re.compile(run))
    expect(page.locator("p-heading")).to_contain_text("fork of")
    fork = client.get(f"/runs/{page.url.rpartition('/')[2]}").json()
    assert (fork["parent"], fork["script"]) == (run, "other.py")
