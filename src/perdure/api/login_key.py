"""The key that signs logins: a document of the store, so that its servers share it, and it outlives them."""

import secrets

import structlog

from perdure.errors import CorruptBlob, VersionConflict
from perdure.stores.base import Store
from perdure.stores.commands import DeleteDocument, PutDocument
from perdure.web.logins import KEY_BYTES

__all__ = ["login_key"]

DIALECT, ID = "logins", "key"

log = structlog.get_logger(__name__)


def login_key(store: Store) -> bytes:
    """Return the key, and make it if there is none; blocks while it does.

    One that is damaged gives way to a new one: that ends all logins, and nothing else.
    """
    while True:
        try:
            kept = store.document(DIALECT, ID)
            if kept is None:
                new = PutDocument(DIALECT, ID, secrets.token_bytes(KEY_BYTES), None)
                kept = store.submit(new).result()
        except CorruptBlob:
            log.warning("login_key_damaged", meaning="all logins end; log in again")
            store.submit(DeleteDocument(DIALECT, ID)).result()
        except VersionConflict:
            continue  # another server has made it meanwhile
        else:
            return kept.blob
