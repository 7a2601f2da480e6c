"""The limits of one child: what it may use, at most."""

import msgspec

__all__ = ["ChildLimits"]


class ChildLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a child may use; None is without limit.

    Attributes
    ----------
    seconds
        Running time: wall time, without the time that it was paused.
    cpu_seconds
        CPU time of each process, rounded up to whole seconds.
    memory
        Bytes that the child and its descendants hold together: anonymous and shared memory that is resident,
        files not counted. Reserved address space isn't counted either, of which numerical libraries take
        gigabytes that they never touch.
    open_files
        Open files of each process.
    file_bytes
        Size of each file that a process writes. A write beyond it fails with ``EFBIG``, a hole counts.
    folder_bytes
        Bytes that the child's folders hold together on the disk. They are looked at now and then, so that
        what is written quickly may exceed it for a moment.
    """

    seconds: float | None = None
    cpu_seconds: float | None = None
    memory: int | None = None
    open_files: int | None = None
    file_bytes: int | None = None
    folder_bytes: int | None = None

    def arguments(self) -> list[str]:
        """Return them as the guard takes them on its command line."""
        given = (
            *(self.seconds, self.cpu_seconds, self.memory, self.open_files),
            *(self.file_bytes, self.folder_bytes),
        )
        return ["-" if limit is None else str(limit) for limit in given]
