"""Recorded parts: a part of a co-simulation whose state is its last snapshot and the inputs given since.

As long as snapshots can be taken that is just the snapshot. Where one can't, the inputs are given again to a
part that was put back to the last one, or to its start; the state then grows with the steps since.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import msgspec

from perdure.errors import NotSnapshotable
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
    """What each part of a co-simulation was given since the last snapshot, step by step."""

    def __init__(self) -> None:
        self._steps: list[Any] = []  # packed, but what can't be

    def add(self, given: Mapping[str, Any]) -> None:
        """Note what parts are given in a step, JSON by the part's entity."""
        # As bytes: thousands of dicts that are kept cost more time, with every savepoint and collection.
        try:
            self._steps.append(_encode(given))
        except (OverflowError, UnicodeEncodeError):  # a large integer, or half a surrogate pair
            self._steps.append(copy.deepcopy(dict(given)))

    def of(self, entity: str) -> Iterator[Any]:
        """Return what one part was given."""
        for noted in self._steps:
            given = unpack(noted) if type(noted) is bytes else noted
            if entity in given:
                yield given[entity]

    def clear(self) -> None:
        """Forget them: there is a snapshot of everything."""
        self._steps = []


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
        self._runs: list[list[Any]] = []  # [how often in a row, the packed inputs]

    def snapshot(self, given: Iterable[Any]) -> State:
        """Return the state; `refusal` says whether, and why, the part's own can't be taken.

        Parameters
        ----------
        given
            What the part was given since the last snapshot; looked at only if its state can't be taken.
        """
        try:
            self._base = encode(self.part.snapshot())
        except NotSnapshotable as refusal:
            self.refusal = refusal
            for inputs in given:
                packed = pack(inputs)
                if self._runs and self._runs[-1][1] == packed:
                    self._runs[-1][0] += 1
                else:
                    self._runs.append([1, packed])
        else:
            self.refusal = None
            self._runs = []
        return [self._base, [list(run) for run in self._runs]]

    def restore(self, state: Any) -> None:
        """Go to what `snapshot` returned, on a part at its start."""
        self._base, runs = state
        self._runs = [list(run) for run in runs]
        if self._base is not None:
            self.part.restore(decode(self._base))
        for count, given in self._runs:
            for _ in range(count):
                self.part.step(unpack(given))
