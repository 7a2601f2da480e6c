"""The documentation lists settings, errors and modules as the code has them."""

import re
from pathlib import Path

import pytest

from perdure import errors
from perdure.execution.environment import ALLOWED
from perdure.settings import Settings
from perdure.web.failures import status_of

DOCS = Path(__file__).parents[3] / "docs"
PACKAGE = Path(errors.__file__).parents[1]


def rows(page: str) -> list[list[str]]:
    """Return the cells of all table rows of a page, without the heads."""
    lines = (DOCS / page).read_text().splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in lines
        if line.startswith("|") and not line.startswith("| ---")
    ]


def test_every_setting_is_documented_with_its_default_and_meaning() -> None:
    documented = {row[0].strip(" `"): row[1:] for row in rows("settings.md")[1:]}
    actual = {}
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "none" if default in ({}, (), None) else f"`{default}`"
        actual[f"PERDURE_{name.upper()}"] = [shown, field.description]
    assert documented == actual


def test_every_error_is_documented_under_its_code_and_its_parent_status() -> None:
    documented = {row[0].strip(" `"): row[1] for row in rows("errors.md")[1:]}
    for name in errors.__all__:
        kind = getattr(errors, name)
        if isinstance(kind, type):
            assert kind.code in documented, f"{kind.code} is not in docs/errors.md"
            assert documented[kind.code] == str(status_of(kind)), kind.code


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    drawn = {"PerdureError", *re.findall(r"── (\w+)", errors.__doc__ or "")}
    classes = {name for name in errors.__all__ if isinstance(getattr(errors, name), type)}
    assert drawn == classes


def test_every_module_of_the_package_is_in_the_table_of_layers() -> None:
    described = {
        name for row in rows("architecture.md") for name in re.findall(r"`([\w/]+(?:\.py|/))`", row[0])
    }
    modules = {path.name for path in PACKAGE.glob("[!_]*.py")}
    packages = {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    assert described >= modules | packages


def test_every_module_that_the_page_on_architecture_names_by_its_path_exists() -> None:
    named = re.findall(r"`((?:\w+/)+(?:\w+\.py)?)`", (DOCS / "architecture.md").read_text())
    places = (
        PACKAGE,
        PACKAGE / "dialects",
        PACKAGE / "drivers",
        PACKAGE / "engines/system_dynamics",
        DOCS.parent,
    )
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_links_between_pages_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (DOCS / page).read_text()):
        if "://" not in target:
            assert (DOCS / target).exists(), f"{page} links to {target}"


def test_every_test_that_the_page_on_security_names_exists() -> None:
    """An attack that it says was tried has a test; parameters are left out there."""
    named = re.findall(r"`(tests/[\w/.]+\.py)::(\w+)`", (DOCS / "security.md").read_text())
    assert named
    for path, name in named:
        assert f"def {name}(" in (DOCS.parent / path).read_text(), f"{path}::{name}"


def test_the_variables_that_a_child_sees_are_listed() -> None:
    section = (
        (DOCS / "execution.md").read_text().partition("## A child's environment")[2].partition("\n## ")[0]
    )
    cells = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    assert {name for cell in cells for name in re.findall(r"`([A-Z_*]+)`", cell)} == set(ALLOWED)
