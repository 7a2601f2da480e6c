"""Stages: how many numbers a memory may hold, so that a constant can't make it fill the computer's memory."""

__all__ = ["stages"]

_MAX_STAGES = 1_000_000


def stages(number: float, what: str) -> float:
    """Return a number of stages, if it is allowed.

    Raises
    ------
    ValueError
        If it isn't from 1 to 1,000,000; `what` names it.
    """
    # What rounds to the limit is within it.
    if not 1.0 <= number < _MAX_STAGES + 0.5:
        raise ValueError(f"{what} must be from 1 to {_MAX_STAGES:,}, not {number!r}")
    return number
