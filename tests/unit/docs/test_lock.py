"""The lock names every dependency with the one version that was tested, and only names and versions."""

import os
import re
import subprocess
import tomllib
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from tests.support.server import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINES = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
LOCKED = {canonicalize_name(name): Version(version) for name, version in (line.split("==") for line in LINES)}

DIRECT = [
    Requirement(text)
    for group in (
        PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"].values(),
        PROJECT["dependency-groups"]["dev"],
        PROJECT["build-system"]["requires"],
        ["pip"],
    )
    for text in group
]


def test_the_lock_holds_names_and_versions_only() -> None:
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line) for line in LINES)
    assert len(LOCKED) == len(LINES)


@pytest.mark.parametrize("requirement", DIRECT, ids=str)
def test_every_direct_dependency_is_locked_within_its_range(requirement: Requirement) -> None:
    version = LOCKED[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version, prereleases=True)


def test_whatever_the_dependencies_need_in_turn_is_locked_too() -> None:
    waiting = [(canonicalize_name(found.name), tuple(found.extras)) for found in DIRECT]
    seen = set()
    while waiting:
        name, extras = waiting.pop()
        try:
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # what builds the package isn't installed beside it
        for text in needed:
            found = Requirement(text)
            if found.marker and not any(found.marker.evaluate({"extra": extra}) for extra in (*extras, "")):
                continue
            key = (canonicalize_name(found.name), tuple(found.extras))
            if key not in seen:
                seen.add(key)
                waiting.append(key)
                assert key[0] in LOCKED, f"{name} needs {key[0]}: run make lock"
    assert seen


@pytest.mark.parametrize("requirement", DIRECT, ids=str)
def test_no_range_has_an_upper_bound(requirement: Requirement) -> None:
    """One belongs there only for a known break, with the reason beside it; then name it here."""
    assert all(part.operator in (">=", "!=") for part in requirement.specifier)


@pytest.mark.parametrize(("options", "locked"), [([], True), (["LATEST=1"], False)])
def test_make_installs_from_the_lock_unless_the_latest_versions_are_asked_for(
    options: list[str], locked: bool
) -> None:
    shown = subprocess.run(
        ["make", "-n", "-B", "-C", str(ROOT), "serve", "test", *options],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},  # not what a make that runs these tests hands on
    ).stdout
    installing = [line for line in shown.splitlines() if "pip install" in line]
    assert len(installing) == 3
    assert all(("--constraint constraints.txt" in line) is locked for line in installing)
    assert all(("--upgrade-strategy eager" in line) is not locked for line in installing[1:])
