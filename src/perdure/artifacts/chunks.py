"""Chunks: the bytes of a file on their way, measured as they pass, and called off between two of them."""

import hashlib
from collections.abc import Callable, Iterable, Iterator

__all__ = ["CalledOff", "Measured", "unless"]


class CalledOff(Exception):
    """Nobody wants any more what was being read or written."""


class Measured:
    """Chunks whose size and SHA-256 are those of what was taken of them so far.

    Parameters
    ----------
    chunks
        The chunks, which can be taken once.

    Attributes
    ----------
    size
        The number of bytes taken.

    Examples
    --------
    >>> chunks = Measured([b"ab", b"c"])
    >>> b"".join(chunks), chunks.size
    (b'abc', 3)
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.size = 0
        self._chunks = chunks
        self._hash = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._hash.update(chunk)
            self.size += len(chunk)
            yield chunk

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes taken."""
        return self._hash.hexdigest()

    def whole(self) -> "Measured":
        """Take all chunks, and return this."""
        for _ in self:
            pass
        return self


def unless(called_off: Callable[[], bool], chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield chunks; raise `CalledOff` once `called_off`, asked at first and after each, returns True."""
    if called_off():
        raise CalledOff
    for chunk in chunks:
        yield chunk
        if called_off():
            raise CalledOff
