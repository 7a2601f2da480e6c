"""The object graph: copies everything that a script keeps, or names what can't be restored.

A restored value must behave like the saved one. So every value must have exactly one of State's types. No
list, dict or array may be held in two places: a change in one place shows in the other, and after a restore
it no longer would. Arrays must own their memory and have C order, because sums depend on the order. A tuple
or a NumPy scalar may be held anywhere: it can't change. Frames of pandas may share memory with each other,
because changes of one don't show in another.
"""

from typing import Any

import numpy as np

from perdure.engines.array_memory import root_of
from perdure.errors import NotSnapshotable
from perdure.state import frames

__all__ = ["ObjectGraph"]

_PLAIN = (type(None), bool, int, float, str, bytes)


class ObjectGraph:
    """Copies values, and records which places hold which memory.

    >>> shared = [1.0]
    >>> graph = ObjectGraph()
    >>> graph.take("the attribute 'a'", shared)
    [1.0]
    >>> graph.take("the attribute 'b'", {"inner": shared})
    Traceback (most recent call last):
    perdure.errors.NotSnapshotable: The state of the attribute 'b'['inner'] can't be taken: it is shared with
    the attribute 'a'; keep a copy of its own there.
    """

    def __init__(self) -> None:
        self._holders: dict[int, str] = {}
        self._of_frames: set[int] = set()  # memory that frames hold
        self._alive: list[Any] = []  # keeps the objects alive, so that their ids stay unique

    def take(self, place: str, value: Any) -> Any:
        """Return a copy of a value, a `State`.

        Raises
        ------
        NotSnapshotable
            If it can't be restored as it is; the message says where and why.
        """
        try:
            return self._take(place, value)
        except RecursionError:
            raise NotSnapshotable(what=place, reason="it is nested too deeply") from None

    def _take(self, place: str, value: Any) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is list:
            self.hold(place, value)
            return [self._take(f"{place}[{i}]", item) for i, item in enumerate(value)]
        if kind is tuple:
            return tuple([self._take(f"{place}[{i}]", item) for i, item in enumerate(value)])
        if kind is dict:
            self.hold(place, value)
            for key in value:
                if type(key) is not str and type(key) is not int:
                    raise NotSnapshotable(what=place, reason=f"its key {key!r:.80} is neither str nor int")
            return {key: self._take(f"{place}[{key!r}]", item) for key, item in value.items()}
        if kind is np.ndarray:
            return self._array(place, value)
        if isinstance(value, np.generic) and kind is value.dtype.type:
            return self._record(place, value) if isinstance(value, np.void) else value
        if (parts := frames.parts_of(value, place)) is not None:
            if hasattr(value, "_mgr"):  # an Index can't change
                self.hold(place, value)
            for root in frames.roots(value):
                if id(root) not in self._of_frames:
                    self.hold(place, root)
                    self._of_frames.add(id(root))
            return frames.made(parts)
        raise NotSnapshotable(
            what=place,
            reason=f"{kind.__module__}.{kind.__qualname__} is none of None, bool, int, float, str, bytes, "
            "tuple, list, dict, numpy.ndarray, a NumPy scalar, a DataFrame",
        )

    def _record(self, place: str, record: Any) -> Any:
        """Return a copy of a structured scalar: it can change, and may be a view of an array."""
        if record.dtype.hasobject:
            raise NotSnapshotable(what=place, reason="it is a record of Python objects")
        self.hold(place, record if record.base is None else root_of(record.base))
        return record.copy()

    def _array(self, place: str, array: Any) -> Any:
        if array.dtype.hasobject:
            raise NotSnapshotable(what=place, reason="it is an array of Python objects")
        if not (array.flags.c_contiguous and array.flags.writeable):
            raise NotSnapshotable(
                what=place, reason="it is a view in another order, or read-only; keep a copy (`.copy()`)"
            )
        root = root_of(array)
        if root.base is not None:
            raise NotSnapshotable(
                what=place, reason="it is a view of memory that isn't NumPy's; keep a copy (`.copy()`)"
            )
        self.hold(place, root)
        return array.copy()

    def hold(self, place: str, value: Any) -> None:
        """Record the place that holds `value`; raise `NotSnapshotable` if another place holds it too."""
        holder = self._holders.setdefault(id(value), place)
        if holder is not place:
            raise NotSnapshotable(
                what=place, reason=f"it is shared with {holder}; keep a copy of its own there"
            )
        self._alive.append(value)
