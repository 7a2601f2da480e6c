"""Budget: how much may still be written out of the equations of one file."""

from perdure.engines.system_dynamics.sources.limits import MAX_NESTING
from perdure.engines.system_dynamics.sources.problems import TooLarge, Unservable

__all__ = ["Budget", "Depth"]


class Budget:
    """How many operations may still be written out."""

    def __init__(self, operations: int) -> None:
        self._operations = operations
        self._left = operations

    @property
    def left(self) -> int:
        """How many are left."""
        return self._left

    def spend(self) -> None:
        """Count an operation."""
        self._left -= 1
        self.expect(0)

    def expect(self, operations: int) -> None:
        """Raise `TooLarge` if the file's limit leaves fewer operations than these."""
        if self._left < operations:
            raise TooLarge(f"the equations have more than {self._operations} operations")


class Depth:
    """How many expressions are within each other while they are written out: a context for each."""

    def __init__(self) -> None:
        self._level = 0

    def __enter__(self) -> None:
        if self._level >= MAX_NESTING:
            raise Unservable(f"it is nested more than {MAX_NESTING} levels deep")
        self._level += 1

    def __exit__(self, *error: object) -> None:
        self._level -= 1
