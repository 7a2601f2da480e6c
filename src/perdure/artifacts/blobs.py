"""Blobs: the large parts of files that savepoints name, by their hash; rows of the store say which exist.

An object is written once, whole, and synced. Its name holds the number of its row too, which none has again,
in another store neither: so one that is being removed is never the one that somebody writes or needs.
"""

import hashlib
import re

from perdure.artifacts.objects import Objects
from perdure.errors import CorruptBlob

__all__ = ["Blobs", "check_digest"]

CUT_OFF_SECONDS = 3600.0  # after which a write is no longer under way

_KEY = re.compile(r"[^/]+/blobs/([0-9a-f]{64})-[0-9]+")


def check_digest(key: str, digest: str) -> None:
    """Raise `CorruptBlob` if a key names a blob of another hash; any other key may have any content."""
    if (found := _KEY.fullmatch(key)) and found[1] != digest:
        raise CorruptBlob(reason=f"the artifact {key} isn't what was written")


class Blobs:
    """The blobs of one owner; blocking, and to be used by any number of threads.

    Every method raises `ArtifactsUnavailable` if the storage fails.

    Parameters
    ----------
    objects
        Where they are.
    prefix
        The key they are below.
    """

    def __init__(self, objects: Objects, prefix: str) -> None:
        self._objects = objects
        self._prefix = prefix

    def write(self, number: int, digest: str, data: bytes) -> None:
        """Write a blob; harmless if it is there. It is durable on return."""
        key = self._key(number, digest)
        try:
            self._objects.create(key, data)
        except FileExistsError:
            if self._objects.read(key) != data:  # a write of it was cut off
                self._objects.remove(key)
                self._objects.create(key, data)

    def read(self, number: int, digest: str) -> bytes:
        """Return a blob; `CorruptBlob` if it is missing or isn't what was written."""
        key = self._key(number, digest)
        try:
            data = self._objects.read(key)
        except FileNotFoundError:
            raise CorruptBlob(reason=f"the artifact {key} is missing") from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise CorruptBlob(reason=f"the artifact {key} isn't what was written")
        return data

    def remove(self, number: int, digest: str) -> None:
        """Remove a blob; harmless if there is none."""
        self._objects.remove(self._key(number, digest))

    def sweep(self, now: float) -> None:
        """Remove what writes left that were cut off more than an hour before `now`."""
        self._objects.remove_unfinished(self._prefix, now - CUT_OFF_SECONDS)

    def _key(self, number: int, digest: str) -> str:
        return f"{self._prefix}/{digest}-{number}"
