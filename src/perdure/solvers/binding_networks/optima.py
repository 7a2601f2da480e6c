"""The optima of all components as they become known, and what they imply for the network."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from perdure.solvers.binding_networks.optimum import (
    Division,
    Listener,
    Optimum,
    Prepared,
    Source,
    better,
    divide,
)
from perdure.solvers.binding_networks.watch import Watch

__all__ = ["Optima"]


class Optima:
    """What is known of the best division of each component.

    Parameters
    ----------
    components
        The components, prepared for dividing.
    saved
        `state` of an earlier attempt, or empty.
    changed
        Called with the number of a component about which something became known.
    """

    def __init__(
        self,
        components: Sequence[Prepared],
        saved: Sequence[Any],
        changed: Callable[[int], None] = lambda at: None,
    ) -> None:
        self._components = components
        self._changed = changed
        self.known = [each.first for each in components]
        self.upper = sum(each.upper for each in self.known)
        self._lower = sum(each.lower for each in self.known)
        self._without = sum(each.division is None for each in self.known)
        self._open = sum(not each.proved for each in self.known)
        self._impossible = sum(_is_impossible(each) for each in self.known)
        self._sources = Counter(each.source for each in self.known)
        for at, each in enumerate(saved):
            if each is not None:
                self._put(at, better(self.known[at], _read(each)))

    @property
    def lower(self) -> int:
        """The number of polymers of the best divisions together; 0 while a component has no division."""
        return 0 if self._without else self._lower

    @property
    def divisions(self) -> list[Division] | None:
        """The best division of each component, if all have one."""
        if self._without:
            return None
        return [each.division for each in self.known if each.division is not None]

    @property
    def proved(self) -> bool:
        """Whether the search is finished."""
        return not self._open

    @property
    def impossible(self) -> bool:
        """Whether a component is proved to have no division."""
        return self._impossible > 0

    @property
    def source(self) -> str:
        """What proves `upper`, in words."""
        return "; ".join(each for each in Source if self._sources[each])

    @property
    def state(self) -> list[Any]:
        """What is known, as plain data; without what is known of a component before any search."""
        return [
            None if known is each.first else _written(known)
            for known, each in zip(self.known, self._components, strict=True)
        ]

    def take(self, at: int, found: Optimum) -> None:
        """Note what is known of a component."""
        known = better(self.known[at], found)
        if known != self.known[at]:
            self._put(at, known)
            self._changed(at)

    def search(self, watch: Watch, testing: Callable[[int], None]) -> None:
        """Divide all components whose optimum isn't proved, as far as time allows."""
        for at, component in enumerate(self._components):
            if not self.known[at].proved and not self.impossible:
                self.take(at, divide(component, watch, self._listener(at, testing), known=self.known[at]))

    def _listener(self, at: int, testing: Callable[[int], None]) -> Listener:
        def improved(division: Division) -> None:
            self.take(at, msgspec.structs.replace(self.known[at], division=division, proved=False))

        def bounded(upper: int, source: str) -> None:
            self.take(at, Optimum(None, upper, proved=False, source=source))

        return Listener(lambda k: testing(self._lower - self.known[at].lower + k), improved, bounded)

    def _put(self, at: int, known: Optimum) -> None:
        for each, sign in ((self.known[at], -1), (known, 1)):
            self.upper += sign * each.upper
            self._lower += sign * each.lower
            self._without += sign * (each.division is None)
            self._open += sign * (not each.proved)
            self._impossible += sign * _is_impossible(each)
            self._sources[each.source] += sign
        self.known[at] = known


def _is_impossible(known: Optimum) -> bool:
    return known.proved and known.division is None


def _written(known: Optimum) -> list[Any]:
    division = None if known.division is None else [list(polymer) for polymer in known.division]
    return [division, known.upper, known.proved, str(known.source)]


def _read(written: Sequence[Any]) -> Optimum:
    division, upper, proved, source = written
    polymers = None if division is None else tuple(tuple(polymer) for polymer in division)
    return Optimum(polymers, upper, proved, Source(source))
