"""The scene of an experiment on its page: live, and along its savepoints, by keyboard alone."""

import httpx
from playwright.sync_api import expect
from tests.support.browser import Opened, violations
from tests.support.experiment_runs import made, put, send
from tests.support.scenes import GREY, grey_experiment
from tests.support.server import Server

SLOW = "import time\nwhile True:\n    nrp.run_loop(1)\n    time.sleep(0.02)\n"


def test_a_scene_is_seen_live_and_along_the_savepoints(
    served: Server, person: Opened, axe_script: str
) -> None:
    with httpx.Client(base_url=served.url, timeout=240) as client:
        run_id = made(client, send(client, "seen", grey_experiment(SLOW)))["id"]
        put(client, run_id, "started")
        page = person.tab(f"{served.url}/ui/runs/{run_id}")
        scene = page.locator("p-scene")
        expect(scene.get_by_role("img", name="The scene of box")).to_be_visible()
        where, slider = scene.locator(".where"), scene.get_by_role("slider", name="Savepoint")
        expect(where).to_contain_text("Now, live: ")
        expect(where).not_to_have_text(where.text_content() or "")  # it goes on
        put(client, run_id, "paused")
        expect(where).to_contain_text("Now: ")

        slider.press("Home")
        expect(where).to_contain_text("savepoint 1 of")
        expect(where).to_contain_text(": 0 s of simulation time")
        page.reload()
        expect(where).to_contain_text("savepoint 1 of")
        expect(slider).to_be_enabled()  # the savepoints are listed
        slider.press("ArrowRight")
        expect(where).to_contain_text(": 0.1 s of simulation time")
        assert violations(page, axe_script) == []
        scene.get_by_role("button", name="Now").press("Enter")
        expect(where).to_contain_text("Now: ")
        put(client, run_id, "stopped")


def test_a_scene_that_cannot_be_drawn_says_why_on_the_page(served: Server, person: Opened) -> None:
    broken = GREY.replace(
        "return np.full((40, 60, 3), self.count % 256, np.uint8)", "raise ValueError('dry')"
    )
    with httpx.Client(base_url=served.url, timeout=240) as client:
        run_id = made(client, send(client, "dry", grey_experiment(SLOW, broken)))["id"]
        page = person.tab(f"{served.url}/ui/runs/{run_id}")
        expect(page.locator("p-scene").get_by_role("status")).to_contain_text("dry")
        put(client, run_id, "stopped")
