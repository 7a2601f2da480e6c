"""Kept parts: how the parts of a run go on after a restart, saved or replayed, and why.

A part is saved if savepoints hold its state. If that can't be taken, they hold the part's inputs, and a
restore repeats these.
"""

from collections.abc import Mapping
from typing import Any

from perdure.drivers.session_spec import SessionSpec
from perdure.errors import CorruptBlob, NewerSchema, NoSavepoint, SavepointNotFound
from perdure.state.codec import decode
from perdure.state.state_store import newest_intact
from perdure.stores.base import Store

__all__ = ["KEPT", "parts_in_words", "session_parts"]

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


def session_parts(store: Store, run_id: str, spec: SessionSpec) -> dict[str, dict[str, str | None]]:
    """Return this of the scenarios of a session, by entity; blocking.

    The newest intact savepoint says it of models of other engines. Before there is one they are left out.
    Models of Perdure's own are always saved, and nothing is read for them.
    """
    others = {part.entity for part in spec.scenarios if "inputs" in part.config}
    known = _refusals(store, run_id) if others else {}
    ids = [part.entity for part in spec.scenarios]
    return parts_in_words({id: known.get(id) for id in ids if id in known or id not in others})


def _refusals(store: Store, run_id: str) -> Mapping[str, str | None]:
    try:
        timestamps = [info.timestamp for info in store.savepoints(run_id) if info.position > 0]
        savepoint, _ = newest_intact(run_id, timestamps, lambda at: store.savepoint(run_id, at))
        refusals: Any = decode(savepoint.entities[KEPT]) if KEPT in savepoint.entities else {}
    except (CorruptBlob, NewerSchema, NoSavepoint, SavepointNotFound):
        return {}  # a run is shown, whatever is wrong with its savepoints
    return refusals if isinstance(refusals, dict) else {}
