"""Session parts: how the scenarios of a session go on after a restart, as its newest savepoint says."""

from collections.abc import Mapping
from typing import Any

from perdure.drivers.kept_parts import KEPT, parts_in_words
from perdure.drivers.session_spec import SessionSpec
from perdure.errors import CorruptBlob, NewerSchema, NoSavepoint, SavepointNotFound
from perdure.state.codec import decode
from perdure.stores.base import Store
from perdure.stores.savepoints import newest_savepoint

__all__ = ["session_parts"]


def session_parts(store: Store, run_id: str, spec: SessionSpec) -> dict[str, dict[str, str | None]]:
    """Return of each scenario of a session, by entity, whether it is saved or replayed, and why; blocking.

    The newest intact savepoint says it of models of other engines. Before there is one they are left out.
    Models of Perdure's own are always saved, and nothing is read for them.
    """
    others = {part.entity for part in spec.scenarios if "inputs" in part.config}
    known = _refusals(store, run_id) if others else {}
    ids = [part.entity for part in spec.scenarios]
    return parts_in_words({id: known.get(id) for id in ids if id in known or id not in others})


def _refusals(store: Store, run_id: str) -> Mapping[str, str | None]:
    try:
        savepoint = newest_savepoint(store, run_id, since=1)
        refusals: Any = decode(savepoint.entities[KEPT]) if KEPT in savepoint.entities else {}
    except (CorruptBlob, NewerSchema, NoSavepoint, SavepointNotFound):
        return {}  # a run is shown, whatever is wrong with its savepoints
    return refusals if isinstance(refusals, dict) else {}
