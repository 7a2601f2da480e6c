"""How far a solve has come: bounds that only ever get closer, and the best configuration so far."""

from collections.abc import Callable

import msgspec

from perdure.solvers.binding_networks.configuration import Configuration

__all__ = ["Progress", "Reporter"]


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What is known by now.

    Attributes
    ----------
    lower, upper
        Bounds on the number of polymers of a best configuration under the constraints; `lower` 0 as long as
        none is found.
    best
        The best configuration found, verified; None as long as there is none.
    count
        Which output is being computed, from 1.
    k
        Which number of polymers is being tested.
    entropy
        The number of polymers of a best configuration without the constraints, once it is proved.
    bound_source
        In words: what proves `upper`.
    """

    lower: int
    upper: int
    best: Configuration | None = None
    count: int = 1
    k: int = 0
    entropy: int | None = None
    bound_source: str = ""


class Reporter:
    """Tells whoever listens what has changed.

    Parameters
    ----------
    upper
        A first upper bound.
    """

    def __init__(self, listener: Callable[[Progress], None] | None, upper: int) -> None:
        self._listener = listener
        self.now = Progress(lower=0, upper=upper)
        if listener is not None:
            listener(self.now)

    def bounded(self, upper: int) -> None:
        """Take note of an upper bound."""
        if upper < self.now.upper:
            upper = max(upper, self.now.lower)
            self._tell(msgspec.structs.replace(self.now, upper=upper, k=min(self.now.k, upper)))

    def improved(self, best: Configuration) -> None:
        """Take note of a configuration."""
        if len(best.polymers) > self.now.lower:
            lower = len(best.polymers)
            k = min(lower + 1, self.now.upper)
            self._tell(msgspec.structs.replace(self.now, lower=lower, best=best, k=k))

    def testing(self, k: int, count: int = 1) -> None:
        """Take note of the number of polymers that is being tested, and for which output."""
        self._tell(msgspec.structs.replace(self.now, k=k, count=count))

    def _tell(self, progress: Progress) -> None:
        if self._listener is not None and progress != self.now:
            self._listener(progress)
        self.now = progress
