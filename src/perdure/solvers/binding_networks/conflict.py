"""Finds constraints of an unsatisfiable network that can't hold together."""

from collections.abc import Callable, Iterable

import msgspec

from perdure.solvers.binding_networks.demands import Demands
from perdure.solvers.binding_networks.watch import Watch

__all__ = ["core", "keeping"]


def core(
    conflicting: Iterable[int], conflicts: Callable[[frozenset[int]], bool], watch: Watch
) -> tuple[int, ...]:
    """Return conflicting constraints, none of which can be left out unless time runs out.

    Each is left out in turn, for good if the remaining ones still conflict (a deletion filter; Chinneck and
    Dravnieks 1991).

    Parameters
    ----------
    conflicting
        Indices of constraints that can't hold together.
    conflicts
        Returns whether constraints can't hold together.
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
