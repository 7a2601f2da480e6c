"""The instance: a slot that holds a timeout, an owner and its current session run, as a value."""

import secrets

import msgspec

from perdure.state.codec import decode, encode

__all__ = ["DIALECT", "Instance", "new_instance_id"]

DIALECT = "bptk"
"""What the records of instances are kept under."""


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """An instance, as it is stored.

    Attributes
    ----------
    id
        Its name: 32 hexadecimal digits that can't be guessed.
    owner
        Whose it is.
    timeout
        How long it may go without a request, under seven keys from ``weeks`` to ``microseconds``.
    accessed
        Unix time of the last request, in seconds.
    run
        The run of the current session; None before one was begun and after it was ended.
    """

    id: str
    owner: str
    timeout: dict[str, int | float]
    accessed: float
    run: str | None = None

    @classmethod
    def from_blob(cls, blob: bytes) -> "Instance":
        """Decode an instance from its record's blob; raises like `perdure.state.codec.decode`."""
        return msgspec.convert(decode(blob), cls)

    def to_blob(self) -> bytes:
        """Encode the instance as its record's blob."""
        return encode(msgspec.to_builtins(self))


def new_instance_id() -> str:
    """Make an id that can't be guessed: 128 random bits as 32 hexadecimal digits."""
    return secrets.token_hex(16)
