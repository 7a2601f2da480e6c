"""Artifacts: one storage, and in it each owner's experiments and results, which no other owner reaches."""

import time
from collections.abc import Callable
from contextlib import suppress

from perdure.artifacts.blobs import Blobs, check_digest
from perdure.artifacts.chunks import Measured
from perdure.artifacts.experiments import Experiments
from perdure.artifacts.filesets import FileSets, Locks, is_version
from perdure.artifacts.limits import ArtifactLimits
from perdure.artifacts.names import encoded
from perdure.artifacts.objects import Objects
from perdure.artifacts.results import OwnerResults
from perdure.artifacts.usage import Usage
from perdure.clock import steady
from perdure.errors import CorruptBlob

__all__ = ["Artifacts"]

_STORE = ".store"  # no owner has this name: `encoded` has no dots; and copies leave it out


class Artifacts:
    """The files of experiments and of what simulations wrote, at a URL.

    It holds nothing open, and nothing is written before it is used.

    Parameters
    ----------
    url
        Any that fsspec knows, or a folder.
    limits
        How much an owner may keep.
    clock
        Returns Unix time; the default is not moved when the wall clock is set.
    wait
        Waits so many seconds before an upload is tried again.

    Attributes
    ----------
    url
        The URL.

    Examples
    --------
    >>> artifacts = Artifacts("memory://docs")
    >>> artifacts.experiments("ada").all()
    []
    """

    def __init__(
        self,
        url: str,
        limits: ArtifactLimits | None = None,
        *,
        clock: Callable[[], float] = steady,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url
        self._objects = Objects(url)
        self._limits = limits or ArtifactLimits()
        self._clock = clock
        self._wait = wait
        self._locks = Locks()
        self._usages: dict[str, Usage] = {}  # by owner

    @property
    def is_of_one_host(self) -> bool:
        """Whether other hosts find something else at the same URL."""
        return self._objects.is_of_one_host

    def store(self) -> str | None:
        """Return the identity of the store that these artifacts belong to; None if no store has them yet."""
        try:
            return self._objects.read(_STORE).decode(errors="replace")
        except FileNotFoundError:
            return None

    def give_to(self, identity: str) -> None:
        """Record the store that these artifacts belong to, unless another one has them already."""
        with suppress(FileExistsError):
            self._objects.create(_STORE, identity.encode())

    def is_same_as(self, other: "Artifacts") -> bool:
        """Return whether both are in the same place, also if their URLs are written differently."""
        return self._objects.is_same_as(other._objects)

    def hand_over(self, former: str, identity: str) -> None:
        """Record another store that these artifacts belong to, if they belong to the former one."""
        if self.store() == former:
            self._objects.remove(_STORE)
            self.give_to(identity)

    def experiments(self, owner: str) -> Experiments:
        """Return the experiments of an owner."""
        return Experiments(self._sets("experiments", encoded(owner)), self._limits)

    def results(self, owner: str) -> OwnerResults:
        """Return the results of an owner's simulations."""
        sets = self._sets("results", encoded(owner))
        return OwnerResults(sets, self._usages.setdefault(owner, Usage(sets.sizes)), self._wait)

    def blobs(self, owner: str) -> Blobs:
        """Return the blobs that savepoints of an owner's simulations name."""
        return self._blobs(encoded(owner))

    def sweep(self) -> None:
        """Remove what uploads left that broke off a day ago, and writes of blobs an hour ago."""
        for owner in self._objects.names(""):
            if owner == _STORE:
                continue
            self._blobs(owner).sweep(self._clock())
            for kind in ("experiments", "results"):
                self._sets(kind, owner).sweep()

    def copy(self, url: str, *, afresh: bool = True, verify: bool = False) -> tuple[int, int]:
        """Copy all that is stored to a folder or URL; return how many files they are, and their bytes.

        Whatever was stored when this is called is copied whole, unless it is deleted meanwhile. What is
        stored meanwhile may be left out.

        Parameters
        ----------
        afresh
            Whether nothing is there yet. Otherwise only what isn't there yet is copied, and compared with
            what was read; `CorruptBlob` if it differs. It doesn't become the artifacts of the same store.
        verify
            Whether what is there is read and compared too, and copied again if it differs; and blobs are
            compared with their hash: `CorruptBlob` if one here is damaged.
        """
        target = Objects(url)
        there = {} if afresh else target.sizes()
        # A version is written after the files that it names: those of the first list are all in the second.
        versions = {key for key in self._objects.sizes() if is_version(key)}
        files = size = 0
        for key, length in self._objects.sizes().items():
            if is_version(key) and key not in versions:
                continue
            try:
                if there.get(key) == length and not (verify and self._differs(target, key, length)):
                    continue
                read = Measured(self._objects.chunks(key, length))
                target.write(key, read)
                if not afresh and read.sha256 != _digest(target, key, length):
                    target.remove(key)
                    raise CorruptBlob(reason=f"the artifact {key} differs in the copy")
                if verify:
                    check_digest(key, read.sha256)
            except FileNotFoundError:
                target.remove(key)  # it was deleted meanwhile
                continue
            files += 1
            size += length
        return files, size

    def _differs(self, target: Objects, key: str, length: int) -> bool:
        """Return whether an object of the same length differs there; raise if it is damaged here."""
        digest = _digest(self._objects, key, length)
        check_digest(key, digest)
        return digest != _digest(target, key, length)

    def _blobs(self, owner: str) -> Blobs:
        return Blobs(self._objects, f"{owner}/blobs")

    def _sets(self, kind: str, owner: str) -> FileSets:
        return FileSets(self._objects, f"{owner}/{kind}", self._locks, self._clock)


def _digest(objects: Objects, key: str, length: int) -> str:
    return Measured(objects.chunks(key, length)).whole().sha256
