"""Program contents: what the variables of a program's modules and classes hold, for comparison with before.

What can't be saved is compared as far as it can be recorded. Some of it has no state: locks, and code without
a name. Each import makes it again, in the same places; there it is found when a state is put back.
"""

import functools
import hashlib
import threading
import types
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from perdure.engines.agents.program_code import is_authors
from perdure.engines.objects.base import Known, Recording
from perdure.engines.objects.code import CachedFunction, is_code
from perdure.engines.objects.parts import parts_of_node
from perdure.engines.objects.problems import Unsavable
from perdure.engines.objects.recording import Recorder
from perdure.errors import NotSnapshotable
from perdure.state.codec import pack

__all__ = ["Content", "Fixtures", "is_as_before", "kept_by_code"]

_LOCKS = (type(threading.Lock()), type(threading.RLock()))
_FIXED = (type(None), bool, int, float, complex, str, bytes)


class Content(NamedTuple):
    """What a variable holds.

    Attributes
    ----------
    value
        Its value; kept, so that no other object gets its `id`.
    digest
        The hash of what can be recorded of it.
    whole
        Whether that is all of it.
    fixed
        Whether it can't change.
    copy
        A copy of an array of numbers, or a view of one that is read-only; None for others.
    """

    value: Any
    digest: bytes
    whole: bool
    fixed: bool = False
    copy: Any = None

    def equals(self, former: "Content") -> bool:
        """Return whether it is what it was, as far as that is known."""
        return self.digest == former.digest and (self.whole or self.value is former.value)


class Fixtures:
    """What can't be saved and is there after each import, by its place.

    Attributes
    ----------
    given
        The records of what has no state, by `id`.
    found
        The same objects by their records.
    """

    def __init__(self) -> None:
        self.given: dict[int, list[Any]] = {}
        self.found: dict[tuple[Any, ...], Any] = {}
        self._others: dict[int, tuple[list[Any], Any]] = {}
        self._numbers: Counter[tuple[str, ...]] = Counter()

    def met(self, value: Any, known: Known, place: tuple[str, ...]) -> Content:
        """Return what a variable holds at first; enter what can't be saved."""
        content = self._content(value, known, self.given, place)
        if content.whole and _is_array_of_numbers(value):
            if not value.flags.writeable:
                return content._replace(fixed=True, copy=value.view())
            return content._replace(copy=value.copy(order="K"))
        return content._replace(fixed=content.whole and _is_fixed(value))

    def content(self, value: Any, known: Known, given: Mapping[int, list[Any]]) -> Content:
        """Return what a variable holds; `given` are records of known objects, with those of fixtures."""
        return self._content(value, known, given, ())

    def record_of(self, thing: Any, place: tuple[str, ...]) -> tuple[list[Any], bool]:
        """Return how something that can't be saved is compared, and whether it has no state."""
        if id(thing) in self.given:
            return self.given[id(thing)], True
        if id(thing) in self._others:
            return self._others[id(thing)][0], False
        if not place:
            return ["another", type(thing).__module__, type(thing).__qualname__], False
        if isinstance(thing, _LOCKS) or is_code(thing):
            record = self.given[id(thing)] = ["fixture", *place, self._numbers[place]]
            self._numbers[place] += 1
            self.found[*record] = thing
            return record, True
        record = ["other", *place, len(self._others)]
        self._others[id(thing)] = record, thing
        return record, False

    def _content(
        self, value: Any, known: Known, given: Mapping[int, list[Any]], place: tuple[str, ...]
    ) -> Content:
        comparing = _Comparing(known, self, place)
        recorder = Recorder(comparing, given)
        record = [recorder.root(lambda *_: "it", value)]
        recorder.run()
        try:
            digest = hashlib.blake2b(pack([*record, recorder.nodes]), digest_size=16).digest()
            recorder.problems.check()
        except NotSnapshotable:
            return Content(value, _partial(record, recorder.nodes), whole=False)
        return Content(value, digest, comparing.whole)


class _Comparing:
    """Takes what can't be saved as known; implements `perdure.engines.objects.base.Known`.

    Parameters
    ----------
    known
        What is known besides.
    fixtures
        What couldn't be saved before.
    place
        Where more of it is entered, if it is.
    """

    def __init__(self, known: Known, fixtures: Fixtures, place: tuple[str, ...]) -> None:
        self._known = known
        self._fixtures = fixtures
        self._place = place
        self.whole = True

    @property
    def texts_keep_their_hash(self) -> bool:
        """Whether sets of texts can be recorded."""
        return self._known.texts_keep_their_hash

    def holds(self, value: Any) -> bool:
        """Return whether a value is known, or can't be saved for its type."""
        return self._known.holds(value) or parts_of_node(type(value), value) is None

    def record(self, thing: Any, recording: Recording) -> list[Any]:
        """Return how a thing is compared."""
        try:
            return self._known.record(thing, recording)
        except Unsavable:
            record, stateless = self._fixtures.record_of(thing, self._place)
            self.whole = self.whole and stateless
            return recording.refer(thing, record)

    def find(self, record: list[Any]) -> Any:
        """Return the thing of a record."""
        return self._known.find(record)


def is_as_before(value: Any, former: Content) -> bool:
    """Return whether a variable's value is seen to be what it was without being recorded."""
    if value is not former.value or (former.copy is None and not former.fixed):
        return False
    if former.copy is None:
        return True
    copy = former.copy
    if (value.dtype, value.shape, value.strides) != (copy.dtype, copy.shape, copy.strides):
        return False
    if value.flags.writeable is former.fixed:  # one that couldn't be written to, or that could
        return False
    return former.fixed or np.array_equal(_words(value), _words(copy))


def kept_by_code(owner: Any) -> list[Any]:
    """Return what the functions of a module or class keep: in defaults, closures, attributes and caches."""
    found: list[Any] = []
    todo = [(name, value) for name, value in vars(owner).items() if is_code(value)]
    seen: set[int] = set()
    while todo:
        name, each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        todo += [(name, inner) for inner in _wrapped(each) if inner is not None]
        if isinstance(each, CachedFunction):
            found.append([name, *each.cache_info()])
        if not isinstance(each, types.FunctionType) or not is_authors(each):
            continue
        inside = [cell.cell_contents for cell in each.__closure__ or () if _is_set(cell)]
        todo += [(name, inner) for inner in inside if is_code(inner)]
        attributes = {key: value for key, value in vars(each).items() if key != "__wrapped__"}
        kept = [each.__defaults__, each.__kwdefaults__, attributes, *inside]
        if any(kept):
            found.append([name, *kept])
    return found


def _wrapped(code: Any) -> Iterator[Any]:
    if isinstance(code, property):
        yield from (code.fget, code.fset, code.fdel)
    elif isinstance(code, functools.cached_property):
        yield code.func
    elif not isinstance(code, type | types.ModuleType):
        yield getattr(code, "__wrapped__", None)


def _is_set(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _partial(record: list[Any], nodes: list[Any]) -> bytes:
    """Return the hash of what is there of a record."""
    found = hashlib.blake2b(digest_size=16)
    for each in (record, *nodes):
        try:
            found.update(pack(each))
        except NotSnapshotable:
            found.update(b"-")
    return found.digest()


def _is_array_of_numbers(value: Any) -> bool:
    own = type(value) is np.ndarray and value.base is None and value.dtype.kind in "biufc"
    return own and (value.flags.c_contiguous or value.flags.f_contiguous)


def _words(array: Any) -> Any:
    """Return the memory of an array as integers."""
    return array.ravel(order="K").view(np.uint64 if array.nbytes % 8 == 0 else np.uint8)


def _is_fixed(value: Any) -> bool:
    if isinstance(value, tuple | frozenset):
        return type(value) in (tuple, frozenset) and all(map(_is_fixed, value))
    return type(value) in _FIXED
