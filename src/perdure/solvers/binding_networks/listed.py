"""The covers listed so far, and their compact form for a state."""

import zlib
from collections.abc import Sequence
from typing import Any

import msgspec

from perdure.solvers.binding_networks.polymers import Contents

__all__ = ["Cover", "Listed"]

Cover = tuple[Contents, ...]
"""The contents of each polymer, in the order they were taken."""


class Listed:
    """Covers in the order they were listed, and whether the list is complete.

    A state stores only the differences between consecutive covers, with polymers as numbers, compressed.
    Packed covers stay packed, so saving takes time only for new ones.

    Parameters
    ----------
    state
        `state` of an earlier object.
    """

    def __init__(self, state: Sequence[Any] = (False, ())) -> None:
        self.done, self._packed = bool(state[0]), list(state[1])
        self.covers: list[Cover] = []
        self._polymers: dict[Contents, int] = {}
        for packed in self._packed:
            self._unpack(packed)
        self._kept = len(self.covers)

    @property
    def state(self) -> list[Any]:
        """The covers, as plain data."""
        if self._kept < len(self.covers):
            self._packed.append(self._pack(self._kept))
            self._kept = len(self.covers)
        return [self.done, list(self._packed)]

    def _pack(self, first: int) -> bytes:
        known = len(self._polymers)
        changes = []
        before: Cover = self.covers[first - 1] if first else ()
        for cover in self.covers[first:]:
            same = 0
            while same < min(len(before), len(cover)) and before[same] == cover[same]:
                same += 1
            new = [self._polymers.setdefault(each, len(self._polymers)) for each in cover[same:]]
            changes.append((same, new))
            before = cover
        return zlib.compress(msgspec.msgpack.encode((list(self._polymers)[known:], changes)))

    def _unpack(self, packed: bytes) -> None:
        polymers, changes = msgspec.msgpack.decode(
            zlib.decompress(packed), type=tuple[list[Contents], list[tuple[int, list[int]]]]
        )
        for each in polymers:
            self._polymers[each] = len(self._polymers)
        numbered = list(self._polymers)
        before: Cover = self.covers[-1] if self.covers else ()
        for same, new in changes:
            before = (*before[:same], *(numbered[number] for number in new))
            self.covers.append(before)
