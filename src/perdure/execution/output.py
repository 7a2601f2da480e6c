"""The output of a child: reads one of its streams from a pipe as lines."""

import asyncio
import fcntl
import os
import struct
import termios

__all__ = ["Output"]

LONGEST_PRINTED = 8192  # bytes of a line
_INT = struct.Struct("i")


class Output:
    """The reading end of a pipe to which a child prints.

    A line counts when it ends; the beginning of an unfinished line waits for the rest.

    Parameters
    ----------
    file
        The file descriptor of the reading end, which the output owns until `close`.

    Attributes
    ----------
    over
        Whether all writers have closed their ends and everything was read.
    """

    def __init__(self, file: int) -> None:
        os.set_blocking(file, False)
        self._file = file
        self._rest = b""
        self.over = False

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._file)

    @property
    def waiting(self) -> int:
        """Number of bytes in the pipe."""
        (count,) = _INT.unpack(fcntl.ioctl(self._file, termios.FIONREAD, bytes(_INT.size)))
        return int(count)

    async def readable(self) -> None:
        """Wait until there is something to read, or the output is over."""
        loop = asyncio.get_running_loop()
        there = asyncio.Event()
        loop.add_reader(self._file, there.set)
        try:
            await there.wait()
        finally:
            loop.remove_reader(self._file)

    def take(self, limit: int) -> tuple[int, list[str]]:
        """Read a limited number of bytes; return their number, and the lines that end within them.

        A line of more than 8,192 bytes becomes several, split at the same positions however it arrives.
        """
        try:
            data = os.read(self._file, limit)
        except BlockingIOError:
            return 0, []
        whole, end, rest = (self._rest + data).rpartition(b"\n")
        begun, _, self._rest = _cut(rest).rpartition(b"\n")
        lines = [*(_texts(_cut(whole)) if end else ()), *(_texts(begun) if begun else ())]
        if not data:
            self.over = True
        return len(data), lines

    def take_rest(self) -> list[str]:
        """Return the unfinished line that will never be completed, if there is one."""
        rest, self._rest = self._rest, b""
        return _texts(rest) if rest else []


def _cut(lines: bytes) -> bytes:
    """Split each line that is too long."""
    if len(lines) <= LONGEST_PRINTED or max(map(len, lines.split(b"\n"))) <= LONGEST_PRINTED:
        return lines
    return b"\n".join(
        line[at : at + LONGEST_PRINTED]
        for line in lines.split(b"\n")
        for at in range(0, len(line) or 1, LONGEST_PRINTED)
    )


def _texts(lines: bytes) -> list[str]:
    return (lines + b"\n").decode(errors="replace").replace("\r\n", "\n").split("\n")[:-1]
