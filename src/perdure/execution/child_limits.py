"""The limits of one child."""

import msgspec

__all__ = ["ChildLimits"]


class ChildLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a child may use; None is no limit.

    Attributes
    ----------
    seconds
        Running time: wall time without pauses.
    cpu_seconds
        CPU time of each process, rounded up to whole seconds.
    memory
        Bytes of resident anonymous and shared memory of the child and its descendants together, without
        files. Reserved address space doesn't count: numerical libraries reserve gigabytes that they never
        touch.
    open_files
        Open files of each process.
    file_bytes
        Size of each file that a process writes. A write beyond it fails with ``EFBIG``; holes count.
    folder_bytes
        Bytes that the child's folders occupy on the disk together. They are checked periodically, so that
        fast writes may exceed the limit for a moment.
    """

    seconds: float | None = None
    cpu_seconds: float | None = None
    memory: int | None = None
    open_files: int | None = None
    file_bytes: int | None = None
    folder_bytes: int | None = None

    def arguments(self) -> list[str]:
        """Return the limits as command-line arguments of the guard."""
        given = (
            *(self.seconds, self.cpu_seconds, self.memory, self.open_files),
            *(self.file_bytes, self.folder_bytes),
        )
        return ["-" if limit is None else str(limit) for limit in given]
