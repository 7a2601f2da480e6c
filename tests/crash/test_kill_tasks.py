"""Tasks whose processes are killed at random moments end with the answers and lines of undisturbed ones.

``make test`` kills 8 times, ``make crash KILLS=n`` as often as one likes.
"""

import os
import sys
from contextlib import closing
from pathlib import Path
from statistics import median

import msgspec
import pytest
from tests.support import enumeration
from tests.support.task_chaos import TaskChaos

from perdure.lifecycle import Outcome, RunStatus
from perdure.stores.sqlite import SqliteStore

KILLS = int(os.environ.get("CRASH_KILLS", "8"))
TASKS = 5
MOST_SAVEPOINTS_BETWEEN_KILLS = 20
ITEMS = 40 + KILLS * MOST_SAVEPOINTS_BETWEEN_KILLS // TASKS * 2

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="docs/execution.md says what is weaker elsewhere"
)


def lines_of(folder: Path, task: str) -> list[tuple[int, str]]:
    """Return the numbers and texts of the lines that a task wrote, as far as they are kept."""
    with closing(SqliteStore(folder)) as store:
        found = [(line.number, line.text) for line in store.log_lines(task, limit=10**6)]
    assert found
    assert found[-1] == (2 * ITEMS, f"comes {ITEMS}")
    return found


def test_killed_tasks_end_with_the_same_answers_and_leave_no_process(tmp_path: Path) -> None:
    specs = {f"task-{seed}": enumeration.spec(seed, ITEMS) for seed in range(TASKS)}
    (tmp_path / "killed").mkdir()
    with TaskChaos(tmp_path / "killed", "tests.support.enumeration:run", specs) as chaos:
        chaos.kill_often(KILLS, MOST_SAVEPOINTS_BETWEEN_KILLS)
        ended = chaos.finish()
    assert chaos.left_over() == []
    with TaskChaos(tmp_path, "tests.support.enumeration:run", specs) as undisturbed:
        expected = undisturbed.finish()
    for task in specs:
        assert lines_of(chaos.folder, task) == lines_of(undisturbed.folder, task)

    attempts = 0
    for task, (run, execution) in ended.items():
        assert (run.state, run.outcome) == (RunStatus.COMPLETED, Outcome.SUCCEEDED), run.reason
        *answer, begins = msgspec.msgpack.decode(execution.result or b"")
        *undisturbed_answer, only = msgspec.msgpack.decode(expected[task][1].result or b"")
        assert answer == undisturbed_answer
        assert (only, run.position) == ([0], ITEMS)
        # Every attempt that saved anything began where the one before had saved last, none from zero.
        assert begins == sorted(set(begins))
        attempts += execution.attempt
    assert attempts > TASKS
    waits = sorted(chaos.resumed_after)
    print(
        f"\n{dict(chaos.kills)}, {attempts} attempts at {TASKS} tasks: all answers the same; from a server "
        f"being up to a task's next savepoint {median(waits):.2f} s, at most {waits[-1]:.2f} s"
    )
