"""Recorded parts: parts of a co-simulation whose state is their last snapshot and the inputs since then.

While snapshots can be taken, the state is just the snapshot. If a snapshot can't be taken, a restore returns
the part to the last snapshot, or to its start, and repeats the inputs since then; the state grows with these
steps. A digest over all outputs of the part compares the repetition with the original.
"""

import copy
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import msgspec

from perdure.engines.base import Asking
from perdure.engines.json_data import copied
from perdure.errors import NotSnapshotable, ReplayMismatch, ScriptFailed
from perdure.state.codec import State, decode, encode, pack, unpack

__all__ = ["Notes", "Recordable", "Recorded"]

_encode = msgspec.msgpack.Encoder().encode


class Recordable(Protocol):
    """A part that can be recorded: an engine, or the functions between engines."""

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
    """The inputs or outputs of each part of a co-simulation since the last snapshot, step by step."""

    def __init__(self) -> None:
        self._steps: list[Any] = []  # packed, except what can't be

    def add(self, given: Mapping[str, Any]) -> None:
        """Add the values of a step, JSON by name."""
        # As bytes: thousands of dicts cost more time, in every savepoint and garbage collection.
        try:
            self._steps.append(_encode(given))
        except (OverflowError, UnicodeEncodeError):  # a large integer, or a lone surrogate
            self._steps.append(copy.deepcopy(dict(given)))

    def of(self, name: str) -> Iterator[Any]:
        """Return the values added under a name."""
        for noted in self._steps:
            given = unpack(noted) if type(noted) is bytes else noted
            if name in given:
                yield given[name]

    def clear(self) -> None:
        """Discard all values: there is a snapshot of everything."""
        self._steps = []


class Recorded:
    """One part, and the records that lead to its state.

    Parameters
    ----------
    part
        The part, at its start.
    what
        Its description in errors, such as ``the engine 'a'``.
    start
        Its outputs at its start, JSON.

    Attributes
    ----------
    refusal
        Why the last snapshot couldn't take the part's own state, if so.
    began
        The answers that it got at its start.
    size
        The size of `readings` in bytes, packed.
    """

    def __init__(self, part: Recordable, what: str, start: Any = None) -> None:
        self.part = part
        self.refusal: NotSnapshotable | None = None
        self._what = what
        self._base: bytes | None = None
        self._runs: list[list[Any]] = []  # [repetitions, inputs, answers if any], the latter two packed
        self._asking = part if isinstance(part, Asking) else None
        self.began: State = None if self._asking is None else self._asking.take_answers()
        self._steps = 0  # since the last snapshot
        self._number = 0  # of the current step
        self._read: dict[int, tuple[int, bytes]] = {}  # by these steps: their number and packed answers
        self.size = 0
        self._ahead: Mapping[int, State] = {}  # answers of steps that are repeated
        self._digest = _digest(b"", start)  # of the outputs since the base

    def begin(self, number: int) -> None:
        """Begin the step of that number in the run, with the recorded answers if it is repeated."""
        self._number = number
        if self._asking is not None and number in self._ahead:
            self._asking.give_answers(self._ahead[number])

    def finish(self) -> State:
        """End that step; return the answers that the part got in it."""
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
        """The answers since the last snapshot, by step, except repeated ones."""
        return {number: unpack(read) for number, read in self._read.values() if number not in self._ahead}

    def snapshot(self, given: Iterable[Any], answered: Iterable[Any]) -> State:
        """Return the state; `refusal` says why the part's own state can't be taken, if so.

        Parameters
        ----------
        given, answered
            The part's inputs and outputs in the steps since the last snapshot; used only if its state can't
            be taken.
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
            The state.
        ahead
            The answers that the part got in later steps, by their numbers.

        Raises
        ------
        ReplayMismatch
            If the part's outputs differ when its inputs are repeated.
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
