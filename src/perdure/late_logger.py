"""A logger for modules that processes of engines and models' files import, which seldom log.

Importing structlog takes a third of the start of such a process, so it is put off until the first line.
"""

from typing import Any

__all__ = ["LateLogger"]


class LateLogger:
    """Logs as a logger of structlog does.

    Parameters
    ----------
    name
        The module that logs.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def info(self, event: str, **values: Any) -> None:
        """Log what happened."""
        self._log("info", event, values)

    def warning(self, event: str, **values: Any) -> None:
        """Log what is probably not what was meant."""
        self._log("warning", event, values)

    def error(self, event: str, **values: Any) -> None:
        """Log what failed."""
        self._log("error", event, values)

    def _log(self, level: str, event: str, values: dict[str, Any]) -> None:
        import structlog

        getattr(structlog.get_logger(self._name), level)(event, **values)
