"""User ids of owners: each owner's children have one id of a range, permanently.

They are documents of the store. An id is never given to a second owner, since files of the first may remain.
"""

import threading

from perdure.errors import CorruptBlob, UserIdsExhausted
from perdure.stores.base import Store
from perdure.stores.commands import PutDocument

__all__ = ["UserIds"]

RECORDS = "user_ids"


class UserIds:
    """The user ids of one store's owners; blocking, safe in any thread.

    Parameters
    ----------
    store
        Where they are kept.
    ids
        The ids that may be given. An owner whose id isn't among them gets another one.
    """

    def __init__(self, store: Store, ids: range) -> None:
        self._store = store
        self._ids = ids
        self._lock = threading.Lock()
        self._known: dict[str, int] = {}

    def of(self, owner: str) -> int:
        """Return an owner's id, which is always the same; durable on return.

        Raises
        ------
        UserIdsExhausted
            If all ids have owners.
        CorruptBlob
            If the owner's document is damaged; for a new owner, if any owner's is, since an id could be given
            twice.
        """
        with self._lock:
            if owner not in self._known:
                self._known[owner] = self._given(owner)
            return self._known[owner]

    def _given(self, owner: str) -> int:
        former = self._store.document(RECORDS, owner)
        if former is not None and (number := _number(former.blob)) in self._ids:
            return number
        used = {_number(record.blob) for record in self._store.documents(RECORDS, strict=True)}
        free = next((number for number in self._ids if number not in used), None)
        if free is None:
            raise UserIdsExhausted(owner=owner, count=len(self._ids))
        version = None if former is None else former.version
        self._store.submit(PutDocument(RECORDS, owner, b"%d" % free, version)).result()
        return free


def _number(blob: bytes) -> int:
    try:
        return int(blob)
    except ValueError as error:
        raise CorruptBlob(reason=f"the document of an owner's user id: {error}") from error
