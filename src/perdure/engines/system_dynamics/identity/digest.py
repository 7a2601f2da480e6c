"""The hash function of fingerprints."""

import struct
from hashlib import blake2b

from perdure.engines.system_dynamics.compiling.program import Code
from perdure.engines.system_dynamics.points import Points

__all__ = ["Digest"]


class Digest:
    """A hash over typed values; each is hashed with its kind and length, so different sequences differ."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16, person=b"perdure-model")

    def add(self, *values: str | float | bytes | None) -> None:
        for value in values:
            match value:
                case None:
                    kind, data = b"n", b""
                case bool():
                    kind, data = b"b", b"1" if value else b"0"
                case int():
                    kind, data = b"i", str(value).encode() if abs(value) < 1 << 64 else hex(value).encode()
                case float():
                    kind, data = b"f", struct.pack("<d", value)
                case str():
                    kind, data = b"s", value.encode("utf-8", "surrogatepass")
                case _:
                    kind, data = b"y", bytes(value)
            self._hash.update(kind + struct.pack("<Q", len(data)) + data)

    def code(self, code: Code) -> None:
        self.add(len(code))
        for operator, arity, data in code:
            self.add(operator, arity)
            if isinstance(data, tuple):
                self.points(data)
            else:
                self.add(data)

    def points(self, points: Points) -> None:
        self.add(len(points))
        for x, y in points:
            self.add(x, y)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()
