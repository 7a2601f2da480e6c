"""What a script says: its `file_logger` and its standard output, silent outside while the script is replayed.

The logger writes to a file in the run's folder, which a replay writes again; only what goes out of the folder
(the run's log lines, standard output and error) is held back then.
"""

import io
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

__all__ = ["ScriptLog", "log_name"]

WriteLine = Callable[[str, str], None]


def log_name(script: str | None, sim_id: int | str) -> str:
    """Return what the log of a simulation's script is called, as the Neurorobotics Platform calls it."""
    return f"{'perdure' if script is None else Path(script).stem}_{sim_id}.log"


class ScriptLog:
    """A script's ways to say something, while a ``with`` block lasts.

    Parameters
    ----------
    path
        The log file; it is begun anew.
    write_line
        Takes each line that is logged, with its level.
    """

    def __init__(self, path: Path, write_line: WriteLine) -> None:
        self.muted = False
        self.logger = logging.Logger("file_logger", logging.DEBUG)
        self._path = path
        self._write_line = write_line
        self._streams: tuple[Any, Any] = (sys.stdout, sys.stderr)

    def __enter__(self) -> "ScriptLog":
        self.logger.addHandler(logging.FileHandler(self._path, mode="w", encoding="utf-8"))
        self.logger.addHandler(_Lines(self))
        self._streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = _Mutable(self, sys.stdout), _Mutable(self, sys.stderr)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        sys.stdout, sys.stderr = self._streams
        for handler in list(self.logger.handlers):
            self.logger.removeHandler(handler)
            handler.close()

    def say(self, text: str, level: str) -> None:
        """Pass a logged line on, unless muted."""
        if not self.muted:
            self._write_line(text, level)


class _Lines(logging.Handler):
    """Passes records on as lines."""

    def __init__(self, log: ScriptLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.say(self.format(record), record.levelname.lower())


class _Mutable(io.TextIOBase):
    """A standard stream that drops what is written while the log is muted."""

    def __init__(self, log: ScriptLog, stream: TextIO) -> None:
        self._log = log
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's."""
        return self._stream.encoding

    def writable(self) -> bool:
        """Say that it can be written."""
        return True

    def write(self, text: str, /) -> int:
        """Write, or drop the text."""
        return len(text) if self._log.muted else self._stream.write(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def fileno(self) -> int:
        """Return the stream's number."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Say whether a person reads it."""
        return self._stream.isatty()
