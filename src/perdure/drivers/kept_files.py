"""The files that travel with runs of tasks, in the store: those of each version once, by their hash."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from perdure.drivers.computed_by import hash_of
from perdure.errors import CorruptBlob, VersionConflict
from perdure.state.codec import State, decode, encode
from perdure.stores.base import Store
from perdure.stores.commands import PutDocument

__all__ = ["KeptFiles"]

DIALECT = "task-files"  # documents of it are never changed, nor removed: runs may refer to them
SCHEMA = 1


class KeptFiles:
    """Keeps files in a store and reads them.

    Parameters
    ----------
    store
        Where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: set[str] = set()  # hashes of files that the store has

    async def keep(self, sha256: str, files: Mapping[str, bytes]) -> None:
        """Keep files under their hash, unless the store has them; they are durable when this returns."""
        if sha256 in self._known:
            return
        held: dict[str, State] = {**files}
        blob = await asyncio.to_thread(encode, held, schema=SCHEMA)
        with suppress(VersionConflict):  # it has them
            await asyncio.wrap_future(self._store.submit(PutDocument(DIALECT, sha256, blob, None)))
        self._known.add(sha256)

    def read(self, sha256: str) -> dict[str, bytes]:
        """Return the files of a hash; `CorruptBlob` if they are lost or damaged."""
        document = self._store.document(DIALECT, sha256)
        files: dict[str, bytes] = {} if document is None else decode(document.blob, schema=SCHEMA)
        if hash_of(files) != sha256:
            raise CorruptBlob(reason=f"the files {sha256[:12]} of its task are lost or damaged")
        return files
