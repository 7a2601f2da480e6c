"""The registry finds tasks by name, and a child finds them again by what it knew them by."""

import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest
from tests.support import small_tasks

from perdure.drivers import task_registry
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
    monkeypatch.setattr(task_registry, "entry_points", lambda **wanted: made.select(**wanted))


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
        (f"{SOURCE}:Total", "there is no perdure.tasks.Task"),
        ("json", "there is no perdure.tasks.Task"),
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
