"""Recorded parts: a part of a co-simulation whose state is its last snapshot and the inputs given since.

As long as snapshots can be taken that is just the snapshot. Where one can't, the inputs are given again to a
part that was put back to the last one, or to its start; the state then grows with the steps since.
"""

import copy
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from perdure.errors import NotSnapshotable
from perdure.state.codec import State, decode, encode, pack, unpack

__all__ = ["Part", "Recorded"]

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


class Recorded:
    """One part, and what leads to its state.

    Parameters
    ----------
    part
        The part, at its start.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        self.refusal: NotSnapshotable | None = None
        self._base: bytes | None = None
        self._noted: list[Any] = []  # packed, but what can't be
        self._runs: list[list[Any]] = []  # [how often in a row, the packed inputs]

    def note(self, inputs: Mapping[str, Any]) -> None:
        """Record the inputs of a step, which are JSON."""
        # As bytes: thousands of dicts that are kept cost more time, with every savepoint and collection.
        try:
            self._noted.append(_encode(inputs))
        except (OverflowError, UnicodeEncodeError):  # a large integer, or half a surrogate pair
            self._noted.append(copy.deepcopy(dict(inputs)))

    def step(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Record the inputs and advance."""
        self.note(inputs)
        return self.part.step(inputs)

    def snapshot(self) -> State:
        """Return the state; `refusal` says whether, and why, the part's own can't be taken."""
        try:
            self._base = encode(self.part.snapshot())
        except NotSnapshotable as refusal:
            self.refusal = refusal
            for noted in self._noted:
                given = noted if type(noted) is bytes else pack(noted)
                if self._runs and self._runs[-1][1] == given:
                    self._runs[-1][0] += 1
                else:
                    self._runs.append([1, given])
        else:
            self.refusal = None
            self._runs = []
        self._noted = []
        return [self._base, [list(run) for run in self._runs]]

    def restore(self, state: Any) -> None:
        """Go to what `snapshot` returned, on a part at its start."""
        self._base, runs = state
        self._runs = [list(run) for run in runs]
        self._noted = []
        if self._base is not None:
            self.part.restore(decode(self._base))
        for count, given in self._runs:
            for _ in range(count):
                self.part.step(unpack(given))
