"""Set tables: the hash table of a set, which determines the order in which Python walks through it.

Two equal sets may be walked in different orders, since the order depends on what was added and removed
before. So a set that is restored needs the same table: its size, the slot of each element, and the slots of
removed elements. The table is read from the memory of the set, and elements are moved to their slots there.
The layout of that memory is checked once; where it is another one, a set's table can't be taken.

The hashes of the elements must be the same in each process: those of numbers, and of texts and tuples of
these if ``PYTHONHASHSEED`` is fixed. Objects are hashed by their address.
"""

import ctypes
import sys
from collections.abc import Sequence
from enum import Enum
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Table", "arrange", "has_fixed_hash", "table_of"]

_SMALLEST = 8  # slots of a set's first table, which is part of the object
_REMOVED = -1  # the hash in the slot of a removed element
_FREE, _WAS_REMOVED = -1, -2
_PROBED = 0x5EED
_NUMBERS = (bool, int, float, complex, Fraction, np.number, np.bool_, np.datetime64)
_TEXTS = (str, bytes)
_NONE_IS_FIXED = sys.version_info >= (3, 12)


class Table(NamedTuple):
    """The table of a set.

    Attributes
    ----------
    slots
        For each slot the number of its element in the order of the set, -1 if it is free, or -2 if its
        element was removed.
    finger
        The slot where `set.pop` looks first.
    """

    slots: list[int]
    finger: int


class _Header(ctypes.Structure):
    """What follows the object's header in CPython's ``PySetObject``."""

    fill: int
    used: int
    mask: int
    table: int
    finger: int
    _fields_ = (
        ("fill", ctypes.c_ssize_t),
        ("used", ctypes.c_ssize_t),
        ("mask", ctypes.c_ssize_t),
        ("table", ctypes.c_void_p),
        ("hash", ctypes.c_ssize_t),
        ("finger", ctypes.c_ssize_t),
    )


def has_fixed_hash(element: Any, *, texts: bool) -> bool:
    """Return whether an element has the same hash in each process.

    Parameters
    ----------
    element
        The element.
    texts
        Whether texts have the same hash there, as with the same ``PYTHONHASHSEED``.
    """
    if element is None:
        return _NONE_IS_FIXED
    if isinstance(element, tuple | frozenset):
        return all(has_fixed_hash(part, texts=texts) for part in element)
    if isinstance(element, _TEXTS) or (isinstance(element, Enum) and type(element).__hash__ is Enum.__hash__):
        return texts
    return isinstance(element, _NUMBERS) and bool(element == element)  # not for NaN, hashed by its address


def table_of(values: set[Any] | frozenset[Any]) -> Table | None:
    """Return the table of a set; None if the memory of sets isn't laid out as expected."""
    if not _is_known:
        return None
    header = _header(values)
    keys, hashes = _entries(header)
    slots, number = [], 0
    for key, hashed in zip(keys.tolist(), hashes.tolist(), strict=True):
        if key == 0:
            slots.append(_FREE)
        elif hashed == _REMOVED:
            slots.append(_WAS_REMOVED)
        else:
            slots.append(number)
            number += 1
    return Table(slots, header.finger)


def arrange(empty: set[Any], elements: Sequence[Any], table: Table) -> None:
    """Fill a new set with elements, in the given order, so that it has this table.

    Raises
    ------
    ValueError
        If the elements and the table make no set in this process.
    """
    if not _is_known:
        raise ValueError("the memory of sets isn't laid out as expected")
    header, size = _header(empty), len(table.slots)
    if sorted(number for number in table.slots if number >= 0) != [*range(len(elements))]:
        raise ValueError("the elements don't fit into the table")
    removed = _removed_key() if _WAS_REMOVED in table.slots else 0
    if size > _SMALLEST:
        # A dict that fills nearly half of the new table makes CPython create it in the right size.
        fillers = dict.fromkeys(range(size // 2 - 1))
        empty.update(fillers)
        for filler in fillers:
            empty.discard(filler)
        keys, hashes = _entries(header)
        keys[:], hashes[:] = 0, 0  # slots of removed elements hold no reference
        header.fill = 0
    empty.update(elements)
    keys, hashes = _entries(header)
    if (len(keys), len(empty)) != (size, len(elements)):  # else writing would damage the set
        raise ValueError("the elements don't fit into the table")
    hash_of_key = {int(key): int(hashed) for key, hashed in zip(keys, hashes, strict=True) if key}
    new_keys, new_hashes = np.zeros_like(keys), np.zeros_like(hashes)
    for slot, number in enumerate(table.slots):
        if number >= 0:
            new_keys[slot] = id(elements[number])
            new_hashes[slot] = hash_of_key[id(elements[number])]
        elif number == _WAS_REMOVED:
            new_keys[slot], new_hashes[slot] = removed, _REMOVED
    keys[:], hashes[:] = new_keys, new_hashes
    header.fill = sum(number != _FREE for number in table.slots)
    header.finger = table.finger
    if any(element not in empty for element in elements):
        raise ValueError("an element has another hash in this process")


def _header(values: Any) -> _Header:
    return _Header.from_address(id(values) + object.__basicsize__)


def _entries(header: _Header) -> tuple[Any, Any]:
    """Return the addresses and the hashes in a table's slots, as arrays on its memory."""
    slots = header.mask + 1
    memory: Any = (ctypes.c_int64 * (2 * slots)).from_address(header.table)
    pairs = np.frombuffer(memory, dtype=np.int64).reshape(slots, 2)
    return pairs[:, 0], pairs[:, 1]


def _removed_key() -> int:
    """Return the address of the object that stands in the slots of removed elements."""
    probe = {_PROBED}
    probe.discard(_PROBED)
    keys, _ = _entries(_header(probe))
    return int(keys.max())


def _check() -> bool:
    """Return whether the memory of sets is laid out as expected."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_ssize_t) != 8:
        return False
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return False
    probe = {_PROBED, _PROBED + 1}
    probe.discard(_PROBED)
    header = _header(probe)
    if (header.fill, header.used, header.mask) != (2, 1, _SMALLEST - 1):
        return False
    if not id(probe) < header.table < id(probe) + set.__basicsize__:
        return False
    keys, hashes = _entries(header)
    slot = (_PROBED + 1) % _SMALLEST
    return int(keys[slot]) != 0 and int(hashes[slot]) == hash(_PROBED + 1) and int(hashes.min()) == _REMOVED


_is_known = _check()
