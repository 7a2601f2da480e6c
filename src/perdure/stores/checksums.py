"""Checksums of rows: each covers the values of all other columns, so that a changed bit is detected."""

import hashlib
from typing import Any

import msgspec

__all__ = ["checksum"]

_encoder = msgspec.msgpack.Encoder()


def checksum(*parts: Any) -> bytes:
    """Return the checksum of the values of a row."""
    return hashlib.blake2b(_encoder.encode(parts), digest_size=8).digest()
