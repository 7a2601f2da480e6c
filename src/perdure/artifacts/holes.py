"""Holes: long runs of zeros in a file, which are noted instead of stored.

Object stores know no sparse files: what isn't sent needs no time, and takes no room.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from perdure.artifacts.objects import CHUNK

__all__ = ["Hole", "filled", "without_holes"]

SHORTEST = 65_536  # bytes of zeros that are worth a note
MOST = 10_000  # notes of one file; they are in memory with its name

Hole: TypeAlias = tuple[int, int]
"""Where a run of zeros begins in its file, and how long it is."""


def without_holes(chunks: Iterable[bytes], holes: list[Hole]) -> Iterator[bytes]:
    """Yield the chunks of a file but for those that are long and all zeros; note these in `holes`."""
    at = 0
    for chunk in chunks:
        continued = holes and sum(holes[-1]) == at
        long = len(chunk) >= SHORTEST and len(holes) < MOST
        if chunk and (continued or long) and chunk == bytes(len(chunk)):
            start = holes.pop()[0] if continued else at
            holes.append((start, at + len(chunk) - start))
        else:
            yield chunk
        at += len(chunk)


def filled(chunks: Iterable[bytes], holes: Sequence[Hole]) -> Iterator[bytes]:
    """Yield a file's bytes with zeros where its holes are: undo `without_holes`."""
    at, left = 0, list(reversed(holes))
    for chunk in chunks:
        rest = chunk
        while left and left[-1][0] - at <= len(rest):
            start, length = left.pop()
            if start > at:
                yield rest[: start - at]
            yield from _zeros(length)
            rest, at = rest[start - at :], start + length
        if rest:
            yield rest
        at += len(rest)
    for _, length in reversed(left):
        yield from _zeros(length)


def _zeros(length: int) -> Iterator[bytes]:
    for at in range(0, length, CHUNK):
        yield bytes(min(CHUNK, length - at))
