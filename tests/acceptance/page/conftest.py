"""A server on which pages are looked at, and a browser; both shared by the tests of a module.

Not by those of a process: while the browser is there, its event loop runs, and other tests can't run theirs.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from tests.support.browser import Opened, axe, launched, opened
from tests.support.server import Server, running
from tests.support.services import missing

from perdure.api.page import FOLDER


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser."""
    with launched() as made:
        yield made


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without tokens that serves the example models; each test makes runs of its own on it."""
    if not (FOLDER / "index.html").is_file():
        missing("The page", "npm, and then: make serve")
    with running(tmp_path_factory.mktemp("page") / "perdure.db", "perdure.examples:catalogue") as server:
        yield server


@pytest.fixture
def person(browser: Browser) -> Iterator[Opened]:
    """Somebody with a browser, which is as good as new."""
    with opened(browser) as made:
        yield made


@pytest.fixture(scope="module")
def axe_script() -> str:
    """The script of axe-core."""
    return axe()
