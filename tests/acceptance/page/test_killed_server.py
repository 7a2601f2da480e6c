"""A server that dies under a page, which goes on when it is there again."""

from pathlib import Path

import httpx
from playwright.sync_api import Browser, expect
from tests.support.browser import opened
from tests.support.server import running

MODELS = "perdure.examples:catalogue"
SESSION = {"kind": "session", "scenarios": {"customer_acquisition": ["base"]}}
SLIDER = "word_of_mouth_success"
TOKEN = {"Authorization": "Bearer a-token-of-ada"}
TOKENS = {"PERDURE_TOKENS": "ada:a-token-of-ada"}


def test_a_killed_server_is_gone_on_with_in_the_same_page_and_without_a_new_login(
    browser: Browser, tmp_path: Path
) -> None:
    store = tmp_path / "perdure.db"
    with opened(browser) as person, running(store, MODELS, TOKENS) as first:
        page = person.tab(f"{first.url}/ui/")
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_contain_text("wrong")
        page.get_by_label("Token").fill("a-token-of-ada")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Runs")
        expect(page.get_by_text("ada", exact=True)).to_be_visible()
        with httpx.Client(base_url=first.url, headers=TOKEN, timeout=240) as client:
            session = client.post("/runs", json={**SESSION, "name": "mine"}).raise_for_status().json()["id"]
            client.post(f"/runs/{session}/steps", json={"steps": 10}).raise_for_status()
        page.get_by_role("link", name="mine").click()
        stands = page.get_by_role("region", name="Steps").get_by_role("status")
        expect(stands).to_contain_text("Step 10 of 60")
        page.get_by_role("slider", name=SLIDER).fill("0.03")
        expect(page.get_by_text("1 change not sent")).to_be_visible()
        page.evaluate("window.sameAsBefore = true")
        form = person.tab(f"{first.url}/ui/new/experiment")  # which follows no run
        expect(form.get_by_text("None is stored yet.")).to_be_visible()
        first.kill()
        for tab in (page, form):
            expect(tab.get_by_text("The server doesn't answer.").first).to_be_visible()
        page.get_by_role("button", name="Step", exact=True).click()  # which waits for the server
        expect(stands).to_contain_text("waiting for the server")
        port = ("--port", first.url.rpartition(":")[2])
        with running(store, MODELS, TOKENS, port) as second:
            expect(stands).to_contain_text("Step 11 of 60")
            for tab in (page, form):
                expect(tab.get_by_text("The server doesn't answer.")).to_be_hidden()
            page.get_by_role("button", name="Step", exact=True).click()
            expect(stands).to_contain_text("Step 12 of 60")
            assert page.evaluate("window.sameAsBefore") is True
            answer = httpx.get(f"{second.url}/runs/{session}/settings", headers=TOKEN, timeout=240).json()
            (change,) = answer["changes"]
            given = change["settings"]["customer_acquisition"]["base"]["constants"]
            assert (change["step"], given) == (11, {SLIDER: 0.03})
