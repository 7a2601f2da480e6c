"""Positions: the elements of the dimensions that an expression is at, and so what its subscripts mean."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from perdure.engines.system_dynamics.sources import form
from perdure.engines.system_dynamics.sources.dimensions import Cell, Dimensions
from perdure.engines.system_dynamics.sources.form import canonical
from perdure.engines.system_dynamics.sources.problems import Unservable
from perdure.engines.system_dynamics.sources.scopes import Symbol

__all__ = ["Axis", "Occurrence", "Position", "occurrences"]

Axis = tuple[str, tuple[str, ...]]
"""An open subscript by its key in `Position.indices`, with the elements that it goes through."""


class Occurrence(NamedTuple):
    """Which of several equal names of a reference one is, from 1, and how many there are: ``m[D,D]``."""

    number: int
    of: int


@lru_cache(maxsize=1024)
def occurrences(names: tuple[str, ...]) -> list[Occurrence]:
    """Return the occurrence of each name."""
    counts = Counter(names)
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(Occurrence(seen[name], counts[name]))
    return found


_ONLY = Occurrence(1, 1)


@dataclass(frozen=True, slots=True)
class Position:
    """Where an expression stands in the dimensions: at a cell, within array functions.

    Attributes
    ----------
    dimensions
        The dimensions of the file.
    subscripts
        The dimensions of the cell in order, each with the element; subranges where the equation names them.
    indices
        The open subscripts that array functions go through, by their keys, each with the element at hand.
    """

    dimensions: Dimensions
    subscripts: tuple[tuple[str, str], ...] = ()
    indices: Mapping[str, str] = field(default_factory=dict)

    def at(self, elements: Mapping[str, str]) -> "Position":
        """Return this position with the elements of open subscripts, by their keys."""
        return replace(self, indices={**self.indices, **elements})

    # One element --------------------------------------------------------------------------------------------

    def index(self, dimension: str) -> int:
        """Return the index of the element of a dimension, from 0."""
        element = self._bound(dimension)
        if element is None:
            raise Unservable(f"the dimension {dimension!r} has no index here")
        place = self.dimensions.place(dimension, element)
        assert place is not None
        return place

    def cell(self, symbol: Symbol) -> Cell:
        """Return the cell of an array without subscripts: that with the elements of this position."""
        return tuple(
            self._same(symbol, i, occurrence) for i, occurrence in enumerate(occurrences(symbol.dimensions))
        )

    def item(self, dimension: str, name: str, occurrence: Occurrence) -> str | None:
        """Return the element that the name of an element or of a dimension means as a subscript.

        None if it is the name of neither.
        """
        element = self.dimensions.element(dimension, name)
        key = canonical(name)
        if element is not None and (key not in self.dimensions or key == element):
            return element
        if key not in self.dimensions:
            return None
        bound = self._bound(name, occurrence)
        if bound is None:
            raise Unservable(f"the dimension {name!r} has no index here")
        found = self.dimensions.corresponding(name, bound, dimension)
        if found is None:
            found = self._by_place((key, bound), dimension)
        if found is None:
            raise Unservable(f"{name!r} and {dimension!r} have no elements in common")
        return found

    def element(self, dimension: str, subscript: form.Whole | form.Between, occurrence: Occurrence) -> str:
        """Return the element of an open subscript that the array function is at."""
        bound = self.indices.get(_key(dimension, subscript, occurrence))
        match subscript:
            case form.Whole(None):
                if bound is None:
                    bound = self._bound(dimension, occurrence)
            case form.Whole(name) if bound is not None:
                assert name is not None
                found = self.dimensions.corresponding(name, bound, dimension)
                if found is None:
                    raise Unservable(f"{name!r} and {dimension!r} have no elements in common")
                return found
        if bound is None:
            raise Unservable("a whole dimension stands where one element is needed; use an array function")
        return bound

    # Open subscripts ----------------------------------------------------------------------------------------

    def open_dimensions(self, symbol: Symbol, *, of_cell: bool) -> Iterator[Axis]:
        """Yield the dimensions of an array without subscripts; with `of_cell` those the cell hasn't."""
        for dimension, occurrence in zip(symbol.dimensions, occurrences(symbol.dimensions), strict=True):
            if not of_cell or self._own(dimension, occurrence) is None:
                yield _index_key(dimension, occurrence), self.dimensions.elements(dimension)

    def open_subscript(
        self, dimension: str, subscript: form.Whole | form.Between, occurrence: Occurrence
    ) -> Axis:
        """Return what an open subscript goes through."""
        match subscript:
            case form.Whole(name):
                elements = self.dimensions.elements(dimension if name is None else name)
            case form.Between(first, last):
                elements = self._range(dimension, first, last)
        return _key(dimension, subscript, occurrence), elements

    def _range(self, dimension: str, first: str, last: str) -> tuple[str, ...]:
        ends = [self.dimensions.element(dimension, name) for name in (first, last)]
        places = [None if end is None else self.dimensions.place(dimension, end) for end in ends]
        for name, place in zip((first, last), places, strict=True):
            if place is None:
                raise Unservable(f"{name!r} is no element of the dimension {dimension!r}")
        elements = self.dimensions.elements(dimension)[places[0] : (places[1] or 0) + 1]
        if not elements:
            raise Unservable(f"the range {first}:{last} is empty: {last!r} comes before {first!r}")
        return elements

    # Elements of the cell -----------------------------------------------------------------------------------

    def _bound(self, dimension: str, occurrence: Occurrence = _ONLY) -> str | None:
        """Return the element of a dimension that the cell, or the array function, is at.

        The n-th occurrence of a dimension in a reference is the n-th of the cell. If the cell has it once,
        all occurrences are that one.
        """
        key = canonical(dimension)
        if (index := _index_key(key, occurrence)) in self.indices:
            return self.indices[index]
        if occurrence.of > 1:
            own = self._elements_of(key)
            if len(own) > 1:
                return own[occurrence.number - 1] if occurrence.number <= len(own) else None
        for name, element in self.subscripts:
            if name == key:
                return element
        for name, element in self.subscripts if key in self.dimensions else ():
            if name in self.dimensions and (found := self.dimensions.mapped(name, element, key)):
                return found
        # A subrange of the dimension, or a dimension that this is a subrange of.
        for name, element in self.subscripts:
            if self.dimensions.place(key, element) is not None and name in self.dimensions:
                return element
        for name, element in self.subscripts:
            if name in self.dimensions:
                found = self.dimensions.corresponding(name, element, key)
                if found is not None:
                    return found
        # An element of the dimension that the equation is written for.
        for name, element in self.subscripts:
            if name not in self.dimensions and self.dimensions.place(key, element) is not None:
                return element
        return None

    def _same(self, symbol: Symbol, i: int, occurrence: Occurrence) -> str:
        dimension = symbol.dimensions[i]
        opened = _index_key(dimension, occurrence) in self.indices
        if not opened and len(self.subscripts) == len(symbol.dimensions):
            name, own = self.subscripts[i]
            if name not in self.dimensions and self.dimensions.place(dimension, own) is not None:
                return own
        element = self._own(dimension, occurrence)
        if element is None and len(self.subscripts) == len(symbol.dimensions):
            element = self._by_place(self.subscripts[i], dimension)
        if element is None:
            raise Unservable(f"{symbol.variable.name} is an array; give it subscripts, or an array function")
        return element

    def _own(self, dimension: str, occurrence: Occurrence) -> str | None:
        """Return the element of a dimension of an array without subscripts; None if the cell has none.

        The diagonal of an array is not meant by its name alone.
        """
        bound = occurrence.number == 1 or _index_key(dimension, occurrence) in self.indices
        if not bound and len(self._elements_of(dimension)) < occurrence.number:
            return None
        return self._bound(dimension, occurrence)

    def _elements_of(self, dimension: str) -> list[str]:
        """Return the elements of a dimension that the cell has, in order."""
        return [
            element
            for name, element in self.subscripts
            if name in self.dimensions and self.dimensions.place(dimension, element) is not None
        ]

    def _by_place(self, subscript: tuple[str, str], dimension: str) -> str | None:
        """Return the element of a dimension at the place that an element of another one has there."""
        name, element = subscript
        place = self.dimensions.place(name, element) if name in self.dimensions else None
        elements = self.dimensions.elements(dimension)
        return elements[place] if place is not None and place < len(elements) else None


def _index_key(dimension: str, occurrence: Occurrence) -> str:
    """Return the key of `Position.indices` for an occurrence of a dimension in an array."""
    return dimension if occurrence.number == 1 else f"{dimension} {occurrence.number}"


def _key(dimension: str, subscript: form.Whole | form.Between, occurrence: Occurrence) -> str:
    """Return the key of `Position.indices` for an open subscript."""
    match subscript:
        case form.Whole(None):
            return f"* {dimension} {occurrence.number}"
        case form.Whole(name):
            assert name is not None
            return f"! {canonical(name)}"
        case form.Between(first, last):
            return f"{first}:{last} {dimension} {occurrence.number}"
