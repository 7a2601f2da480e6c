"""A real browser without a screen: Debian's Chromium, steered by Playwright.

Where it is installed, the build without windows and menus is taken: a test costs half as much with it.

There is one browser process a test process, and a test has a context of its own: nothing of another test is
in it. Whatever a page's script doesn't catch, and whatever its policy refused, fails the test.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from tests.support.services import missing

__all__ = ["PHONE", "WIDE", "Opened", "axe", "launched", "opened", "violations"]

ROOT = Path(__file__).parents[2]
WIDE = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}

PATIENCE = 60_000  # milliseconds: however busy the machine is
_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
)
_RUN = "axe.run(document, {resultTypes: ['violations']}).then(done => done.violations)"
_REFUSED = ("Content Security Policy", "Content-Security-Policy")

expect.set_options(timeout=PATIENCE)


@contextmanager
def launched() -> Iterator[Browser]:
    """Run the browser."""
    shell = "chromium-headless-shell"
    path = shutil.which(shell) or shutil.which("chromium") or missing("Chromium", shell)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*_ARGUMENTS])
        try:
            yield browser
        finally:
            browser.close()


class Opened:
    """One person's browser: its tabs share cookies, what is kept, and the stream of events.

    Attributes
    ----------
    context
        The context.
    problems
        What went wrong in its tabs, in words.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.problems: list[str] = []
        context.set_default_timeout(PATIENCE)
        context.on("weberror", lambda raised: self.problems.append(str(raised.error)))
        context.on("console", lambda line: self._note(line.text))
        context.on("dialog", lambda dialog: self._refuse(dialog))

    def tab(self, url: str) -> Page:
        """Open an address in a new tab."""
        page = self.context.new_page()
        page.goto(url, wait_until="domcontentloaded")
        return page

    def _note(self, text: str) -> None:
        if any(refused in text for refused in _REFUSED):
            self.problems.append(text)

    def _refuse(self, dialog: Any) -> None:
        self.problems.append(f"a dialog of the browser: {dialog.message}")
        dialog.dismiss()


@contextmanager
def opened(browser: Browser, **options: Any) -> Iterator[Opened]:
    """Yield a context of its own, and fail the test for what went wrong in it; in English and on UTC."""
    given = {"viewport": WIDE, "locale": "en-GB", "timezone_id": "UTC", "reduced_motion": "reduce", **options}
    context = browser.new_context(**given)
    made = Opened(context)
    try:
        yield made
        assert made.problems == []
    finally:
        context.close()


def axe() -> str:
    """Return the script of axe-core; skip the test if npm hasn't installed it."""
    script = ROOT / "ui" / "node_modules" / "axe-core" / "axe.min.js"
    if not script.is_file():
        missing("axe-core", "npm, and then: make ui/node_modules/.ready")
    return script.read_text("utf-8")


def violations(page: Page, script: str) -> list[str]:
    """Return what axe-core finds wrong on a page: each rule, and where it is broken."""
    page.evaluate(script)
    found: list[dict[str, Any]] = page.evaluate(_RUN)
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}" for each in found for node in each["nodes"]
    ]
