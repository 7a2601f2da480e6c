"""The compressed form of a session: a small JSON object, checked when it is read."""

import base64
import binascii
from typing import Any

import msgspec
import zstandard

from perdure.errors import CorruptBlob

__all__ = ["compress", "decompress"]

FORMAT = "perdure-1"
LEVEL = 3
MAX_BYTES = 1 << 30  # of a decompressed session; one that claims more is damage


def compress(state: object) -> dict[str, Any]:
    """Return the compressed form of a value that `msgspec` can write as JSON."""
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    packed = compressor.compress(msgspec.json.encode(state))
    return {"format": FORMAT, "zstd": base64.b64encode(packed).decode("ascii")}


def decompress(state: Any) -> Any:
    """Return a state in its plain form, whether it is compressed or not.

    Raises
    ------
    CorruptBlob
        If it was truncated or changed.
    """
    if not isinstance(state, dict) or state.get("format") != FORMAT or "zstd" not in state:
        return state
    try:
        packed = base64.b64decode(state["zstd"], validate=True)
        text = zstandard.ZstdDecompressor().decompress(
            packed, max_output_size=MAX_BYTES, allow_extra_data=False
        )
        return msgspec.json.decode(text)
    except (TypeError, binascii.Error, zstandard.ZstdError, msgspec.DecodeError) as error:
        raise CorruptBlob(reason=str(error)) from error
