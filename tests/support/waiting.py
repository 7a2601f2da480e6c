"""Waiting for what nothing tells of.

A test that asks again without a pause takes the processor from the very process it waits for. The time-out of
the test ends what never comes true.
"""

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["PAUSE", "until"]

Found = TypeVar("Found")

PAUSE = 0.01  # seconds


def until(condition: Callable[[], Found | None]) -> Found:
    """Ask again and again, with pauses, and return the first answer that counts as true."""
    while not (found := condition()):
        time.sleep(PAUSE)
    return found
