"""Which constraints of an unsatisfiable network can't be kept together."""

from collections.abc import Callable, Iterable

import msgspec

from perdure.solvers.binding_networks.demands import Demands
from perdure.solvers.binding_networks.watch import Watch

__all__ = ["core", "keeping"]


def core(
    conflicting: Iterable[int], conflicts: Callable[[frozenset[int]], bool], watch: Watch
) -> tuple[int, ...]:
    """Return constraints of which none can be spared; when time runs out, some may be.

    Each is left out in turn, and stays out if those left still conflict (Chinneck and Dravnieks 1991: a
    deletion filter).

    Parameters
    ----------
    conflicting
        Indices of constraints that can't be kept together.
    conflicts
        Whether constraints can't be kept together.
    """
    kept = frozenset(conflicting)
    for index in sorted(kept):
        if watch.over:
            break
        if conflicts(kept - {index}):
            kept -= {index}
    return tuple(sorted(kept))


def keeping(demands: Demands, constraints: Iterable[int]) -> Demands:
    """Return the demands of some constraints, by their indices."""
    kept = frozenset(constraints)
    return Demands(
        **{
            name: tuple(each for each in value if each.constraint in kept)
            for name, value in msgspec.structs.asdict(demands).items()
        }
    )
