"""Pictures of every page, in light and dark, wide and on a phone: `make screenshots`.

They are of a server of their own, with runs of each kind. Four of them stand in the README. With names of
pages, as in `python -m tests.screenshots experiment`, only the pictures of these are taken.
"""

import io
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import httpx
from playwright.sync_api import Page
from tests.support.browser import PHONE, WIDE, launched, opened
from tests.support.server import ROOT, running

FOLDER = ROOT / "screenshots"
README = ROOT / "docs" / "pictures"
SHOWN = ("session-light-wide", "experiment-dark-wide", "compare-light-wide", "runs-dark-phone")
"""Those in the README."""

SETTLED = 2_500  # milliseconds
READINGS = 8_000  # until the charts of the system have some


def main(only: Sequence[str]) -> None:
    """Take all pictures, or those of some pages."""
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder) / "perdure.db", "perdure.examples:catalogue") as server,
        launched() as browser,
    ):
        addresses = _prepare(server.url)
        for theme in ("light", "dark"):
            for size, viewport in (("wide", WIDE), ("phone", PHONE)):
                with opened(browser, color_scheme=theme, viewport=viewport) as person:
                    for name, address in addresses.items():
                        if only and name not in only:
                            continue
                        page = person.tab(f"{server.url}/ui{address}")
                        _take(page, name, FOLDER / f"{name}-{theme}-{size}.png")
                        page.close()
    README.mkdir(exist_ok=True)
    for name in SHOWN:
        if (FOLDER / f"{name}.png").exists():
            shutil.copy(FOLDER / f"{name}.png", README / f"{name}.png")
    print(f"{len(list(FOLDER.iterdir()))} pictures are in {FOLDER}")


def _take(page: Page, name: str, file: Path) -> None:
    """Take a picture of what is in view of a page that the README shows, and of the whole of another one."""
    page.get_by_role("heading", level=1).wait_for()
    if name == "experiment":
        page.get_by_role("img", name="The scene of").first.wait_for()
    page.wait_for_timeout(READINGS if name == "system" else SETTLED)
    page.screenshot(path=file, full_page=file.stem not in SHOWN)


def _prepare(url: str) -> dict[str, str]:
    """Make runs of each kind; return the name and the address of each page."""
    with httpx.Client(base_url=url, timeout=240) as client:
        session = _made(
            client,
            kind="session",
            scenarios={"customer_acquisition": ["base", "strong_word_of_mouth"]},
            name="Word of mouth",
            tags=["marketing"],
        )
        client.post(f"/runs/{session}/steps", json={"steps": 40}).raise_for_status()
        body = {"step": 10, "name": "A better campaign"}
        fork = client.post(f"/runs/{session}/fork", json=body).raise_for_status().json()["id"]
        better = {"constants": {"word_of_mouth_success": 0.04}}
        settings = {"customer_acquisition": {"base": better, "strong_word_of_mouth": better}}
        client.post(f"/runs/{fork}/steps", json={"steps": 30, "settings": settings}).raise_for_status()
        lines = (ROOT / "examples" / "networks" / "and_gate.txt").read_text().splitlines()
        monomers = [line for line in lines if line and not line.startswith("#")]
        asked = {"monomers": monomers, "all": True}
        task = _made(client, kind="task", task="stable_configurations", input=asked, name="AND gate")
        addresses = {
            "runs": "/",
            "new": "/new",
            "new-session": "/new/session",
            "new-experiment": "/new/experiment",
            "new-network": "/new/network",
            "session": f"/runs/{session}",
            "compare": f"/compare?runs={session},{fork}",
            "task": f"/runs/{task}",
            "system": "/system",
            "login": "/login",
        }
        zipped = _zip(ROOT / "examples" / "experiments" / "pendulum")
        headers = {"Content-Type": "application/zip"}
        client.post("/experiments?name=pendulum", content=zipped, headers=headers).raise_for_status()
        experiment = _made(
            client, kind="experiment", experiment="pendulum", name="Swing up", tags=["mujoco"], seed=7
        )
        client.put(f"/runs/{experiment}/state", json={"state": "started"}).raise_for_status()
        addresses["experiment"] = f"/runs/{experiment}"
    return addresses


def _made(client: httpx.Client, **body: object) -> str:
    run: str = client.post("/runs", json=body).raise_for_status().json()["id"]
    return run


def _zip(folder: Path) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    return made.getvalue()


if __name__ == "__main__":
    os.environ.setdefault("MUJOCO_GL", "egl")
    main(sys.argv[1:])
