"""The journal: the calls a script made and what they answered, gathered into one log entry a savepoint.

A page, that is an entry of the step log, holds the calls since the last savepoint: its inputs are the calls
and its outputs the answers, in order. Calls made again with the same arguments and the same answer are
counted, not repeated, so that a script's plain loop costs one record a savepoint. A call that a savepoint
falls into is recorded up to there and goes on in the next page. A journal that is full wants a savepoint.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from perdure.drivers.experiments.nrp import Rows
from perdure.run import Entry, Step
from perdure.state.codec import State, decode, encode, pack, unpack

__all__ = ["READINGS", "RUN_LOOP", "Journal", "Looped", "Record", "readings", "records", "trajectory"]

RUN_LOOP = "nrp.run_loop"
READINGS = "engines.readings"  # no call: what engines and functions were answered since the last page
MOST_RECORDS = 20_000  # in a page; a call that finds as many makes a savepoint first
MOST_BYTES = 4 << 20

_SCALARS = (type(None), bool, int, float, str)
_encode = msgspec.msgpack.Encoder().encode
_OVERHEAD = 16  # bytes of a record, about, beside what it holds


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
    """The calls since the last savepoint.

    Parameters
    ----------
    most_records, most_bytes
        When it is full. It still takes calls then: whoever makes them is to make a savepoint.
    """

    def __init__(self, *, most_records: int = MOST_RECORDS, most_bytes: int = MOST_BYTES) -> None:
        self._most_records = most_records
        self._most_bytes = most_bytes
        self._calls: list[State] = []
        self._answers: list[State] = []
        self._bytes = 0
        self._last: list[Any] = []  # the last record, if it is of a whole call

    def __bool__(self) -> bool:
        return bool(self._calls)

    @property
    def full(self) -> bool:
        """Whether there is as much in it as a page is to hold."""
        return self.full_with(0)

    def full_with(self, more: int) -> bool:
        """Return whether there would be as much in it as a page is to hold, with some more bytes."""
        return len(self._calls) >= self._most_records or self._bytes + more >= self._most_bytes

    def add(self, record: Record) -> None:
        """Record a call, or the part of one that a savepoint ends; packed at once, whoever changes it later.

        Raises
        ------
        NotSnapshotable
            If an argument or the answer is of a type that would not come back as it was.
        """
        answer = record.answer
        if record.name != RUN_LOOP:
            kept = _kept(answer)
        elif _is_plain(answer, record.arguments):
            kept = None
        else:
            kept = _packed(answer)
        arguments: list[State] = [_kept(argument) for argument in record.arguments]
        call: list[Any] = [record.name, arguments, record.whole, 1]
        last = self._last
        if last and last[:3] == call[:3] and _alike([last[1], self._answers[-1]], [arguments, kept]):
            last[3] += 1
            return
        self._calls.append(call)
        self._answers.append(kept)
        self._bytes += _OVERHEAD + sum(map(_size, arguments)) + _size(kept)
        self._last = call if record.whole else []

    def take(self) -> list[Entry]:
        """Return the page and begin the next; no page if nothing was recorded."""
        if not self._calls:
            return []
        entry = Entry(inputs=encode(self._calls), outputs=encode(self._answers))
        self._calls, self._answers, self._bytes, self._last = [], [], 0, []
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
            if name == READINGS:
                continue
            arguments = [_read(argument) for argument in kept]
            record = Record(
                name=name, arguments=arguments, answer=_answer(name, arguments, answer), whole=whole
            )
            for again in range(count):
                if again and type(answer) is bytes:  # a script may have changed what it was answered
                    record = msgspec.structs.replace(record, answer=_answer(name, arguments, answer))
                yield record


def readings(steps: Iterable[Step]) -> Iterator[Any]:
    """Return what engines and functions were answered, page by page."""
    for step in steps:
        calls = decode(step.inputs or b"")
        if any(name == READINGS for name, *_ in calls):
            for (name, *_), answer in zip(calls, decode(step.outputs), strict=True):
                if name == READINGS:
                    yield _read(answer)


def trajectory(steps: Iterable[Step]) -> Iterator[Any]:
    """Return what the status function answered, row by row, from the pages of a run's log."""
    for record in records(steps):
        if record.name == RUN_LOOP:
            yield from record.answer.rows


def _answer(name: str, arguments: list[Any], kept: Any) -> Any:
    """Return an answer that `Journal.add` kept, for one call alone."""
    answer = _read(kept)
    if name != RUN_LOOP:
        return answer
    if answer is None:
        return Looped(rows=[], steps=arguments[0])
    rows, steps, done, over = answer
    return Looped(rows=rows, steps=steps, done=done, over=over)


def _is_plain(looped: Looped, arguments: list[Any]) -> bool:
    """Return whether a call was given no data packs, took all its steps and answered nothing."""
    count, datapacks = arguments
    return not (looped.rows or datapacks or looped.done or looped.over) and looped.steps == count


def _kept(value: Any) -> State:
    """Return a value as it can't be changed by whoever else holds it."""
    kept: State = value
    if type(value) not in _SCALARS:
        kept = [] if type(value) is list and not value else pack(value)
    return kept


def _packed(looped: Looped) -> bytes:
    """Pack an answer whose rows are JSON, as co-simulations have it; `pack` sees to what else there is.

    To look at the type of every value first would cost more than all else that is done with a call.
    """
    try:
        return _encode(looped.to_state())
    except (TypeError, OverflowError, UnicodeEncodeError):
        return pack(looped.to_state())


def _alike(one: Any, other: Any) -> bool:
    """Return whether two values are the same bit for bit; most that aren't are told apart at once."""
    return one == other and pack(one) == pack(other)


def _size(kept: Any) -> int:
    return len(kept) if type(kept) in (bytes, str) else 8


def _read(value: Any) -> Any:
    return unpack(value) if type(value) is bytes else value
