"""Array memory: which memory an array shows, and in which order, so that it can be the same once more.

NumPy's sums depend on the order of the elements in memory, and a view changes when the array does whose
memory it shows.
"""

from typing import Any, NamedTuple

import numpy as np

__all__ = ["View", "in_order", "root_of", "straight", "view_of"]


class View(NamedTuple):
    """What part of an array's memory a view shows.

    Parameters
    ----------
    kind
        The type of its elements, as NumPy describes it in files.
    shape
        Its shape.
    strides
        The bytes between neighbours on each axis.
    offset
        The byte at which it begins.
    """

    kind: Any
    shape: list[int]
    strides: list[int]
    offset: int

    def made(self, root: Any) -> Any:
        """Return a view of an array that owns its memory."""
        content = root.ravel(order="K").view(np.uint8)
        kind = np.lib.format.descr_to_dtype(self.kind)
        return np.ndarray(self.shape, kind, content.data, self.offset, self.strides)


def root_of(array: Any) -> Any:
    """Return the array whose memory an array shows: the array itself, unless it is a view."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def view_of(array: Any) -> tuple[Any, View | None]:
    """Return the array that owns an array's memory, and the view of it; None if that is the array itself.

    Raises
    ------
    ValueError
        If the view can't be made again; says why.
    """
    root = root_of(array)
    if root.base is not None or type(root) is not np.ndarray:
        raise ValueError("it is a view of memory that isn't NumPy's; keep a copy (`.copy()`)")
    if array is root:
        return root, None
    if array.dtype.hasobject or array.nbytes == 0 != root.nbytes:
        raise ValueError("it is a view of an array of objects; keep a copy (`.copy()`)")
    offset = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    kind = np.lib.format.dtype_to_descr(array.dtype)
    return root, View(kind, [*array.shape], [*array.strides], offset)


def straight(array: Any) -> tuple[Any, bool]:
    """Return an array in C's order, and whether it is the transpose of the given one.

    Raises
    ------
    ValueError
        If its memory is in neither C's nor Fortran's order.
    """
    turned = array.flags.f_contiguous and not array.flags.c_contiguous
    if not (turned or array.flags.c_contiguous):
        raise ValueError("its axes are in another order; keep a copy (`.copy()`)")
    return (array.T if turned else array), turned


def in_order(array: Any, turned: bool) -> Any:
    """Return an array in C's order as it was before `straight`: a new array in Fortran's order, no view."""
    return np.array(array.T, order="F") if turned else array
