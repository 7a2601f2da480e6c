"""The codec: encodes states and log entries as checked bytes. Reading a blob never executes code.

A blob is a 12-byte header and a MessagePack body. The header holds the format, flags, the schema version of
the content, and a BLAKE2b checksum over everything else. Big integers, arrays, tuples and NumPy scalars are
MessagePack extensions, as are pandas' DataFrames, Series and Indexes, which `frames` takes apart. A body
above 512 bytes is compressed with zstd level 1. Every value is restored with its type and its bits.
Format 1 lacks tuples, NumPy scalars and frames; it can still be read.

NumPy takes as long to import as all else that a task's process needs, so it is imported with the first array.
"""

import contextlib
import hashlib
import struct
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import zstandard

from perdure.errors import CorruptBlob, NewerSchema, NotSnapshotable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    State: TypeAlias = (
        bool
        | int
        | float
        | str
        | bytes
        | npt.NDArray[Any]
        | np.generic
        | tuple["State", ...]
        | list["State"]
        | dict[str, "State"]
        | dict[int, "State"]
        | None
    )
    """What a snapshot may hold; also DataFrames, Series and Indexes if pandas is installed.

    Sets and objects are refused, since they can't be restored exactly. At run time it is `Any`, as NumPy may
    not be imported.
    """
else:
    State = Any

__all__ = ["Encoded", "Packed", "State", "check", "decode", "encode", "pack", "same", "unpack"]

FORMAT = 2
COMPRESSED = 1
COMPRESS_ABOVE = 512  # bytes
MAX_BODY = 1 << 30  # bytes; a header that claims more is damage, not data

_HEADER = struct.Struct("<BBH8s")
_BIG_INTEGER = 1
_ARRAY = 2
_TUPLE = 3
_SCALAR = 4
_FRAME = 5


class Packed:
    """A value that `pack` has packed: a part of a state that is packed again and again with other parts.

    >>> part = Packed(pack([1, 2]))
    >>> unpack(pack({"part": part}))
    {'part': [1, 2]}

    Parameters
    ----------
    body
        What `pack` returned.
    """

    __slots__ = ("body",)

    def __init__(self, body: bytes) -> None:
        self.body = body


_PLAIN = (type(None), bool, float, bytes, Packed)
_SMALLEST, _LARGEST = -(1 << 63), (1 << 64) - 1  # what a MessagePack integer holds

_UNCHANGED = frozenset(_PLAIN)
_ATOMS = frozenset((*_PLAIN, int, str))
_NAMES = frozenset((str,))


def _carried(value: Any) -> bool:
    """Return whether MessagePack carries a value unchanged.

    Integers may still be too large, and text may not be Unicode. Most values are carried, and this test is
    several times faster than `_to_wire`.
    """
    kind = type(value)
    if kind is dict:
        if not _NAMES.issuperset(map(type, value)):
            return False
        value = value.values()
    elif kind is not list:
        return kind in _ATOMS or ("numpy" in sys.modules and _is_plain_array(value))
    return _ATOMS.issuperset(map(type, value)) or all(map(_carried, value))


def _is_plain_array(value: Any) -> bool:
    from perdure.state import arrays

    return arrays.is_plain(value)


def _unknown(value: Any) -> msgspec.msgpack.Ext | msgspec.Raw:
    """Return the form of what MessagePack doesn't know and `_carried` lets pass."""
    if type(value) is Packed:
        return msgspec.Raw(value.body)
    from perdure.state import arrays

    return msgspec.msgpack.Ext(_ARRAY, _encoder.encode(arrays.plain_parts(value)))


_encoder = msgspec.msgpack.Encoder(enc_hook=_unknown)


def _to_wire(value: Any, path: str) -> Any:
    """Return `value` in a form that MessagePack carries without loss.

    Raises `NotSnapshotable` with the path of the part that has no such form.
    """
    kind = type(value)
    if kind is str:
        return _text(value, path)
    if kind in _PLAIN:
        return value
    if kind is int:
        if _SMALLEST <= value <= _LARGEST:
            return value
        size = value.bit_length() // 8 + 1
        return msgspec.msgpack.Ext(_BIG_INTEGER, value.to_bytes(size, "little", signed=True))
    if kind is list:
        return _items(value, path)
    if kind is tuple:
        return msgspec.msgpack.Ext(_TUPLE, _encoder.encode(_items(value, path)))
    if kind is dict:
        for key in value:
            if type(key) is str:
                _text(key, f"{path}[{key!r}]")
            elif type(key) is not int:
                raise NotSnapshotable(what=path, reason=f"the key {key!r} is neither str nor int")
            elif not _SMALLEST <= key <= _LARGEST:
                raise NotSnapshotable(what=path, reason=f"the key {key:#x} has more than 64 bits")
        return {key: _to_wire(item, f"{path}[{key!r}]") for key, item in value.items()}
    if "numpy" in sys.modules:
        from perdure.state import arrays, frames

        for code, parts_of in (
            (_ARRAY, arrays.array_parts),
            (_SCALAR, arrays.scalar_parts),
            (_FRAME, frames.parts_of),
        ):
            if (parts := parts_of(value, path)) is not None:
                return msgspec.msgpack.Ext(code, _encoder.encode([_to_wire(part, path) for part in parts]))
    raise NotSnapshotable(
        what=path,
        reason=f"{kind.__module__}.{kind.__qualname__} is none of None, bool, int, float, str, bytes, "
        "tuple, list, dict, numpy.ndarray, a NumPy scalar, a DataFrame",
    )


def _items(values: Any, path: str) -> list[Any]:
    if _UNCHANGED.issuperset(map(type, values)):
        return list(values)
    return [_to_wire(item, f"{path}[{i}]") for i, item in enumerate(values)]


def _text(value: str, path: str) -> str:
    """Return `value` if it can be encoded as UTF-8; raise `NotSnapshotable` for half a surrogate pair."""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise NotSnapshotable(what=path, reason=f"its text isn't Unicode ({error.reason})") from None
    return value


def _from_wire(code: int, data: memoryview) -> Any:
    if code == _BIG_INTEGER:
        return int.from_bytes(data, "little", signed=True)
    if code == _TUPLE:
        return tuple(_decoder.decode(data))
    if code not in (_ARRAY, _SCALAR, _FRAME):
        raise ValueError(f"unknown extension {code}")
    from perdure.state import arrays, frames

    parts = _decoder.decode(data)
    if code == _FRAME:
        return frames.made(parts)
    return arrays.made_array(*parts) if code == _ARRAY else arrays.made_scalar(*parts)


_decoder = msgspec.msgpack.Decoder(ext_hook=_from_wire, strict=True)


class Encoded(bytes):
    """A state that another process has encoded; `encode` returns it as it is."""


def encode(value: State, *, schema: int = 1) -> bytes:
    """Encode a state as a checked blob.

    Parameters
    ----------
    value
        None, bool, int of any size, float, str, bytes, ndarray, NumPy scalar, tuple, list or dict (keys of
        str, or int of up to 64 bits), nested; or a DataFrame, Series or Index of pandas; or an `Encoded`
        state.
    schema
        Version of the value's own layout, 0 to 65,535. `decode` refuses a version newer than it expects.

    Raises
    ------
    NotSnapshotable
        If a part of the value is of another type, a key is too large, or text isn't Unicode. The message
        names the part.
    """
    if type(value) is Encoded:
        return bytes(value)
    body = pack(value)
    flags = 0
    if len(body) > COMPRESS_ABOVE:
        flags = COMPRESSED
        body = zstandard.ZstdCompressor(level=1).compress(body)
    return _HEADER.pack(FORMAT, flags, schema, _checksum(FORMAT, flags, schema, body)) + body


def pack(value: State) -> bytes:
    """Return the body of a blob for a value that is kept within a state: without checksum and compression.

    Raises
    ------
    NotSnapshotable
        As `encode` does.
    """
    try:
        if _carried(value):
            with contextlib.suppress(OverflowError, UnicodeEncodeError):
                return _encoder.encode(value)
        return _encoder.encode(_to_wire(value, "state"))
    except RecursionError:
        raise NotSnapshotable(what="state", reason="it is nested too deeply, or holds itself") from None


def unpack(body: bytes) -> Any:
    """Return the value that `pack` packed; raise `CorruptBlob` if the bytes hold no value."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
        raise CorruptBlob(reason=str(error)) from error


def same(one: bytes, other: bytes) -> bool:
    """Return whether two blobs hold the same value bit for bit, NaN included; raises as `decode` does."""
    return one == other or _body(one, 0xFFFF) == _body(other, 0xFFFF)


def check(blob: bytes) -> None:
    """Raise `CorruptBlob` if a blob was truncated or any bit of it changed."""
    _body(blob, 0xFFFF)


def decode(blob: bytes, *, schema: int = 1) -> Any:
    """Decode a blob that `encode` returned.

    Raises
    ------
    CorruptBlob
        If the blob was truncated or any bit of it changed.
    NewerSchema
        If the blob is intact but its format or schema is newer than this version of Perdure.
    """
    return unpack(_body(blob, schema))


def _body(blob: bytes, schema: int) -> bytes:
    """Check a blob's header and return its body, decompressed."""
    if len(blob) < _HEADER.size:
        raise CorruptBlob(reason=f"{len(blob)} bytes, fewer than its header")
    version, flags, found, checksum = _HEADER.unpack_from(blob)
    body = blob[_HEADER.size :]
    if checksum != _checksum(version, flags, found, body):
        raise CorruptBlob(reason="its checksum is wrong")
    if version > FORMAT:
        raise NewerSchema(what="A blob", found=version, known=FORMAT)
    if found > schema:
        raise NewerSchema(what="A blob", found=found, known=schema)
    if not flags & COMPRESSED:
        return body
    try:
        return zstandard.ZstdDecompressor().decompress(body, max_output_size=MAX_BODY)
    except zstandard.ZstdError as error:
        raise CorruptBlob(reason=str(error)) from error


def _checksum(version: int, flags: int, schema: int, body: bytes) -> bytes:
    digest = hashlib.blake2b(body, digest_size=8, key=struct.pack("<BBH", version, flags, schema))
    return digest.digest()
