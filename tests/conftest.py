"""What holds for every test.

Hypothesis has no deadline, since a busy machine is no failure of a law. Temporary folders are in memory where
there is room: syncs to a disk take most of the time of many tests, and those of power cuts simulate them.
Clients speak plain HTTP with loopback, so they find no certificates: each reads all of them when it is made.
They wait longer than httpx's five seconds, which a server may need where many tests run at once. A command
that a test runs in its own process configures logging; the next test finds it as it was. The collector leaves
out the tests themselves and all that they import, since it would look through them again and again.
"""

import gc
import inspect
import os
import shutil
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import httpx
import pytest
import structlog
from hypothesis import HealthCheck, settings

# Fixtures of real services, which start with the first test that asks for them.
pytest_plugins = ["tests.support.brokers", "tests.support.postgres"]

MEMORY = Path("/dev/shm")
ROOM = 4 << 30  # bytes

settings.register_profile("perdure", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("perdure")

os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent)

patience = inspect.signature(httpx.get).parameters["timeout"].default
patience.connect = patience.read = patience.write = patience.pool = 240.0

if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_configure() -> None:
    """Refuse an installation that was made before pyproject.toml named the entry points of now."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    for group, wanted in project["entry-points"].items():
        found = {point.name: point.value for point in entry_points(group=group)}
        if not wanted.items() <= found.items():
            raise pytest.UsageError(
                f"{group} changed since perdure was installed: `pip install --editable .`"
            )


def pytest_collection_finish() -> None:
    """Take what is there now, which stays to the end, out of the collector's sight."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    before = structlog.get_config() if structlog.is_configured() else None
    yield
    if before is None:
        structlog.reset_defaults()
    else:
        structlog.configure(**before)
