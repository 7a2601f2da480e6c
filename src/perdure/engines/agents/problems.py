"""Problems: all that keeps a model of agents from being saved, told at once."""

from perdure.errors import NotSnapshotable

__all__ = ["Problems"]

_SHOWN = 10


class Problems:
    """What can't be saved: where it is, and why; each place once."""

    def __init__(self) -> None:
        self._found: dict[object, tuple[str, str]] = {}

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
