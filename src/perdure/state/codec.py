"""The codec: encodes states and log entries as checked bytes. Reading a blob never executes code.

A blob is a 12-byte header and a MessagePack body. The header holds the format, flags, the schema version of
the content, and a BLAKE2b checksum over everything else. Big integers, arrays, tuples and NumPy scalars are
MessagePack extensions, as are pandas' DataFrames, Series and Indexes, which `frames` takes apart. A body
above 512 bytes is compressed with zstd level 1. Every value is restored with its type and its bits.
Format 1 lacks tuples, NumPy scalars and frames; it can still be read.
"""

import contextlib
import hashlib
import math
import struct
from typing import Any, TypeAlias, cast

import msgspec
import numpy as np
import numpy.typing as npt
import zstandard

from perdure.errors import CorruptBlob, NewerSchema, NotSnapshotable
from perdure.state import frames

__all__ = ["State", "decode", "encode", "pack", "same", "unpack"]

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

Sets and objects are refused, since they can't be restored exactly.
"""

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
_PLAIN = (type(None), bool, float, bytes)
_SMALLEST, _LARGEST = -(1 << 63), (1 << 64) - 1  # what a MessagePack integer holds
_MANTISSA_OF_80_BITS = 63  # bits; a `long double` on x86, which occupies 16 bytes of memory
_ARRAY_KINDS = "biufcSUmM"  # fully described by the name of the type; records ("V") need more

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
        return kind in _ATOMS or (kind is np.ndarray and value.dtype.kind in _ARRAY_KINDS)
    return _ATOMS.issuperset(map(type, value)) or all(map(_carried, value))


def _array(value: Any, name: Any = None) -> msgspec.msgpack.Ext:
    name = _name(value.dtype) if name is None else name
    return msgspec.msgpack.Ext(_ARRAY, _encoder.encode((name, value.shape, _bytes(value))))


_encoder = msgspec.msgpack.Encoder(enc_hook=_array)


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
    if kind is np.ndarray:
        return _array(value, _checked_name(value.dtype, path))
    if isinstance(value, np.generic) and kind is value.dtype.type:
        return _scalar(value, path)
    if (parts := frames.parts_of(value, path)) is not None:
        return msgspec.msgpack.Ext(_FRAME, _encoder.encode(_to_wire(parts, path)))
    raise NotSnapshotable(
        what=path,
        reason=f"{kind.__module__}.{kind.__qualname__} is none of None, bool, int, float, str, bytes, "
        "tuple, list, dict, numpy.ndarray, a NumPy scalar, a DataFrame",
    )


def _items(values: Any, path: str) -> list[Any]:
    if _UNCHANGED.issuperset(map(type, values)):
        return list(values)
    return [_to_wire(item, f"{path}[{i}]") for i, item in enumerate(values)]


def _scalar(value: Any, path: str) -> msgspec.msgpack.Ext:
    content: Any
    # Python's own values: NumPy cuts off trailing zeros.
    if isinstance(value, str):
        name, content = "U", _text(value[:], path)
    elif isinstance(value, bytes):
        name, content = "S", value[:]
    else:
        name, content = _checked_name(value.dtype, path), _bytes(np.array(value))
    return msgspec.msgpack.Ext(_SCALAR, _encoder.encode((name, content)))


def _checked_name(dtype: np.dtype[Any], path: str) -> Any:
    """Return the name of an element type, or the fields of a record type.

    Refuse types without exact bytes.
    """
    if not dtype.hasobject:
        if dtype.kind in _ARRAY_KINDS:
            return _name(dtype)
        if dtype.kind == "V":
            fields = np.lib.format.dtype_to_descr(dtype)
            again = np.lib.format.descr_to_dtype(fields)
            if again == dtype and again.type is dtype.type:
                return _to_wire(fields, path)
    raise NotSnapshotable(what=path, reason=f"the dtype {dtype} has no exact bytes")


def _name(dtype: np.dtype[Any]) -> str:
    """Return the name of an element type; `str` doesn't distinguish NumPy's `long long` from `long`."""
    name = dtype.str
    return name if np.dtype(name).num == dtype.num else name[0] + dtype.char


def _bytes(array: Any) -> bytes:
    """Return the bytes of an array in C order; the padding of 80-bit numbers is set to zero."""
    if array.dtype.char not in "gG" or np.finfo(array.dtype).nmant != _MANTISSA_OF_80_BITS:
        return cast(bytes, array.tobytes())
    numbers = np.frombuffer(array.tobytes(), np.uint8).reshape(-1, np.dtype("g").itemsize).copy()
    numbers[:, 10:] = 0
    return numbers.tobytes()


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
    if code == _ARRAY:
        name, shape, elements = _decoder.decode(data)
        return _elements(name, shape, elements)
    if code == _TUPLE:
        return tuple(_decoder.decode(data))
    if code == _SCALAR:
        name, content = _decoder.decode(data)
        if name == "U":
            return np.str_(content)
        return np.bytes_(content) if name == "S" else _elements(name, (), content)[()]
    if code == _FRAME:
        return frames.made(_decoder.decode(data))
    raise ValueError(f"unknown extension {code}")


def _elements(name: Any, shape: Any, elements: bytes) -> Any:
    """Return an array that owns its memory."""
    dtype = np.lib.format.descr_to_dtype(name)
    if dtype.hasobject or len(elements) != dtype.itemsize * math.prod(shape):
        raise ValueError(f"{len(elements)} bytes are no array of the type {dtype} and the shape {shape}")
    made = np.ndarray(tuple(shape), dtype, elements)
    return made.copy() if dtype.itemsize else np.ndarray(made.shape, dtype)


_decoder = msgspec.msgpack.Decoder(ext_hook=_from_wire, strict=True)


def encode(value: State, *, schema: int = 1) -> bytes:
    """Encode a state as a checked blob.

    Parameters
    ----------
    value
        None, bool, int of any size, float, str, bytes, ndarray, NumPy scalar, tuple, list or dict (keys of
        str, or int of up to 64 bits), nested; or a DataFrame, Series or Index of pandas.
    schema
        Version of the value's own layout, 0 to 65,535. `decode` refuses a version newer than it expects.

    Raises
    ------
    NotSnapshotable
        If a part of the value is of another type, a key is too large, or text isn't Unicode. The message
        names the part.
    """
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
