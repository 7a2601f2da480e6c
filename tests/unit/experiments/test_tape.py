"""The tape: answers the calls before a savepoint, compares those after it, and records what is new."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure.drivers.experiments.journal import RUN_LOOP, Journal, Looped, Record, records
from perdure.drivers.experiments.script_position import ScriptPosition
from perdure.drivers.experiments.tape import Phase, Tape
from perdure.errors import ReplayMismatch
from perdure.run import Step

FIRST = [
    Record(name="time.time", arguments=[], answer=1.5),
    Record(name=RUN_LOOP, arguments=[5, [["p", "e", 1]]], answer=Looped(rows=[[1]], steps=2, cut=True)),
]
SECOND = [
    Record(name=RUN_LOOP, arguments=[3, []], answer=Looped(rows=[[2]], steps=3)),
    Record(name="time.time", arguments=[], answer=2.5),
]


def page(calls: list[Record], number: int) -> Step:
    journal = Journal()
    for call in calls:
        journal.add(call)
    (entry,) = journal.take()
    return Step(position=number, inputs=entry.inputs, outputs=entry.outputs)


PAGES = [page(FIRST, 1), page(SECOND, 2)]


def tape(answered: int, pages: list[Step] = PAGES, **place: Any) -> tuple[Tape, list[int]]:
    """Return a tape, and a list that gets the number of the call at which the script arrives."""
    arrived: list[int] = []
    place = {"begun": True, **place}
    made = Tape(
        ScriptPosition(**place), pages, answered, Path("/folder"), lambda: arrived.append(made.number)
    )
    return made, arrived


def play(made: Tape, calls: list[Record], perform: Callable[[Any], Any]) -> list[Any]:
    made.begin()
    return [made.call(c.name, c.arguments, perform, again=c.name == RUN_LOOP) for c in calls]


def test_calls_before_the_savepoint_are_answered_without_being_performed() -> None:
    made, arrived = tape(answered=2)
    assert play(made, [*FIRST, *SECOND], lambda recorded: pytest.fail("performed")) == [
        call.answer for call in (*FIRST, *SECOND)
    ]
    assert (made.phase, arrived) == (Phase.ANSWERING, [])
    assert made.arriving


def test_calls_after_an_older_savepoint_are_made_again_and_clocks_are_answered() -> None:
    made, arrived = tape(answered=1)
    seen: list[Any] = []
    answers = play(made, [*FIRST, *SECOND], seen.append)
    assert seen == [SECOND[0].answer]
    assert answers == [call.answer for call in (*FIRST, *SECOND)]
    assert arrived == [2]  # inside the script's second call, which the savepoint had cut
    assert made.phase is Phase.RECORDING
    assert not made.journal


def test_what_is_not_on_the_tape_is_performed_and_recorded() -> None:
    made, arrived = tape(answered=2)
    play(made, [*FIRST, *SECOND], lambda recorded: None)
    assert made.call("time.time", [], lambda recorded: (recorded, 3.5)[1]) == 3.5
    assert (made.phase, arrived) == (Phase.RECORDING, [4])
    (entry,) = made.journal.take()
    (recorded,) = records([Step(position=1, inputs=entry.inputs, outputs=entry.outputs)])
    assert recorded == Record(name="time.time", arguments=[], answer=3.5)


def test_a_script_that_had_not_begun_arrives_before_its_first_call() -> None:
    made, arrived = tape(answered=0, pages=[], begun=False)
    made.begin()
    assert (made.phase, arrived) == (Phase.RECORDING, [1])


def test_a_script_that_ends_where_it_had_ended_arrives_there() -> None:
    made, arrived = tape(answered=2, ended=True)
    play(made, [*FIRST, *SECOND], lambda recorded: None)
    made.end()
    assert (made.phase, arrived) == (Phase.RECORDING, [4])


@pytest.mark.parametrize(
    ("calls", "last", "said"),
    [
        ([], ("time.sleep", [1.0]), r"calls time.sleep\(1.0\) .* it called time.time\(\) .* \(call 1\)"),
        (FIRST[:1], (RUN_LOOP, [6, []]), r"calls nrp.run_loop\(6\) .* called nrp.run_loop\(5, .* \(call 2\)"),
        ([*FIRST, *SECOND], ("time.time", []), r"calls time.time\(\) .* where it ended .* \(call 4\)"),
        (FIRST, None, r"the script ends, where it called nrp.run_loop\(3\) .* \(call 2\)"),
    ],
)
def test_another_call_than_the_one_on_the_tape_is_named(
    calls: list[Record], last: tuple[str, list[Any]] | None, said: str
) -> None:
    made, _ = tape(answered=2, ended=True)
    play(made, calls, lambda recorded: None)
    with pytest.raises(ReplayMismatch, match=said):
        made.end() if last is None else made.call(*last, lambda recorded: None)
    assert made.phase is Phase.ANSWERING
