"""The progress of a solve: bounds that only get tighter, and the best configuration so far."""

from collections.abc import Callable

import msgspec

from perdure.solvers.binding_networks.configuration import Configuration

__all__ = ["Progress", "Reporter"]


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What is known so far.

    Attributes
    ----------
    lower, upper
        Bounds on the number of polymers of a best configuration under the constraints; `lower` is 0 until a
        configuration is found.
    best
        The best configuration found, verified; None before one is found.
    count
        The number of the configuration that is being computed, from 1.
    k
        The number of polymers that is being tested.
    entropy
        The number of polymers of a best configuration without the constraints, once it is proved.
    bound_source
        What proves `upper`, in words.
    """

    lower: int
    upper: int
    best: Configuration | None = None
    count: int = 1
    k: int = 0
    entropy: int | None = None
    bound_source: str = ""


class Reporter:
    """Reports changes of the progress to a listener.

    Parameters
    ----------
    now
        What is known at first.
    at_once
        Whether to report it now, rather than with the first change.
    """

    def __init__(self, listener: Callable[[Progress], None] | None, now: Progress, *, at_once: bool) -> None:
        self._listener = listener
        self._reported: Progress | None = None
        self.now = now
        if at_once:
            self._report(now)

    def knows(
        self, upper: int, bound_source: str, best: Configuration | None, entropy: int | None = None
    ) -> None:
        """Note what is known; report what is better than before."""
        now = self.now
        if upper < now.upper or not now.bound_source:
            now = msgspec.structs.replace(now, upper=max(upper, now.lower), bound_source=bound_source)
        if best is not None and len(best.polymers) > now.lower:
            now = msgspec.structs.replace(now, lower=len(best.polymers), best=best)
        if now.entropy is None:
            now = msgspec.structs.replace(now, entropy=entropy)
        k = now.lower + 1 if now.lower > self.now.lower else now.k
        self._report(msgspec.structs.replace(now, k=min(k, now.upper)))

    def testing(self, k: int, count: int | None = None) -> None:
        """Note the number of polymers that is being tested, and optionally for which configuration."""
        count = self.now.count if count is None else count
        self._report(msgspec.structs.replace(self.now, k=k, count=count))

    def _report(self, progress: Progress) -> None:
        self.now = progress
        if self._listener is not None and progress != self._reported:
            self._reported = progress
            self._listener(progress)
