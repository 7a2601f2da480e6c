"""The layout of values: which NumPy arrays and single numbers hold a list of named values."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from perdure.engines.system_dynamics.compiling.families import Block

__all__ = ["Layout"]


class Layout:
    """Named values, of which those of a block are in one array.

    Parameters
    ----------
    locals
        Name → the local name of a value that is in no block.
    place
        Block and position of the others.

    Attributes
    ----------
    names
        The local names of the arrays and numbers.
    """

    def __init__(self, locals: Mapping[str, str], place: Mapping[str, tuple[Block, int]]) -> None:
        order = {name: i for i, name in enumerate(locals)}
        blocks = {place[name][0]: None for name in locals if name in place}
        self.names = [local for name, local in locals.items() if name not in place]
        self._single = [i for name, i in order.items() if name not in place]
        self._arrays = [[order[name] for name in block.names] for block in blocks]
        self.names += [block.local for block in blocks]
        self._size = len(order)

    def packed(self, values: Sequence[Any]) -> list[Any]:
        """Return values in the order of the names as arrays and numbers."""
        if not self._arrays:
            return list(values)
        return [values[i] for i in self._single] + [
            np.array([values[i] for i in positions]) for positions in self._arrays
        ]

    def unpacked(self, packed: Sequence[Any]) -> list[Any]:
        """Return the values in the order of the names, arrays as numbers."""
        if not self._arrays:
            return list(packed)
        values: list[Any] = [None] * self._size
        for i, value in zip(self._single, packed, strict=False):
            values[i] = value
        for positions, array in zip(self._arrays, packed[len(self._single) :], strict=True):
            for i, value in zip(positions, array.tolist(), strict=True):
                values[i] = value
        return values
