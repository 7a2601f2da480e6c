"""Dimensions: the elements that subscripts name, and how the elements of two dimensions correspond."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product

from perdure.engines.system_dynamics.sources.form import Dimension, canonical
from perdure.engines.system_dynamics.sources.limits import MAX_CELLS, MAX_ELEMENTS
from perdure.engines.system_dynamics.sources.problems import Problems, Unservable

__all__ = ["Cell", "Dimensions"]

_DIGITS = 9
"""Digits of a position; Python reads no integers of thousands of digits."""

Cell = tuple[str, ...]
"""The canonical names of a cell's elements, one for each dimension."""


class Dimensions:
    """The dimensions and subranges of a file, by canonical names."""

    def __init__(self, dimensions: Iterable[Dimension], problems: Problems) -> None:
        self._by_name: dict[str, Dimension] = {}
        self._elements: dict[str, tuple[str, ...]] = {}
        self._places: dict[str, dict[str, int]] = {}
        self._shown: dict[str, str] = {}
        for dimension in dimensions:
            key = canonical(dimension.name)
            if len(dimension.elements) > MAX_ELEMENTS:
                reason = f"it has {len(dimension.elements)} elements; {MAX_ELEMENTS} are allowed"
                problems.add(dimension.line, dimension.name, reason)
                continue
            elements = tuple(canonical(element) for element in dimension.elements)
            for name in (key, *map(canonical, dimension.aliases)):
                self._by_name[name] = dimension
                self._elements[name] = elements
                self._places[name] = {element: i for i, element in enumerate(elements)}
            self._shown.update(zip(elements, dimension.elements, strict=True))

    def __contains__(self, name: str) -> bool:
        return canonical(name) in self._by_name

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def elements(self, name: str) -> tuple[str, ...]:
        """Return the canonical names of the elements of a dimension or subrange."""
        try:
            return self._elements[canonical(name)]
        except KeyError:
            raise Unservable(f"the dimension {name!r} isn't defined") from None

    def shown(self, element: str) -> str:
        """Return an element's name as the file writes it."""
        return self._shown.get(element, element)

    def place(self, name: str, element: str) -> int | None:
        """Return the position of an element in a dimension, from 0; None if it isn't there."""
        return self._places.get(canonical(name), {}).get(element)

    def element(self, name: str, subscript: str) -> str | None:
        """Return the element of a dimension that a subscript names, by its name or by its position."""
        elements = self.elements(name)
        key = canonical(subscript)
        if key in self._places[canonical(name)]:
            return key
        prefix, dot, rest = key.partition(".")
        if dot and prefix == canonical(name) and rest in self._places[prefix]:
            return rest
        if key.isdecimal() and len(key) <= _DIGITS and 1 <= int(key) <= len(elements):
            return elements[int(key) - 1]
        return None

    def owner(self, element: str) -> str | None:
        """Return the largest dimension that has an element of this name."""
        key = canonical(element)
        names = [name for name, places in self._places.items() if key in places]
        return max(names, key=lambda name: len(self._places[name]), default=None)

    def number(self, element: str) -> int | None:
        """Return the position, from 1, of an element that is named alone or as ``dimension.element``.

        Alone, it is that in the largest dimension that has it; None if nothing has it.
        """
        dimension, dot, name = canonical(element).partition(".")
        if dot and dimension in self._places:
            place = self._places[dimension].get(name)
        else:
            owner = self.owner(element)
            place = None if owner is None else self.place(owner, canonical(element))
        return None if place is None else place + 1

    def corresponding(self, source: str, element: str, target: str) -> str | None:
        """Return the element of `target` that corresponds to an element of `source`.

        That is the one that a mapping between the two names, else the element itself, else the one that a
        mapping between one and a subrange of the other names.
        """
        source, target = canonical(source), canonical(target)
        if target not in self._places:
            raise Unservable(f"the dimension {target!r} isn't defined")
        if source != target:
            found = self.mapped(source, element, target)
            if found is not None:
                return found
        if element in self._places[target]:
            return element
        return self._mapped(source, element, target, self._related)

    def mapped(self, source: str, element: str, target: str) -> str | None:
        """Return the element of `target` that a mapping between exactly these two dimensions names."""
        return self._mapped(source, element, target, lambda name, other: canonical(name) == other)

    def _mapped(
        self, source: str, element: str, target: str, means: Callable[[str, str], bool]
    ) -> str | None:
        """Return what a mapping of one of the two names, whose name `means` the other one."""
        for name, elements in self._by_name[source].mappings:
            at = self._places[source].get(element)
            if at is not None and means(name, target) and at < len(elements):
                return canonical(elements[at])
        for name, elements in self._by_name[target].mappings:
            if means(name, source):
                for own, other in zip(self._elements[target], elements, strict=False):
                    if canonical(other) == element:
                        return own
        return None

    def cells(self, subscripts: Sequence[str], exceptions: Iterable[Sequence[str]] = ()) -> list[Cell]:
        """Return the cells that subscripts name, in order, without the exceptions."""
        axes = [self._axis(subscript) for subscript in subscripts]
        size = 1
        for axis in axes:
            size *= len(axis)
        if size > MAX_CELLS:
            raise Unservable(f"it has {size} cells; {MAX_CELLS} are allowed")
        left_out: set[Cell] = set()
        for exception in exceptions:
            left_out.update(product(*(self._axis(subscript) for subscript in exception)))
        return [cell for cell in product(*axes) if cell not in left_out]

    def _axis(self, subscript: str) -> tuple[str, ...]:
        if subscript in self:
            return self.elements(subscript)
        key = canonical(subscript)
        if self.owner(key) is None:
            raise Unservable(f"{subscript!r} is no dimension and no element of one")
        return (key,)

    def _related(self, name: str, other: str) -> bool:
        """Whether two names are those of one dimension, or one is a subrange of the other."""
        name = canonical(name)
        if name == other:
            return True
        mine, theirs = set(self._elements.get(name, ())), set(self._elements.get(other, ()))
        return bool(mine and theirs) and (mine <= theirs or theirs <= mine)
