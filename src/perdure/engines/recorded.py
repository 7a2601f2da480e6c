"""Recorded parts: a part of a co-simulation whose state is its last snapshot and the inputs given since.

As long as snapshots can be taken that is just the snapshot. Where one can't, the inputs are given again to a
part that was put back to the last one, or to its start; the state then grows with the steps since. What it
answers is compared with what it had answered, by a digest over all of these answers.
"""

import copy
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import msgspec

from perdure.engines.base import Asking
from perdure.engines.python_script.data import copied
from perdure.errors import NotSnapshotable, ReplayMismatch, ScriptFailed
from perdure.state.codec import State, decode, encode, pack, unpack

__all__ = ["Notes", "Part", "Recorded"]

_encode = msgspec.msgpack.Encoder().encode


class Part(Protocol):
    """What can be recorded: an engine, or the functions between engines."""

    def step(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Advance."""
        ...

    def snapshot(self) -> State:
        """Return the whole state, or raise `NotSnapshotable`."""
        ...

    def restore(self, state: State) -> None:
        """Go to what `snapshot` returned."""
        ...


class Notes:
    """What each part of a co-simulation was given, or answered, since the last snapshot, step by step."""

    def __init__(self) -> None:
        self._steps: list[Any] = []  # packed, but what can't be

    def add(self, given: Mapping[str, Any]) -> None:
        """Note what belongs to a step, JSON by name."""
        # As bytes: thousands of dicts that are kept cost more time, with every savepoint and collection.
        try:
            self._steps.append(_encode(given))
        except (OverflowError, UnicodeEncodeError):  # a large integer, or half a surrogate pair
            self._steps.append(copy.deepcopy(dict(given)))

    def of(self, name: str) -> Iterator[Any]:
        """Return what was noted under a name."""
        for noted in self._steps:
            given = unpack(noted) if type(noted) is bytes else noted
            if name in given:
                yield given[name]

    def clear(self) -> None:
        """Forget them: there is a snapshot of everything."""
        self._steps = []


class Recorded:
    """One part, and what leads to its state.

    Parameters
    ----------
    part
        The part, at its start.
    what
        What it is called in errors, such as ``the engine 'a'``.
    start
        What it answered at its start, JSON.

    Attributes
    ----------
    refusal
        Why the last snapshot couldn't take its own state, if it couldn't.
    began
        What it was answered at its start.
    size
        Of what `readings` holds, in bytes, packed.
    """

    def __init__(self, part: Part, what: str, start: Any = None) -> None:
        self.part = part
        self.refusal: NotSnapshotable | None = None
        self._what = what
        self._base: bytes | None = None
        self._runs: list[list[Any]] = []  # [how often in a row, the inputs, answers if any], both packed
        self._asking = part if isinstance(part, Asking) else None
        self.began: State = None if self._asking is None else self._asking.take_answers()
        self._steps = 0  # since the last snapshot
        self._number = 0  # of the step it is in
        self._read: dict[int, tuple[int, bytes]] = {}  # of these steps: number of the step, packed answers
        self.size = 0
        self._ahead: Mapping[int, State] = {}  # answers in steps that were taken before
        self._digest = _digest(b"", start)  # of what was answered since the base

    def begin(self, number: int) -> None:
        """Let the part begin the step of that number in the run: it is answered what it was then."""
        self._number = number
        if self._asking is not None and number in self._ahead:
            self._asking.give_answers(self._ahead[number])

    def finish(self) -> State:
        """Take note that it has finished that step; return what it was answered in it."""
        answers = None if self._asking is None else self._asking.take_answers()
        if answers is not None:
            packed = pack(answers)
            self._read[self._steps] = self._number, packed
            if self._number not in self._ahead:
                self.size += len(packed)
        self._steps += 1
        return answers

    @property
    def readings(self) -> dict[int, State]:
        """What it was answered since the last snapshot, by step, but what it was given again."""
        return {number: unpack(read) for number, read in self._read.values() if number not in self._ahead}

    def snapshot(self, given: Iterable[Any], answered: Iterable[Any]) -> State:
        """Return the state; `refusal` says whether, and why, the part's own can't be taken.

        Parameters
        ----------
        given, answered
            What the part was given, and answered, in the steps since the last snapshot; looked at only if its
            state can't be taken.
        """
        try:
            self._base = encode(self.part.snapshot())
        except NotSnapshotable as refusal:
            self.refusal = refusal
            for step, inputs in enumerate(given):
                packed = [pack(inputs)]
                if step in self._read:
                    packed.append(self._read[step][1])
                if self._runs and self._runs[-1][1:] == packed:
                    self._runs[-1][0] += 1
                else:
                    self._runs.append([1, *packed])
            for answer in answered:
                self._digest = _digest(self._digest, answer)
        else:
            self.refusal = None
            self._runs = []
            self._digest = b""
        self._steps, self._read, self.size = 0, {}, 0
        return [self._base, [list(run) for run in self._runs], self._digest]

    def restore(self, state: Any, ahead: Mapping[int, State] | None = None) -> None:
        """Go to what `snapshot` returned, on a part at its start.

        Parameters
        ----------
        state
            What it returned.
        ahead
            What the part was answered in steps after that, by their numbers.

        Raises
        ------
        ReplayMismatch
            If the part answers otherwise now that it is given its inputs again.
        """
        self._base, runs, digest = state
        self._ahead = ahead or {}
        self._runs = [list(run) for run in runs]
        if self._base is not None:
            self.part.restore(decode(self._base))
            self._digest = b""
        try:
            for count, given, *answers in self._runs:
                for _ in range(count):
                    if self._asking is not None and answers:
                        self._asking.give_answers(unpack(answers[0]))
                    answer = copied(self.part.step(unpack(given)), "outputs", self._what)
                    self._digest = _digest(self._digest, answer)
                    if self._asking is not None:
                        self._asking.take_answers()
        except ScriptFailed as error:
            raise self._mismatch(f"it failed: {error}") from error
        if self._digest != digest:
            raise self._mismatch("it answered otherwise than before")

    def _mismatch(self, how: str) -> ReplayMismatch:
        return ReplayMismatch(
            f"The state of {self._what} can't be saved, and given its inputs again, {how}. The run is left "
            "as it is. Let it read no files that change, or keep only what can be saved "
            "(docs/experiments-engines.md).",
            part=self._what,
        )


def _digest(before: bytes, answer: Any) -> bytes:
    return hashlib.blake2b(before + pack(answer), digest_size=16).digest()
