"""The instance: a slot that holds a timeout, an owner and its current session run, as a value."""

import hashlib
import secrets

import msgspec
from msgspec.structs import replace

from perdure.errors import CorruptBlob
from perdure.state.codec import decode, encode
from perdure.stores.commands import Document

__all__ = ["DIALECT", "Instance", "keyed_instance_id", "new_instance_id"]

DIALECT = "bptk"
"""The dialect under which the documents of instances are kept."""


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """An instance, as it is stored.

    Attributes
    ----------
    id
        32 hexadecimal digits that can't be guessed.
    owner
        Its owner.
    timeout
        How long it may stay unused, under seven keys from ``weeks`` to ``microseconds``.
    accessed
        Unix time of the last request, in seconds; the use of its document has a newer one.
    run
        The run of the current session; None before a session begins and after it has ended.
    started
        A hash of the request that started it with an idempotency key; None without one.
    """

    id: str
    owner: str
    timeout: dict[str, int | float]
    accessed: float
    run: str | None = None
    started: bytes | None = None

    @classmethod
    def of(cls, document: Document) -> "Instance":
        """Return the instance in a document; raises as `perdure.state.codec.decode` does."""
        try:
            instance = msgspec.convert(decode(document.blob), cls)
        except msgspec.ValidationError as error:
            raise CorruptBlob(reason=f"it is no instance: {error}") from error
        return instance if document.use is None else replace(instance, accessed=document.use.accessed)

    def to_blob(self) -> bytes:
        """Encode the instance as its document's blob."""
        return encode(msgspec.to_builtins(self))


def new_instance_id() -> str:
    """Return an unguessable id: 128 random bits as 32 hexadecimal digits."""
    return secrets.token_hex(16)


def keyed_instance_id(owner: str, text: str, ordinal: int) -> str:
    """Return the id of an instance that an owner starts with an idempotency key and an ordinal.

    It is derived from these alone, so that all servers which share a storage find the same instance. It is as
    hard to guess as the key. Only the owner has access to the instance.
    """
    made_of = b"\0".join((owner.encode(), text.encode(), b"%d" % ordinal))
    return hashlib.blake2b(made_of, digest_size=16, person=b"bptk instance").hexdigest()
