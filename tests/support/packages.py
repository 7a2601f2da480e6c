"""Packages of others: installed into a folder, as a user's pip would, without a network."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.server import ROOT

__all__ = ["install"]

PACKAGES = ROOT / "tests" / "packages"


def install(name: str, folder: Path) -> dict[str, str]:
    """Install a package of `tests/packages` into a folder; return the environment that finds it."""
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *offline, "--target", folder, PACKAGES / name],
        check=True,
        timeout=240,
    )
    former = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), former]))}
