"""The spec of a task's run: what travels with it, and the specs that released versions have written."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from perdure.drivers.task_provisions import TaskProvisions
from perdure.drivers.task_registry import TaskRegistry
from perdure.drivers.task_spec import TaskSpec
from perdure.drivers.tasks import KIND
from perdure.errors import NotComputable
from perdure.execution.body import Provision
from perdure.run import Execution, Run
from perdure.state.codec import encode

FILE = """
from pydantic import BaseModel
from perdure.tasks import Task
class Given(BaseModel):
    number: int = 0
ONE = Task(
    name="one", input=Given, result=Given, function=lambda given, context: given, environment=("ONE_S",)
)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "one_task.py"
    made.write_text(FILE)
    return made


def provided(registry: TaskRegistry, blob: bytes, needs: str = "") -> Provision:
    run = Run(id="run", kind=KIND, owner="me", spec=blob, created=0.0, updated=0.0)
    execution = Execution(run_id="run", kind=KIND, owner="me", needs=needs)
    return TaskProvisions(registry).provide(run, execution, lambda: False)


@given(
    task=st.text(min_size=1),
    source=st.none() | st.text(),
    files=st.dictionaries(st.text(), st.binary()),
    version=st.text(),
    environment=st.lists(st.text()).map(tuple),
)
def test_a_spec_comes_back_as_it_was(**fields: Any) -> None:
    spec = TaskSpec(input=b"{}", **fields)
    back = TaskSpec.from_blob(spec.to_blob())
    assert back == spec
    assert [*back.files] == [*spec.files]


def test_no_path_of_the_host_is_kept(file: Path) -> None:
    spec = TaskRegistry([f"{file}:ONE"]).spec("one", b"{}")
    assert (spec.source, spec.files) == ("one_task.py:ONE", {"one_task.py": FILE.encode()})
    assert str(file.parent) not in repr(spec)


def test_a_file_that_is_gone_travels_as_it_was_registered(file: Path) -> None:
    registry = TaskRegistry([str(file)])
    file.unlink()
    assert registry.spec("one", b"{}").files == {"one_task.py": FILE.encode()}


def test_an_edited_file_travels_as_it_is_now(file: Path) -> None:
    registry = TaskRegistry([str(file)])
    file.write_text(FILE + "# edited\n")
    assert registry.spec("one", b"{}").files == {"one_task.py": FILE.encode() + b"# edited\n"}


def test_a_host_that_serves_the_file_offers_its_folder_and_any_host_the_variables(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONE_S", "here")
    here = TaskRegistry([str(file)])
    blob = here.spec("one", b"{}").to_blob()
    at_home, elsewhere = provided(here, blob), provided(TaskRegistry(), blob)
    assert at_home.given == {"folder": str(file.parent)}
    assert elsewhere.given == {}
    assert at_home.environment == elsewhere.environment == {"ONE_S": "here"}


def test_a_spec_of_a_released_version_finds_its_file_where_it_was(file: Path) -> None:
    blob = encode(["one", f"{file}:ONE", b"{}"], schema=1)
    assert TaskSpec.from_blob(blob) == TaskSpec(task="one", source=f"{file}:ONE", input=b"{}")
    assert provided(TaskRegistry(), blob).given == {}


def test_a_spec_of_a_released_version_whose_file_has_moved_takes_the_task_that_is_served(file: Path) -> None:
    blob = encode(["one", "/former/one_task.py:ONE", b"{}"], schema=1)
    assert provided(TaskRegistry([f"{file}:ONE"]), blob).given == {"source": f"{file}:ONE"}
    with pytest.raises(NotComputable, match="No task 'one' is served here"):
        provided(TaskRegistry(), blob)


def test_a_task_of_a_module_is_the_one_that_the_worker_serves(file: Path) -> None:
    blob = TaskSpec(task="add", source="another.place", input=b"{}").to_blob()
    served = TaskRegistry(["tests.support.small_tasks"])
    assert provided(served, blob).given == {"source": "tests.support.small_tasks"}
    with pytest.raises(NotComputable, match=r"No task 'add' is served here.*--tasks"):
        provided(TaskRegistry(), blob)


def test_no_attempt_is_made_with_another_version_than_the_run_has_begun_with() -> None:
    served = TaskRegistry(["tests.support.small_tasks"])
    spec = served.spec("add", b"{}")
    begun = served.computed_by(spec)
    assert provided(served, spec.to_blob(), begun.to_text()).computed_by == begun.to_text()
    with pytest.raises(NotComputable, match="has begun with the task 'add' in source 000000000000"):
        provided(served, spec.to_blob(), replace(begun, sha256="0" * 64).to_text())
