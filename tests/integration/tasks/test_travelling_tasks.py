"""A task's file travels with its run: it is computed as it was, on a host that never had the file."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from tests.support.in_process import Client, in_process

from perdure.drivers.computed_by import hash_of
from perdure.drivers.task_registry import TaskRegistry
from perdure.drivers.tasks import NewTask, Tasks
from perdure.execution.unplaced import Unplaced
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore
from perdure.web.auth import LOCAL

MAIN = """
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pydantic import BaseModel
from perdure.tasks import Task
from steps_of_mine import STEP
from steps_of_mine.inner import doubled

class Given(BaseModel):
    number: int

class Result(BaseModel):
    number: int
    wanted: str | None

def more(number):
    return doubled(number) + STEP

def once(given, context):
    return Result(number=more(given.number), wanted=os.environ.get("WANTED_HERE"))

def pooled(given, context):
    found = []
    for method in ("spawn", "forkserver"):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
            found += pool.map(more, range(given.number))
    return Result(number=sum(found), wanted=None)

def wrong(given, context):
    raise ValueError("no luck")  # as it was

ONCE = Task(name="once", input=Given, result=Result, function=once, environment=("WANTED_HERE",))
POOLED = Task(name="pooled", input=Given, result=Result, function=pooled)
WRONG = Task(name="wrong", input=Given, result=Result, function=wrong)
"""
FILES = {
    "travelling_tasks.py": MAIN,
    "steps_of_mine/__init__.py": "STEP = 1\n",
    "steps_of_mine/inner.py": "from . import STEP\ndef doubled(number):\n    return 2 * number * STEP\n",
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Mapping[str, str]]]:
    """Make runs where the files are, and work on them where they aren't; yield their ids by task."""
    folder = tmp_path_factory.mktemp("of_tasks")
    for path, text in FILES.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    store = MemoryStore()
    registry = TaskRegistry([str(folder / "travelling_tasks.py")])

    async def make() -> Mapping[str, str]:
        tasks = Tasks(store, registry, Unplaced(store), Settings())
        names = ("once", "pooled", "wrong")
        return {name: (await tasks.create(LOCAL, NewTask.of(name, {"number": 4}))).run.id for name in names}

    runs = asyncio.run(make())
    (folder / "travelling_tasks.py").unlink()
    (folder / "steps_of_mine/__init__.py").write_text("STEP = 100\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        patch.setenv("WANTED_HERE", "the worker's")
        with in_process(Settings(store="memory://"), store) as client:
            yield client, runs


def result_of(ended: tuple[Client, Mapping[str, str]], task: str) -> Any:
    client, runs = ended
    client.get(f"/runs/{runs[task]}/events")  # which last until it ends
    return client.get(f"/runs/{runs[task]}/result").json()


def test_a_task_whose_files_were_edited_and_removed_computes_as_it_was(
    ended: tuple[Client, Mapping[str, str]],
) -> None:
    assert result_of(ended, "once")["result"] == {"number": 9, "wanted": "the worker's"}


def test_a_task_is_computed_by_the_files_that_travelled(ended: tuple[Client, Mapping[str, str]]) -> None:
    files = hash_of({path: text.encode() for path, text in FILES.items()})
    client, runs = ended
    result_of(ended, "wrong")
    found = client.get(f"/runs/{runs['wrong']}").json()["computed_by"]
    assert (found["sha256"], found["version"], found["packages"]) == (files, None, {})


def test_spawned_processes_of_a_task_import_what_travelled(ended: tuple[Client, Mapping[str, str]]) -> None:
    assert result_of(ended, "pooled")["result"] == {"number": 2 * 16, "wanted": None}


def test_the_traceback_of_a_task_has_the_lines_that_travelled(
    ended: tuple[Client, Mapping[str, str]],
) -> None:
    line = MAIN.splitlines().index('    raise ValueError("no luck")  # as it was') + 1
    assert result_of(ended, "wrong")["reason"].endswith(f"travelling_tasks.py, line {line})")
    client, runs = ended
    text = "\n".join(it["text"] for it in client.get(f"/runs/{runs['wrong']}/logs").json()["lines"])
    assert (
        f'travelling_tasks.py", line {line}, in wrong\n    raise ValueError("no luck")  # as it was' in text
    )
