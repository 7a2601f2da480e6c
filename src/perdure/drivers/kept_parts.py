"""Kept parts: how the parts of a run go on after a restart, saved or replayed, and why.

A part is saved if savepoints hold its state. If that can't be taken, they hold the part's inputs, and a
restore repeats these.
"""

from collections.abc import Mapping

__all__ = ["KEPT", "parts_in_words"]

KEPT = "kept"
"""The entity of a session's savepoints that says of each replayable engine why its state isn't held, or None.

The ids of scenarios have a slash.
"""

_SAVED, _REPLAYED = "saved", "replayed"
_LONGEST_REASON = 500  # characters


def parts_in_words(refusals: Mapping[str, str | None]) -> dict[str, dict[str, str | None]]:
    """Return of each part whether it is saved or replayed (``kept``), and why it can't be saved (``reason``).

    Parameters
    ----------
    refusals
        Of each part why its state can't be taken; None if it can.
    """
    return {
        part: {
            "kept": _SAVED if reason is None else _REPLAYED,
            "reason": reason and reason[:_LONGEST_REASON],
        }
        for part, reason in refusals.items()
    }
