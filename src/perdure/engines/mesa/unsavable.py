"""What can't be saved of a model, before its place in the model is known."""

from typing import Any

__all__ = ["Unsavable"]


class Unsavable(Exception):
    """A value can't be saved.

    Parameters
    ----------
    value
        The value.
    reason
        The reason, a clause.
    """

    def __init__(self, value: Any, reason: str) -> None:
        super().__init__(reason)
        self.value = value
        self.reason = reason
