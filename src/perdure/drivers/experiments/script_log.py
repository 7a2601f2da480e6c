"""What a script logs: its `file_logger`, silent outside while the script is replayed.

The logger writes to a file in the run's folder, which a replay writes again; only what goes out of the
folder, into the run's log lines, is held back then. What a replay prints, the server drops.
"""

import logging
from collections.abc import Callable
from pathlib import Path

__all__ = ["ScriptLog", "log_name"]

WriteLine = Callable[[str, str], None]


def log_name(script: str | None, sim_id: int | str) -> str:
    """Return what the log of a simulation's script is called, as the Neurorobotics Platform calls it."""
    return f"{'perdure' if script is None else Path(script).stem}_{sim_id}.log"


class ScriptLog:
    """A script's log, while a ``with`` block lasts.

    Parameters
    ----------
    path
        The log file; it is begun anew.
    write_line
        Takes each line that is logged, with its level.
    muted
        Whether to pass no lines on, for now.
    """

    def __init__(self, path: Path, write_line: WriteLine, *, muted: bool = False) -> None:
        self.muted = muted
        self.logger = logging.Logger("file_logger", logging.DEBUG)
        self._path = path
        self._write_line = write_line

    def __enter__(self) -> "ScriptLog":
        self.logger.addHandler(logging.FileHandler(self._path, mode="w", encoding="utf-8"))
        self.logger.addHandler(_Lines(self))
        return self

    def __exit__(self, *_: object) -> None:
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
