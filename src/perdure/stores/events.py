"""Log events of the threads that others wait for: an event that can't be logged doesn't end them."""

import contextlib

import structlog

__all__ = ["log_event"]


def log_event(level: str, event: str, **values: str) -> None:
    """Log an event. A program's own logging configuration may raise here; the caller continues."""
    with contextlib.suppress(Exception):
        getattr(structlog.get_logger("perdure.stores"), level)(event, **values)
