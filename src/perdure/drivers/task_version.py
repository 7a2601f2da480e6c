"""The version of a task: what its runs are computed by, and what a run that has begun needs to go on."""

import hashlib
import platform
from collections.abc import Mapping

import msgspec

__all__ = ["TaskVersion", "hash_of", "python_version"]


class TaskVersion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which task computes a run, or has to. A run that hasn't begun needs the task alone, in any version.

    Attributes
    ----------
    task
        The task's name, for the host to have; empty if its files travel with the run.
    version
        What its author calls it; empty if it isn't called anything, or if that isn't known.
    package
        Name and version of the installed package that brings it; empty for none.
    sha256
        The hash of its files, or of its module; empty for any.
    python
        Python's version, as 3.12.
    """

    task: str = ""
    version: str = ""
    package: str = ""
    sha256: str = ""
    python: str = ""

    def to_text(self) -> str:
        """Return it as text; equal ones have equal texts."""
        return msgspec.json.encode(self, order="sorted").decode()

    @classmethod
    def from_text(cls, text: str) -> "TaskVersion":
        """Return what `to_text` was called of; a run of before there were such texts needs nothing."""
        return msgspec.json.decode(text, type=cls) if text else cls()

    def lacks(self, has: "TaskVersion") -> str:
        """Return in words what a host lacks that has another version of the task; empty if nothing.

        If both have a version that their author named, that alone counts: equal ones compute equal numbers.
        """
        if not self.sha256:
            return ""
        named = self.version and has.version
        parts = ("version",) if named else ("package", "sha256", "python")
        if all(getattr(self, part) == getattr(has, part) for part in parts):
            return ""
        task = f"the task {self.task!r}" if self.task else "its task"
        needed, there = self._words(has), has._words(self)
        return (
            f"The run has begun with {task} of {needed}, and this server has that of {there}. Serve the "
            "former one, or stop the run and make it anew."
        )

    def _words(self, other: "TaskVersion") -> str:
        """Return in words what is different in another version."""
        values = {
            "version": f"version {self.version}" if self.version else "no version",
            "package": self.package or "no package",
            "sha256": f"source {self.sha256[:12]}",
            "python": f"Python {self.python}",
        }
        return ", ".join(text for part, text in values.items() if getattr(self, part) != getattr(other, part))


def hash_of(files: Mapping[str, bytes]) -> str:
    """Return the hash of files, by their paths."""
    digest = hashlib.sha256()
    for path, content in sorted(files.items()):
        digest.update(f"{path}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def python_version() -> str:
    """Return the version of this process's Python that numbers may depend on, without the last part."""
    return ".".join(platform.python_version_tuple()[:2])
