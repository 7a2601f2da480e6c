"""Every page: axe-core finds nothing to mend on it, in light and dark, wide and on a phone."""

import httpx
import pytest
from playwright.sync_api import Browser, expect
from tests.support.browser import PHONE, WIDE, opened, violations
from tests.support.server import Server

SESSION = {"kind": "session", "scenarios": {"customer_acquisition": ["base", "strong_word_of_mouth"]}}


@pytest.fixture(scope="package")
def addresses(served: Server) -> dict[str, str]:
    """The addresses of all pages, by the heading of each."""
    with httpx.Client(base_url=served.url, timeout=240) as client:
        session = client.post("/runs", json={**SESSION, "name": "A session"}).raise_for_status().json()["id"]
        client.post(f"/runs/{session}/steps", json={"steps": 20}).raise_for_status()
        fork = client.post(f"/runs/{session}/fork", json={"step": 10, "name": "A fork"}).raise_for_status()
    return {
        "Runs": "",
        "Begin something new": "new",
        "New session": "new/session",
        "New experiment": "new/experiment",
        "New binding network": "new/network",
        "A session": f"runs/{session}",
        "Compare": f"compare?runs={session},{fork.json()['id']}",
        "System": "system",
        "Log in": "login",
    }


@pytest.mark.parametrize(
    ("size", "theme"), [(WIDE, "light"), (WIDE, "dark"), (PHONE, "light")], ids=["wide", "dark", "phone"]
)
def test_axe_finds_nothing_to_mend_on_any_page(
    served: Server,
    browser: Browser,
    addresses: dict[str, str],
    axe_script: str,
    theme: str,
    size: dict[str, int],
) -> None:
    found = {}
    with opened(browser, color_scheme=theme, viewport=size) as person:
        for heading, address in addresses.items():
            page = person.tab(f"{served.url}/ui/{address}")
            expect(page.get_by_role("heading", level=1)).to_have_text(heading)
            if wrong := violations(page, axe_script):
                found[heading] = wrong
            page.close()
    assert found == {}
