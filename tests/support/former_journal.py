"""Journals as they were written before a `run_loop` was recorded in chunks: rewrites one into that form.

A page's calls then had four items, the third of which said whether the call was whole. A part of a call had
the arguments of the whole call and the steps and answers of all its parts so far; the savepoint said how far
the call had come.
"""

from typing import Any

from tests.support.cosimulated import MemoryKeeper

from perdure.drivers.experiments.journal import RUN_LOOP, records
from perdure.drivers.experiments.script_position import POSITION
from perdure.run import Step
from perdure.state.codec import decode, encode, pack
from perdure.state.savepoint import Savepoint

TIME_UP = "The simulation time is up: SimulationTimeout was reached."
ENDED = "The status function ended the simulation."


def rewrite(keeper: MemoryKeeper) -> None:
    """Put the whole journal of a keeper, and the places of its savepoints, into the former form."""
    places: dict[int, dict[str, int]] = {0: {"calls": 0, "done": 0, "rows": 0}}
    calls, count, datapacks, taken, rows = 0, 0, [], 0, 0
    for number, step in enumerate(keeper.steps):
        page: list[Any] = []
        answers: list[Any] = []
        for record in records([step]):
            kept = [_kept(argument) for argument in record.arguments]
            if record.name != RUN_LOOP:
                _add(page, answers, [record.name, kept, True, 1], _kept(record.answer))
                calls += 1
                continue
            chunk = record.answer
            if not taken:
                count, datapacks = record.arguments
            taken += chunk.steps
            rows += len(chunk.rows)
            over = ""
            if not chunk.cut and taken < count:
                over = TIME_UP if not chunk.done else "" if taken else ENDED
            answer = [chunk.rows, taken, chunk.done and not over, over]
            plain = not (chunk.rows or datapacks or answer[2] or over) and taken == count
            call = [RUN_LOOP, [count, _kept(datapacks)], not chunk.cut, 1]
            _add(page, answers, call, None if plain else pack(answer))
            if not chunk.cut:
                calls, taken, rows = calls + 1, 0, 0
        keeper.steps[number] = Step(position=step.position, inputs=encode(page), outputs=encode(answers))
        places[number + 1] = {"calls": calls, "done": taken, "rows": rows}
    keeper.order = [_with(savepoint, places[savepoint.position]) for savepoint in keeper.order]
    keeper.savepoints = {savepoint.timestamp: savepoint for savepoint in keeper.order}


def _add(page: list[Any], answers: list[Any], call: list[Any], answer: Any) -> None:
    """Add a call to a page, or count it with the one before, if both are whole."""
    if (
        page
        and call[2]
        and page[-1][:3] == call[:3]
        and pack([page[-1][1], answers[-1]]) == pack([call[1], answer])
    ):
        page[-1][3] += 1
    else:
        page.append(call)
        answers.append(answer)


def _with(savepoint: Savepoint, place: dict[str, int]) -> Savepoint:
    known: Any = decode(savepoint.entities[POSITION])
    entities = {**savepoint.entities, POSITION: encode({**known, **place})}
    return Savepoint(timestamp=savepoint.timestamp, position=savepoint.position, entities=entities)


def _kept(value: Any) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    return [] if value == [] else pack(value)
