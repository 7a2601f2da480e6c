"""The body of a task: what works on its run, here without a process."""

import pytest
from tests.support.task_context import Kept

from perdure.drivers.task_body import run
from perdure.drivers.task_spec import TaskSpec
from perdure.execution.context import BodyFailed
from perdure.state.codec import decode

SOURCE = "tests.support.small_tasks"


def spec(task: str, given: bytes = b"{}", source: str = SOURCE) -> TaskSpec:
    return TaskSpec(task=task, source=source, input=given)


def test_a_task_is_done_and_its_result_encoded() -> None:
    kept = Kept(spec("add", b'{"numbers": [1, 2, 3]}'))
    assert decode(run(kept.context)) == {"total": 6, "added": 3, "attempt": 1}
    assert [savepoint.timestamp for savepoint in kept.saved] == [1, 2, 3]
    assert kept.reports[-1] == {"progress": {"added": 3, "total": 6}}


def test_a_resumed_task_goes_on_from_its_savepoint() -> None:
    first = Kept(spec("add", b'{"numbers": [1, 2, 3]}'))
    run(first.context)
    kept = Kept(spec("add", b'{"numbers": [1, 2, 3]}'), first.saved[1], attempt=2)
    assert decode(run(kept.context)) == {"total": 6, "added": 1, "attempt": 2}


def test_numbers_of_any_size_come_back() -> None:
    kept = Kept(spec("add", b'{"numbers": [%d, 1]}' % 10**30))
    assert decode(run(kept.context))["total"] == 10**30 + 1


@pytest.mark.parametrize(
    ("task", "source", "given", "words"),
    [
        ("gone", SOURCE, b"{}", "task_not_found: No task is called 'gone'"),
        ("add", "no_such_module", b"{}", "invalid_task: The task 'no_such_module' can't be used"),
        (
            "add",
            SOURCE,
            b'{"numbers": 1}',
            "invalid_task_input: .*input.numbers must be a list, got 1",
        ),
        ("lie", SOURCE, b"{}", "invalid_result: the task 'lie' returned an invalid result"),
    ],
)
def test_what_is_wrong_with_a_task_is_the_reason(task: str, source: str, given: bytes, words: str) -> None:
    with pytest.raises(BodyFailed, match=words) as caught:
        run(Kept(spec(task, given, source)).context)
    assert caught.value.result is None


def test_a_task_that_fails_leaves_what_there_is_of_its_result() -> None:
    with pytest.raises(BodyFailed, match=r"too_odd: These numbers are too odd\.") as caught:
        run(Kept(spec("fail"), attempt=3).context)
    assert caught.value.code == "too_odd"
    assert decode(caught.value.result or b"") == {"total": 1, "added": 1, "attempt": 3}
