"""The journal: the calls a script made and what they answered, gathered into one log entry a savepoint.

A page, that is an entry of the step log, holds the calls since the last savepoint: its inputs are the calls
and its outputs the answers, in order. Calls of `run_loop` in which nothing was answered are counted, not
repeated, so that a script's plain loop costs one record a savepoint. A call that a savepoint falls into is
recorded up to there and goes on in the next page.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from perdure.drivers.experiments.nrp import Rows
from perdure.run import Entry, Step
from perdure.state.codec import State, decode, encode, pack, unpack

__all__ = ["RUN_LOOP", "Journal", "Looped", "Record", "records", "trajectory"]

RUN_LOOP = "nrp.run_loop"
_SCALARS = (type(None), bool, int, float, str)


class Looped(msgspec.Struct, frozen=True, kw_only=True):
    """What a `run_loop` came to, or a part of it: the rows, and the steps taken in the call so far.

    `done` is the status function's word; `over` says that the time was up, and why.
    """

    rows: Rows
    steps: int
    done: bool = False
    over: str = ""

    def to_state(self) -> State:
        """Return it as a state."""
        return [self.rows, self.steps, self.done, self.over]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A call in the journal, or a part of one; `answer` is a `Looped` for `run_loop`."""

    name: str
    arguments: list[Any]
    answer: Any
    whole: bool = True


class Journal:
    """The calls since the last savepoint."""

    def __init__(self) -> None:
        self._calls: list[State] = []
        self._answers: list[State] = []
        self._plain: list[Any] | None = None  # the last record, if it may be counted up

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, record: Record) -> None:
        """Record a call, or the part of one that a savepoint ends; packed at once, whoever changes it later.

        Raises
        ------
        NotSnapshotable
            If an argument or the answer is of a type that would not come back as it was.
        """
        looped = record.answer if record.name == RUN_LOOP else None
        if looped and record.whole and _is_plain(looped, record.arguments):
            if self._plain is not None and self._plain[1] == record.arguments:
                self._plain[3] += 1
                return
            self._plain = [record.name, list(record.arguments), True, 1]
            self._calls.append(self._plain)
            self._answers.append(None)
            return
        self._plain = None
        self._calls.append([record.name, [_kept(argument) for argument in record.arguments], record.whole, 1])
        if looped:
            self._answers.append([_kept(looped.rows), looped.steps, looped.done, looped.over])
        else:
            self._answers.append(_kept(record.answer))

    def take(self) -> list[Entry]:
        """Return the page and begin the next; no page if nothing was recorded."""
        if not self._calls:
            return []
        entry = Entry(inputs=encode(self._calls), outputs=encode(self._answers))
        self._calls, self._answers, self._plain = [], [], None
        return [entry]


def records(steps: Iterable[Step]) -> Iterator[Record]:
    """Read pages back, each counted call as often as it was made.

    Raises
    ------
    CorruptBlob, NewerSchema
        If a page can't be trusted.
    """
    for step in steps:
        calls = decode(step.inputs or b"")
        for (name, kept, whole, count), answer in zip(calls, decode(step.outputs), strict=True):
            arguments = [_read(argument) for argument in kept]
            if name != RUN_LOOP:
                answer = _read(answer)
            elif answer is None:
                answer = Looped(rows=[], steps=arguments[0])
            else:
                rows, taken, done, over = answer
                answer = Looped(rows=_read(rows), steps=taken, done=done, over=over)
            record = Record(name=name, arguments=arguments, answer=answer, whole=whole)
            for _ in range(count):
                yield record


def trajectory(steps: Iterable[Step]) -> Iterator[Any]:
    """Return what the status function answered, row by row, from the pages of a run's log."""
    for record in records(steps):
        if record.name == RUN_LOOP:
            yield from record.answer.rows


def _is_plain(looped: Looped, arguments: list[Any]) -> bool:
    """Return whether a call was given no data packs, took all its steps and answered nothing."""
    count, datapacks = arguments
    return not (looped.rows or datapacks or looped.done or looped.over) and looped.steps == count


def _kept(value: Any) -> State:
    """Return a value as it can't be changed by whoever else holds it."""
    return value if type(value) in _SCALARS else pack(value)


def _read(value: Any) -> Any:
    return unpack(value) if type(value) is bytes else value
