"""Where tokens are set: the page asks for one, goes back to where one was, and forgets it when asked to."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Page, expect
from tests.support.browser import Opened
from tests.support.server import Server, running

TOKENS = "ada:first-token,bob:second-token"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    store: Path = tmp_path_factory.mktemp("guarded") / "perdure.db"
    environment = {"PERDURE_TOKENS": TOKENS}
    with running(store, "perdure.examples:catalogue", environment) as server:
        yield server


def log_in(page: Page, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()


def test_it_asks_for_a_token_and_goes_back_to_where_one_was(guarded: Server, person: Opened) -> None:
    page = person.tab(f"{guarded.url}/ui/?kind=session&sort=name")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    log_in(page, "wrong")
    expect(page.get_by_role("alert")).to_contain_text("The token is wrong.")
    log_in(page, "first-token")
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    assert page.url == f"{guarded.url}/ui/?kind=session&sort=name"
    expect(page.get_by_text("ada", exact=True)).to_be_visible()


def test_a_login_shows_the_owners_runs_live_and_logging_out_ends_that(
    guarded: Server, person: Opened
) -> None:
    page = person.tab(f"{guarded.url}/ui/")
    log_in(page, "second-token")
    expect(page.get_by_text("0 runs")).to_be_visible()
    body = {"kind": "session", "scenarios": {"customer_acquisition": ["base"]}}
    for token, name in (("first-token", "Ada's"), ("second-token", "Bob's")):
        httpx.post(
            f"{guarded.url}/runs",
            json={**body, "name": name},
            headers={"Authorization": f"Bearer {token}"},
            timeout=240,
        ).raise_for_status()
    expect(page.get_by_role("link", name="Bob's")).to_be_visible()
    expect(page.get_by_role("link", name="Ada's")).to_have_count(0)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert person.context.cookies() == []


@pytest.mark.parametrize(
    "back", ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:x"]
)
def test_it_never_goes_back_to_another_server(guarded: Server, person: Opened, back: str) -> None:
    page = person.tab(f"{guarded.url}/ui/login?back={quote(back, safe='')}")
    log_in(page, "first-token")
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    assert page.url == f"{guarded.url}/ui/"


def test_the_system_shows_others_than_administrators_their_own_queue_only(
    guarded: Server, person: Opened
) -> None:
    page = person.tab(f"{guarded.url}/ui/system")
    log_in(page, "second-token")
    expect(page.get_by_role("heading", name="System")).to_be_visible()
    expect(page.get_by_text("Your own tasks and experiments.")).to_be_visible()
    expect(page.get_by_role("heading", name="Store")).to_have_count(0)


def test_who_logs_in_after_another_one_sees_nothing_of_that_ones_runs_in_any_tab(
    guarded: Server, person: Opened
) -> None:
    body = {"kind": "session", "scenarios": {"customer_acquisition": ["base"]}}

    def make(token: str, name: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        made = httpx.post(f"{guarded.url}/runs", json={**body, "name": name}, headers=headers, timeout=240)
        made.raise_for_status()

    first = person.tab(f"{guarded.url}/ui/")
    log_in(first, "second-token")
    other = person.tab(f"{guarded.url}/ui/")
    make("second-token", "Of the former")
    expect(other.get_by_role("link", name="Of the former")).to_be_visible()
    first.get_by_role("button", name="Log out").click()
    expect(other.get_by_role("heading", name="Log in")).to_be_visible()
    log_in(first, "first-token")
    expect(other.get_by_role("heading", name="Runs")).to_be_visible()
    make("second-token", "Not for others")
    make("first-token", "Of the present")
    for tab in (first, other):
        expect(tab.get_by_role("link", name="Of the present")).to_be_visible()
        expect(tab.get_by_role("link", name="Not for others")).to_have_count(0)
        expect(tab.get_by_role("link", name="Of the former")).to_have_count(0)
