"""What computes a run, in its version: recorded with each run, and needed again by one that has begun."""

import hashlib
import platform
from collections.abc import Iterable, Mapping

import msgspec
from msgspec.structs import replace

__all__ = ["ComputedBy", "hash_of", "installed", "python_version"]


class ComputedBy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What computes a run, or has to. A run that hasn't begun needs what is named here in any version.

    Attributes
    ----------
    task
        The name of a task that is found by name; empty if there is none, or its files travel with the run.
    version
        What the task's author calls it; empty if it isn't called anything, or if that isn't known.
    sha256
        The hash of the task's module; empty for any, and if all files travel with the run, whose spec has it.
    engines
        The kinds of engines that other packages bring.
    packages
        The installed packages that numbers depend on, and their versions; an empty one is any.
    python
        Python's version, as 3.12; empty before the run has begun.
    numerics
        The numeric fingerprint of the host that computes it; empty for any.
    earlier_numerics
        Those of hosts that computed it before, if it was continued in spite of the difference.
    """

    task: str = ""
    version: str = ""
    sha256: str = ""
    engines: tuple[str, ...] = ()
    packages: dict[str, str] = {}
    python: str = ""
    numerics: str = ""
    earlier_numerics: tuple[str, ...] = ()

    def to_text(self) -> str:
        """Return it as text; equal ones have equal texts, and that of nothing is empty."""
        return "" if self == ComputedBy() else msgspec.json.encode(self, order="sorted").decode()

    @classmethod
    def from_text(cls, text: str) -> "ComputedBy":
        """Return what `to_text` was called of."""
        return msgspec.json.decode(text, type=cls) if text else cls()

    def at(self, numerics: str, needed: "ComputedBy") -> "ComputedBy":
        """Return it with the numeric fingerprint of the host that goes on with a run with these needs."""
        before = needed.earlier_numerics
        if needed.numerics not in ("", numerics):
            before = (*dict.fromkeys((*before, needed.numerics)),)
        return replace(self, numerics=numerics, earlier_numerics=before)

    def differs(self, there: "ComputedBy") -> str:
        """Return in words how a host differs that would go on with what is `there`; empty if it may.

        If the author of a task has named both versions, they alone count: equal ones compute equal numbers.
        """
        if not self.python:
            return ""
        parts = ("version",) if self.version and there.version else ("sha256", "packages", "python")
        if all(getattr(self, part) == getattr(there, part) for part in parts):
            return ""
        task, it = (f"the task {self.task!r} in ", "it in ") if self.task else ("", "")
        return (
            f"It has begun with {task}{self._words(there)}; this server has {it}{there._words(self)}. Serve "
            "the former version, or stop the run."
        )

    def _words(self, other: "ComputedBy") -> str:
        """Return in words what is different in another one."""
        found = []
        if self.version != other.version:
            found.append(f"version {self.version}" if self.version else "an unknown version")
        if self.sha256 != other.sha256:
            found.append(f"source {self.sha256[:12]}" if self.sha256 else "an unknown source")
        found += [" ".join(package) for package in sorted(self.packages.items() - other.packages.items())]
        found += [f"no package {name}" for name in sorted(other.packages.keys() - self.packages.keys())]
        if self.python != other.python:
            found.append(f"Python {self.python}" if self.python else "an unknown Python")
        return ", ".join(found)


def hash_of(files: Mapping[str, bytes]) -> str:
    """Return the hash of files, by their paths."""
    return hashlib.sha256(msgspec.msgpack.encode(sorted(files.items()))).hexdigest()


def installed(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed, as they are now."""
    from importlib.metadata import PackageNotFoundError, version  # the process of a task asks for none

    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def python_version() -> str:
    """Return the version of this process's Python that numbers may depend on, without the last part."""
    return ".".join(platform.python_version_tuple()[:2])
