"""Shapes: the axes of arrays, and the labels along them."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from numbers import Integral
from typing import Any, TypeAlias

from perdure.errors import ModelError

__all__ = [
    "SCALAR",
    "Index",
    "Shape",
    "array_maker",
    "as_text",
    "from_text",
    "label_of",
    "labelled",
    "numbered",
]

Index: TypeAlias = tuple[str, ...]
"""The labels of a cell, one for each axis."""

_MOST_CELLS = 1_000_000


@dataclass(frozen=True, slots=True)
class Shape:
    """The axes of an array, each a tuple of labels; none for a single number.

    Without names, the labels are counted from "0". `named` says whether they were given.
    """

    axes: tuple[Index, ...] = ()
    named: bool = False

    @property
    def size(self) -> int:
        """The number of cells."""
        size = 1
        for axis in self.axes:
            size *= len(axis)
        return size

    def indices(self) -> Iterator[Index]:
        """Yield the indices of all cells, the last axis fastest."""
        return product(*self.axes)

    def fits(self, other: "Shape") -> bool:
        """Return whether each cell of one has a counterpart in the other: named axes pair by label."""
        if not self.like(other):
            return False
        if self.named:
            return all(set(a) == set(b) for a, b in zip(self.axes, other.axes, strict=True))
        return self.axes == other.axes

    def first(self) -> "Shape":
        """Return the shape of one column: the first axis."""
        return Shape(self.axes[:1], self.named)

    def row(self) -> "Shape":
        """Return the shape of one row: this one without its first axis."""
        return Shape(self.axes[1:], self.named and len(self.axes) > 1)

    def like(self, other: "Shape") -> bool:
        """Return whether both have the same number of axes, with names or without."""
        return self.named == other.named and len(self.axes) == len(other.axes)

    def joined(self, other: "Shape") -> "Shape":
        """Return this shape with the labels of `other` added, axis by axis."""
        axes = zip(self.axes, other.axes, strict=True)
        return Shape(tuple(tuple(dict.fromkeys((*a, *b))) for a, b in axes), self.named)

    def __str__(self) -> str:
        sizes = " x ".join(str(len(axis)) for axis in self.axes) or "a single value"
        return f"{sizes} ({' x '.join(','.join(axis) for axis in self.axes):.60})" if self.named else sizes


SCALAR = Shape()
"""The shape of a single number."""


def numbered(sizes: Iterable[object], name: str) -> Shape:
    """Return the shape of an array without names; raise `ModelError` for wrong sizes."""
    axes = []
    for size in sizes:
        count = int(size) if isinstance(size, Integral) and not isinstance(size, bool) else 0
        if not 1 <= count <= _MOST_CELLS:
            raise ModelError(
                f"A size of the array {name!r} is a whole number from 1 to {_MOST_CELLS:,}, not {size!r:.40}."
            )
        axes.append(tuple(map(str, range(count))))
    return _checked(Shape(tuple(axes)), name)


def labelled(axes: Iterable[Iterable[object]], name: str) -> Shape:
    """Return the shape of an array with names; raise `ModelError` for wrong ones."""
    shape = Shape(tuple(tuple(label_of(label, name) for label in axis) for axis in axes), True)
    for axis in shape.axes:
        if not axis or len(set(axis)) < len(axis):
            raise ModelError(f"The array {name!r} needs at least one name along each axis, each only once.")
    return _checked(shape, name)


def as_text(shape: Shape) -> str:
    """Return a shape as text, from which `from_text` makes it again."""
    return json.dumps([shape.named, *shape.axes])


def from_text(text: str) -> Shape:
    """Return the shape that `as_text` wrote."""
    named, *axes = json.loads(text)
    return Shape(tuple(map(tuple, axes)), named)


def array_maker(shape: Shape) -> Callable[..., Any]:
    """Return a function that makes an array of its cells: a list, or a dict by label, or one of such rows."""

    def made(cells: Iterator[float], axes: tuple[Index, ...]) -> Any:
        if not axes:
            return next(cells)
        rows = [made(cells, axes[1:]) for _ in axes[0]]
        return dict(zip(axes[0], rows, strict=True)) if shape.named else rows

    return lambda *cells: made(iter(cells), shape.axes)


def label_of(label: object, name: str) -> str:
    """Return a label of the array `name` as text; raise `ModelError` if it can't be one."""
    text = str(int(label)) if isinstance(label, Integral) else label
    if isinstance(label, bool) or not isinstance(text, str) or not text:
        raise ModelError(f"An index of the array {name!r} is a text or a whole number, not {label!r:.40}.")
    if "[" in text or "]" in text:
        raise ModelError(f"The index {text!r:.40} of the array {name!r} must not contain brackets.")
    return text


def _checked(shape: Shape, name: str) -> Shape:
    if shape.size > _MOST_CELLS:
        raise ModelError(f"The array {name!r} has {shape.size:,} cells; the limit is {_MOST_CELLS:,}.")
    return shape
