"""The spec of a task's run: what travels with it, and the specs that released versions have written."""

import asyncio
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from perdure.drivers.computed_by import ComputedBy, hash_of
from perdure.drivers.kept_files import DIALECT, KeptFiles
from perdure.drivers.task_examination import examine_task
from perdure.drivers.task_provisions import TaskProvisions
from perdure.drivers.task_registry import TaskRegistry
from perdure.drivers.task_spec import TaskSpec
from perdure.drivers.tasks import KIND
from perdure.errors import CorruptBlob, NotComputable
from perdure.execution.body import Provision
from perdure.numerics import fingerprint
from perdure.run import Execution, Run
from perdure.state.codec import encode
from perdure.stores.base import Store
from perdure.stores.commands import CreateRun, PutDocument
from perdure.stores.memory import MemoryStore
from perdure.testing.store_samples import WAIT

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


def provided(registry: TaskRegistry, blob: bytes, needs: str = "", store: Store | None = None) -> Provision:
    run = Run(id="run", kind=KIND, owner="me", spec=blob, created=0.0, updated=0.0)
    execution = Execution(run_id="run", kind=KIND, owner="me", needs=needs)
    return TaskProvisions(registry, store or MemoryStore()).provide(run, execution, lambda: False)


@given(
    task=st.text(min_size=1),
    source=st.none() | st.text(),
    sha256=st.text(),
    version=st.text(),
    environment=st.lists(st.text()).map(tuple),
)
def test_a_spec_comes_back_as_it_was(**fields: Any) -> None:
    spec = TaskSpec(input=b"{}", **fields)
    assert TaskSpec.from_blob(spec.to_blob()) == spec


def test_no_path_of_the_host_is_kept(file: Path) -> None:
    spec, files = TaskRegistry([f"{file}:ONE"]).spec("one", b"{}")
    assert (spec.source, files) == ("one_task.py:ONE", {"one_task.py": FILE.encode()})
    assert str(file.parent) not in repr(spec)


def test_a_file_that_is_gone_travels_as_it_was_registered(file: Path) -> None:
    registry = TaskRegistry([str(file)])
    file.unlink()
    assert registry.spec("one", b"{}")[1] == {"one_task.py": FILE.encode()}


def test_an_edited_file_travels_as_it_is_now(file: Path) -> None:
    registry = TaskRegistry([str(file)])
    file.write_text(FILE + "# edited\n")
    spec, files = registry.spec("one", b"{}")
    assert files == {"one_task.py": FILE.encode() + b"# edited\n"}
    assert spec.sha256 == hash_of(files)


def test_a_spec_is_as_small_for_large_files(file: Path) -> None:
    """However large they are, a look at a run decodes no more than their hash."""
    file.write_text(FILE + "import large\n")
    file.with_name("large.py").write_text("".join(f"V{n} = {hash(str(n))}\n" for n in range(20_000)))
    spec, files = TaskRegistry([str(file)]).spec("one", b"{}")
    assert len(files["large.py"]) > 400_000
    assert len(spec.to_blob()) < 400


def test_files_are_kept_once_for_all_runs_and_come_back_as_they_were(file: Path) -> None:
    store = MemoryStore()
    spec, files = TaskRegistry([str(file)]).spec("one", b"{}")
    one, other = KeptFiles(store), KeptFiles(store)
    for kept in (one, one, other):
        asyncio.run(kept.keep(spec.sha256, files))
    assert [document.id for document in store.documents(DIALECT)] == [spec.sha256]
    assert KeptFiles(store).read(spec.sha256) == files


@pytest.mark.parametrize("there", [None, b"", encode({"one_task.py": b"another"}, schema=1)])
def test_files_that_are_lost_or_others_are_named_and_found_by_an_examination(
    file: Path, there: bytes | None
) -> None:
    store = MemoryStore()
    spec, _ = TaskRegistry([str(file)]).spec("one", b"{}")
    if there is not None:
        store.submit(PutDocument(DIALECT, spec.sha256, there, None)).result(WAIT)
    with pytest.raises(CorruptBlob):
        provided(TaskRegistry(), spec.to_blob(), store=store)
    run = Run(id="run", kind=KIND, owner="me", spec=spec.to_blob(), created=0.0, updated=0.0)
    execution = Execution(run_id="run", kind=KIND, owner="me")
    store.submit(CreateRun(run, execution=execution)).result(WAIT)
    assert [finding.place for finding in examine_task(store, run)] == ["spec"]


def test_a_host_that_serves_the_file_offers_its_folder_and_any_host_the_variables(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONE_S", "here")
    here = TaskRegistry([str(file)])
    spec, files = here.spec("one", b"{}")
    blob, store = spec.to_blob(), MemoryStore()
    asyncio.run(KeptFiles(store).keep(spec.sha256, files))
    at_home, elsewhere = (provided(it, blob, store=store) for it in (here, TaskRegistry()))
    travelled = {
        "files": json.dumps({"one_task.py": b64encode(FILE.encode()).decode()}, separators=(",", ":"))
    }
    assert at_home.given == travelled | {"folder": str(file.parent)}
    assert elsewhere.given == travelled
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
    spec, _ = served.spec("add", b"{}")
    begun = served.computed_by(spec).at(fingerprint(), ComputedBy())
    assert provided(served, spec.to_blob(), begun.to_text()).computed_by == begun.to_text()
    with pytest.raises(NotComputable, match="has begun with the task 'add' in source 000000000000"):
        provided(served, spec.to_blob(), replace(begun, sha256="0" * 64).to_text())
    with pytest.raises(NotComputable, match="numeric fingerprint 0000000000000000, and this host has"):
        provided(served, spec.to_blob(), replace(begun, numerics="0" * 16).to_text())
