"""The registry finds tasks by name, and a child finds them again by what it knew them by."""

import re
import sys
from importlib import metadata
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support import small_tasks

from perdure.drivers import task_registry
from perdure.drivers.computed_by import ComputedBy, hash_of
from perdure.drivers.task_registry import TaskRegistry, find_task
from perdure.errors import InvalidTask, TaskNotFound

SOURCE = "tests.support.small_tasks"
FILE = """
from pydantic import BaseModel
from perdure.tasks import Task
class Given(BaseModel):
    more: "Given | None" = None
ONE = Task(name="one", input=Given, result=Given, function=lambda given, context: given)
BOTH = [ONE, Task(name="two", input=Given, result=Given, function=lambda given, context: given)]
"""


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "my_tasks.py"
    made.write_text(FILE)
    return made


def installed(monkeypatch: pytest.MonkeyPatch, **points: str) -> None:
    """Let these be what packages have installed."""
    made = EntryPoints(EntryPoint(name, value, task_registry.GROUP) for name, value in points.items())
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **wanted: made.select(**wanted))


def test_a_module_gives_all_its_tasks() -> None:
    registry = TaskRegistry([SOURCE])
    assert {task.name for task in registry} >= {"add", "fail", "spin", "lie", "hoard"}
    assert registry.get("add") is small_tasks.ADD
    assert registry.source("add") == SOURCE
    assert find_task("add", SOURCE) is small_tasks.ADD


def test_a_name_gives_one_task_or_several(file: Path) -> None:
    registry = TaskRegistry([f"{file}:BOTH", f"{SOURCE}:ADD"])
    assert {"add", "one", "two"} <= {task.name for task in registry}
    with pytest.raises(TaskNotFound):
        registry.get("fail")


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_pools_of_a_task_import_its_file_and_what_is_beside_it(tmp_path: Path, method: str) -> None:
    folder = tmp_path / "of_tasks"
    folder.mkdir()
    (folder / f"beside_{method}.py").write_text("def square(x):\n    return x * x\n")
    (folder / "pooled.py").write_text(
        "import multiprocessing\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        f"from beside_{method} import square\n"
        + FILE
        + "def shifted(x):\n"
        + "    return square(x) + 1\n"
        + "def work(given, context):\n"
        + f"    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context({method!r})) as pool:\n"
        + "        return list(pool.map(shifted, range(4)))\n"
        + "POOLED = Task(name='pooled', input=Given, result=Given, function=work)\n"
    )
    made: Any = find_task("pooled", f"{folder / 'pooled.py'}:POOLED")
    assert made.function(None, None) == [1, 2, 5, 10]


def test_a_file_is_found_again_from_another_folder(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    source = TaskRegistry(["my_tasks.py:ONE"]).source("one")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert source == f"{file}:ONE"
    found = find_task("one", source)
    assert found.input.model_validate({"more": {"more": None}})


def test_a_module_of_the_working_folder_is_found(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    monkeypatch.delitem(sys.modules, "my_tasks", raising=False)
    assert TaskRegistry(["my_tasks"]).get("one").name == "one"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("no_such_module_of_mine", "No module named"),
        ("no/such/file.py", "No such file"),
        (f"{SOURCE}:NOTHING", "has no 'NOTHING'"),
        (f"{SOURCE}:Total", "it contains no perdure.tasks.Task"),
        ("json", "it contains no perdure.tasks.Task"),
    ],
)
def test_a_source_without_a_task_says_what_is_wrong(source: str, words: str) -> None:
    with pytest.raises(InvalidTask, match=words):
        TaskRegistry([source])


def test_a_faulty_file_is_named_with_its_fault(tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text("raise RuntimeError('no luck')")
    with pytest.raises(InvalidTask, match=r"faulty\.py.*RuntimeError: no luck"):
        TaskRegistry([str(tmp_path / "faulty.py")])


def test_installed_tasks_are_found_by_name_in_the_child_too(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, add=f"{SOURCE}:ADD")
    registry = TaskRegistry()
    assert registry.get("add") is small_tasks.ADD
    assert registry.source("add") is None
    assert find_task("add", None) is small_tasks.ADD


def test_a_named_task_goes_before_an_installed_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, one=f"{SOURCE}:ADD")
    registry = TaskRegistry([str(file)])
    assert registry.get("one").name == "one"
    assert [task.name for task in registry] == ["one"]


@pytest.mark.parametrize("value", ["no_such_module:TASK", f"{SOURCE}:FAIL", f"{SOURCE}:Total"])
def test_a_faulty_package_hides_no_other_task(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, broken=value, add=f"{SOURCE}:ADD")
    registry = TaskRegistry()
    assert [task.name for task in registry] == ["add"]
    with pytest.raises(InvalidTask, match="broken"):
        registry.get("broken")


def test_an_unknown_task_is_answered_with_the_nearest() -> None:
    with pytest.raises(TaskNotFound, match="Did you mean 'add'"):
        TaskRegistry([SOURCE]).get("ad")


@pytest.mark.parametrize("source", [None, SOURCE])
def test_a_task_that_is_gone_says_where_it_was(source: str | None) -> None:
    with pytest.raises(TaskNotFound, match="once found in"):
        find_task("gone", source)


def versioned(folder: Path, name: str, *, version: str = "", more: str = "") -> Path:
    """Write a module with the task "one", in a version or in none."""
    made = folder / f"{name}.py"
    made.write_text(FILE.replace('name="one"', f'version="{version}", name="one"') + more)
    return made


def test_a_task_is_known_by_its_version_and_by_its_source_as_it_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an edit, the version isn't known until the server starts again: a child imports the new one."""
    monkeypatch.chdir(tmp_path)
    file = versioned(tmp_path, "versioned_module", version="1.2")
    registry = TaskRegistry(["versioned_module:ONE"])
    begun = registry.version("one")
    assert (begun.task, begun.version, begun.packages) == ("one", "1.2", {})
    assert begun.python == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert begun.sha256 == hash_of({"versioned_module": file.read_bytes()})
    versioned(tmp_path, "versioned_module", version="1.2", more="# edited\n")
    edited = registry.version("one")
    assert (edited.version, edited.sha256) == ("", hash_of({"versioned_module": file.read_bytes()}))


@pytest.mark.parametrize(
    ("edit", "goes_on"),
    [
        ({"version": "1.2"}, True),
        ({"version": "1.2", "more": "# edited\n"}, True),
        ({"version": "1.3"}, False),
        ({"version": "1.3", "more": "# edited\n"}, False),
    ],
)
def test_a_run_that_has_begun_goes_on_with_the_version_that_its_author_calls_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: dict[str, str], goes_on: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # an edit within a second may look like none
    monkeypatch.delitem(sys.modules, "called_module", raising=False)
    versioned(tmp_path, "called_module", version="1.2")
    needs = TaskRegistry(["called_module:ONE"]).version("one").to_text()
    monkeypatch.delitem(sys.modules, "called_module")
    versioned(tmp_path, "called_module", **edit)
    lacks = TaskRegistry(["called_module:ONE"]).lacks(needs)
    assert (lacks == "") is goes_on
    assert goes_on or re.search(r"'one' in version 1\.2.*; this server has it in version 1\.3", lacks)


@pytest.mark.parametrize(("more", "goes_on"), [("", True), ("# edited\n", False)])
def test_without_a_version_a_run_that_has_begun_goes_on_with_the_same_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, goes_on: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "plain_module", raising=False)
    versioned(tmp_path, "plain_module")
    needs = TaskRegistry(["plain_module:ONE"]).version("one").to_text()
    versioned(tmp_path, "plain_module", more=more)
    lacks = TaskRegistry(["plain_module:ONE"]).lacks(needs)
    assert (lacks == "") is goes_on


def test_an_installed_task_is_bound_to_the_version_of_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = TaskRegistry()
    begun = registry.version("stableconfigs")
    assert begun.packages == {"perdure": metadata.version("perdure")}
    needs = replace(begun, version="").to_text()
    assert registry.lacks(needs) == ""
    monkeypatch.setattr("importlib.metadata.version", lambda name: "99.0")
    assert "perdure 99.0" in registry.lacks(needs)
    assert registry.lacks(begun.to_text()) == ""  # its author says that it computes the same


def test_a_run_that_has_not_begun_takes_any_version_of_a_task_that_is_served() -> None:
    needs = ComputedBy(task="add").to_text()
    assert TaskRegistry([SOURCE]).lacks(needs) == ""
    assert TaskRegistry().lacks(needs) == (
        "No task 'add' is served here. Serve it again (--tasks), or stop the run."
    )


def test_a_faulty_package_is_what_a_run_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, broken="no_such_module:TASK")
    assert "No module named" in TaskRegistry().lacks(ComputedBy(task="broken").to_text())


def test_a_file_that_travels_needs_the_same_python_once_it_has_begun(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = TaskRegistry([str(file)])
    spec, files = registry.spec("one", b"{}")
    begun = registry.computed_by(spec)
    assert (spec.needs, spec.sha256, begun.task) == ("", hash_of(files), "")
    elsewhere = TaskRegistry()
    assert elsewhere.lacks(spec.needs) == elsewhere.lacks(begun.to_text()) == ""
    monkeypatch.setattr(task_registry, "python_version", lambda: "4.0")
    assert "this server has Python 4.0" in elsewhere.lacks(begun.to_text())
    assert elsewhere.lacks(replace(begun, version="1").to_text()) == ""


def test_runs_whose_files_differ_are_bound_to_the_same(
    file: Path,
) -> None:
    registry, texts, hashes = TaskRegistry([str(file)]), set(), set()
    source = file.read_text()
    for number in range(3):
        file.write_text(f"{source}# {number}\n")
        spec, _ = registry.spec("one", b"{}")
        texts.add(registry.computed_by(spec).to_text())
        hashes.add(spec.sha256)
    assert len(hashes) == 3
    assert texts == {ComputedBy(python=task_registry.python_version()).to_text()}
