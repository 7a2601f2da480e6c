"""Problems: what can't be saved of a graph of objects, all of it at once, each with its place."""

from typing import Any

from perdure.errors import NotSnapshotable

__all__ = ["Problems", "Unsavable"]

_SHOWN = 10


class Unsavable(Exception):
    """A value can't be saved; its place isn't known yet.

    Parameters
    ----------
    value
        The value.
    reason
        The reason, a clause.
    """

    def __init__(self, value: Any, reason: str) -> None:
        super().__init__(reason)
        self.value = value
        self.reason = reason


class Problems:
    """What can't be saved, and why."""

    def __init__(self) -> None:
        self._found: dict[object, tuple[str, str]] = {}

    def __contains__(self, place: object) -> bool:
        return place in self._found

    def note(self, what: str, reason: str, place: object = None) -> None:
        """Note what can't be saved, unless something of the same place is noted.

        Parameters
        ----------
        what
            What can't be saved, in words.
        reason
            Why, in words.
        place
            Problems of the same place are reported once; by default the place is `what`.
        """
        self._found.setdefault(place or what, (what, reason))

    def check(self) -> None:
        """Raise `NotSnapshotable` if there are problems."""
        found = [*self._found.values()]
        if len(found) == 1:
            raise NotSnapshotable(what=found[0][0], reason=found[0][1])
        if found:
            listed = "; ".join(f"{what}: {reason}" for what, reason in found[:_SHOWN])
            more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            raise NotSnapshotable(what=f"the model, in {len(found)} places,", reason=f"{listed}{more}")
