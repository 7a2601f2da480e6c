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
    now
        What is known at first. It is told only if it is nothing but what anyone could say, as more may be
        about to come.
    """

    def __init__(self, listener: Callable[[Progress], None] | None, now: Progress, *, told: bool) -> None:
        self._listener = listener
        self._told: Progress | None = None
        self.now = now
        if told:
            self._tell(now)

    def knows(
        self, upper: int, bound_source: str, best: Configuration | None, entropy: int | None = None
    ) -> None:
        """Take note of all that is known; only what is better than what was is news."""
        now = self.now
        if upper < now.upper or not now.bound_source:
            now = msgspec.structs.replace(now, upper=max(upper, now.lower), bound_source=bound_source)
        if best is not None and len(best.polymers) > now.lower:
            now = msgspec.structs.replace(now, lower=len(best.polymers), best=best)
        if now.entropy is None:
            now = msgspec.structs.replace(now, entropy=entropy)
        k = now.lower + 1 if now.lower > self.now.lower else now.k
        self._tell(msgspec.structs.replace(now, k=min(k, now.upper)))

    def testing(self, k: int, count: int | None = None) -> None:
        """Take note of the number of polymers that is being tested, and perhaps for which output."""
        count = self.now.count if count is None else count
        self._tell(msgspec.structs.replace(self.now, k=k, count=count))

    def _tell(self, progress: Progress) -> None:
        self.now = progress
        if self._listener is not None and progress != self._told:
            self._told = progress
            self._listener(progress)
