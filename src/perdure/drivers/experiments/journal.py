"""The journal: the calls of a script and their answers, gathered into one entry of the step log a savepoint.

Such an entry is a page. It holds the calls since the last savepoint: its inputs are the calls and its outputs
the answers, in order. Calls repeated with the same arguments and the same answer are counted, not repeated,
so that a script's plain loop costs a record or two a savepoint. A `run_loop` that a savepoint falls into is
recorded as chunks, each of which is a call for the steps that are left: ``run_loop(10)`` cut after 4 steps is
followed by ``run_loop(6)`` in the next page. Where a page is full, a savepoint has to be made.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from perdure.drivers.experiments.nrp import Rows
from perdure.run import Entry, Step
from perdure.state.codec import State, decode, encode, pack, unpack

__all__ = [
    "READINGS",
    "RUN_LOOP",
    "Journal",
    "Looped",
    "Record",
    "numbered",
    "readings",
    "records",
    "trajectory",
]

RUN_LOOP = "nrp.run_loop"
READINGS = "engines.readings"  # no call: what engines and functions were answered since the last page
MOST_RECORDS = 20_000  # in a page; a call that finds as many makes a savepoint first
MOST_BYTES = 4 << 20

_SCALARS = (type(None), bool, int, float, str)
_encode = msgspec.msgpack.Encoder().encode
_OVERHEAD = 16  # bytes of a record, about, beside what it holds


class Looped(msgspec.Struct, frozen=True, kw_only=True):
    """What a chunk of a `run_loop`, or a whole one, came to.

    Attributes
    ----------
    rows
        What the status function answered.
    steps
        How many steps were taken; fewer than asked for where the chunk is cut, the simulation done, or its
        time up.
    done
        Whether the status function ended the simulation.
    cut
        Whether the `run_loop` goes on with another chunk, if only one of no steps.
    """

    rows: Rows
    steps: int
    done: bool = False
    cut: bool = False

    def to_state(self) -> State:
        """Return it as a state."""
        return [self.rows, self.steps, self.done, self.cut]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A call in the journal; `answer` is a `Looped` for `run_loop`."""

    name: str
    arguments: list[Any]
    answer: Any


class Journal:
    """The calls since the last savepoint.

    Parameters
    ----------
    most_records, most_bytes
        When a page is full. More calls can be recorded then, but the caller must make a savepoint.
    """

    def __init__(self, *, most_records: int = MOST_RECORDS, most_bytes: int = MOST_BYTES) -> None:
        self._most_records = most_records
        self._most_bytes = most_bytes
        self._calls: list[State] = []
        self._answers: list[State] = []
        self._bytes = 0
        self._last: list[Any] = []  # the last call

    def __bool__(self) -> bool:
        return bool(self._calls)

    @property
    def full(self) -> bool:
        """Whether the page is full."""
        return self.full_with(0)

    def full_with(self, more: int) -> bool:
        """Return whether the page would be full with some more bytes."""
        return len(self._calls) >= self._most_records or self._bytes + more >= self._most_bytes

    def add(self, record: Record) -> None:
        """Record a call. It is packed at once, so later changes of its values don't matter.

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
        last = self._last
        if last and last[0] == record.name and _alike([last[1], self._answers[-1]], [arguments, kept]):
            last[2] += 1
            return
        self._last = [record.name, arguments, 1]
        self._calls.append(self._last)
        self._answers.append(kept)
        self._bytes += _OVERHEAD + sum(map(_size, arguments)) + _size(kept)

    def take(self) -> list[Entry]:
        """Return the page and begin the next; no page if nothing was recorded."""
        if not self._calls:
            return []
        entry = Entry(inputs=encode(self._calls), outputs=encode(self._answers))
        self._calls, self._answers, self._bytes, self._last = [], [], 0, []
        return [entry]


def numbered(steps: Iterable[Step]) -> Iterator[tuple[int, Record]]:
    """Read pages back: each call, as often as it was made, with the number of its page from 1.

    Raises
    ------
    CorruptBlob, NewerSchema
        If a page can't be trusted.
    """
    former = 0  # steps taken in the earlier parts of a call, in the former form of pages
    for page, step in enumerate(steps, 1):
        calls = decode(step.inputs or b"")
        for (name, kept, *form), answer in zip(calls, decode(step.outputs), strict=True):
            if name == READINGS:
                continue
            *whole, count = form
            arguments = [_read(argument) for argument in kept]
            record = Record(name=name, arguments=arguments, answer=_answer(name, arguments, answer))
            for again in range(count):
                if again and type(answer) is bytes:  # a script may have changed what it was answered
                    record = msgspec.structs.replace(record, answer=_answer(name, arguments, answer))
                if name == RUN_LOOP and whole:
                    yield page, _chunk(record, former, whole[0])
                    former = 0 if whole[0] else record.answer.steps
                else:
                    yield page, record


def records(steps: Iterable[Step]) -> Iterator[Record]:
    """Read pages back: each call, as often as it was made; raises as `numbered`."""
    return (record for _, record in numbered(steps))


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
    rows, steps, done, last = answer
    if type(last) is str:  # the former form: why no more steps were taken
        return Looped(rows=rows, steps=steps, done=done or last.startswith("The status function"))
    return Looped(rows=rows, steps=steps, done=done, cut=last)


def _chunk(record: Record, taken: int, whole: bool) -> Record:
    """Return a part of a call as a chunk: in the former form it has the whole call's arguments and steps."""
    count, datapacks = record.arguments
    looped = msgspec.structs.replace(record.answer, steps=record.answer.steps - taken, cut=not whole)
    return Record(name=RUN_LOOP, arguments=[count - taken, [] if taken else datapacks], answer=looped)


def _is_plain(looped: Looped, arguments: list[Any]) -> bool:
    """Return whether a call was given no data packs, took all its steps and answered nothing."""
    count, datapacks = arguments
    return not (looped.rows or datapacks or looped.done or looped.cut) and looped.steps == count


def _kept(value: Any) -> State:
    """Return a copy of a value that shares nothing with other holders of it."""
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
    """Return whether two values are the same bit for bit; most that differ do so in the first comparison."""
    return one == other and pack(one) == pack(other)


def _size(kept: Any) -> int:
    return len(kept) if type(kept) in (bytes, str) else 8


def _read(value: Any) -> Any:
    return unpack(value) if type(value) is bytes else value
