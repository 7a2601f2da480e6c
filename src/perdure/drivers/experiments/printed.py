"""What is printed in a simulation's process: whole lines, in one order with those that its script logs.

The order of two lines is the script's own then, and repeats. What is written past Python's own streams, by
`os.write`, C code or other processes, comes through pipes, in their order; so does, in a replay, what the
server is to drop, and what is printed where no line can be passed on: by a process that was forked, or by
the handler of a signal that came while one was.
"""

import io
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, TextIO

from perdure.execution.context import LONGEST_WRITTEN

__all__ = ["LEVELS", "Printed"]

LEVELS: Final = {"stdout": "info", "stderr": "error"}
Say = Callable[[str, str], bool]


class Printed:
    """Takes what is printed to `sys.stdout` and `sys.stderr` while a ``with`` block lasts.

    Parameters
    ----------
    say
        Takes a line with its level, or returns False if it can't be taken now.
    """

    def __init__(self, say: Say) -> None:
        self._say = say
        self._streams: dict[str, _Stream] = {}
        self._former: dict[str, TextIO] = {}

    def __enter__(self) -> "Printed":
        for name, level in LEVELS.items():
            former = self._former[name] = getattr(sys, name)
            stream = self._streams[name] = _Stream(former, level, self._say)
            setattr(sys, name, stream)
        return self

    def __exit__(self, *_: object) -> None:
        for name, stream in self._streams.items():
            stream.end()
            setattr(sys, name, self._former[name])


class _Stream(io.TextIOBase):
    """Passes lines on as they end; what it can't pass on it writes to the stream in whose place it is."""

    def __init__(self, stream: TextIO, level: str, say: Say) -> None:
        self._stream = stream
        self._level = level
        self._say = say
        self._process = os.getpid()
        self._writing = threading.RLock()  # held for one write
        self._busy = False  # whether that is going on, for who interrupts it in its own thread
        self._ended = False
        self._rest = ""  # what there is of a line that hasn't ended
        # Holds the settings and checks new ones; the stream keeps its own, which the server relies on.
        self._settings = io.TextIOWrapper(
            io.BytesIO(), encoding=stream.encoding, errors=stream.errors, line_buffering=True
        )

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As it was set; at first that of the stream."""
        return self._settings.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """As it was set; at first that of the stream."""
        return self._settings.errors

    @property
    def buffer(self) -> object:
        """The stream's: bytes go through the pipe."""
        return self._stream.buffer

    @property
    def name(self) -> str:
        """That of the stream."""
        return self._stream.name

    @property
    def mode(self) -> str:
        """That of the stream."""
        return self._stream.mode

    @property
    def line_buffering(self) -> bool:
        """As it was set, true at first."""
        return self._settings.line_buffering

    @property
    def write_through(self) -> bool:
        """As it was set, false at first."""
        return self._settings.write_through

    def reconfigure(self, **settings: Any) -> None:
        """Take settings as `io.TextIOWrapper` does; whatever they are, a line is passed on when it ends."""
        self._settings.reconfigure(**settings)

    def fileno(self) -> int:
        """Return the stream's, for processes that are to write there."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """Return that it is."""
        return True

    def flush(self) -> None:
        """Do what there is to do: a line is passed on when it ends."""
        self._stream.flush()

    def write(self, text: str) -> int:
        """Pass on the lines that end with this."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if os.getpid() != self._process:
            return self._stream.write(text)
        with self._writing:
            if self._busy or self._ended:
                return self._stream.write(text)
            self._busy = True
            try:
                *lines, self._rest = (self._rest + text).split("\n")
                for line in lines:
                    self._pass_on(line)
                while len(self._rest) > LONGEST_WRITTEN:
                    part, self._rest = self._rest[:LONGEST_WRITTEN], self._rest[LONGEST_WRITTEN:]
                    self._pass_on(part)
            finally:
                self._busy = False
        return len(text)

    def end(self) -> None:
        """Pass on the unfinished line; code that has kept the stream now writes to the former one."""
        with self._writing:
            rest, self._rest = self._rest, ""
            if rest:
                self._pass_on(rest)
            self._ended = True

    def _pass_on(self, line: str) -> None:
        text = line.removesuffix("\r").encode("utf-8", "backslashreplace").decode()
        for at in range(0, len(text) or 1, LONGEST_WRITTEN):
            part = text[at : at + LONGEST_WRITTEN]
            if not self._say(part, self._level):
                self._stream.write(part + "\n")
