"""Recording: walks through a graph of objects, and writes it down as plain data.

Each object that can change is a **node**, with a number in the order of the walk. A node's record is its kind
and its parts (`parts`). Values within records are plain data (None, bool, int, float, str, bytes), ``[n]``
for the node n, or ``[kind, part, …]`` for other values that can't change, such as tuples.

The walk depends on the values only, not on addresses, so the same state always has the same record. It goes
from node to node, not from call to call, so objects may hold each other as deep as they like.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from perdure.engines.objects.base import Known, Parts
from perdure.engines.objects.code import GENERATORS
from perdure.engines.objects.parts import parts_of_node, parts_of_value
from perdure.engines.objects.paths import step
from perdure.engines.objects.problems import Problems, Unsavable

__all__ = ["Place", "Recorder"]

_ATOMS = frozenset((type(None), bool, int, float, str, bytes))
_FRAMED = frozenset((type(None), bool, float, str, bytes))
_INTEGERS = frozenset((int,))
_TEXTS = frozenset((str,))
_SMALLEST, _LARGEST = -(1 << 63), (1 << 64) - 1  # what MessagePack carries

_TOO_DEEP = "tuples in it hold each other too deeply; use lists"

Place = Callable[[Any, str], str]
"""Says in words where a root holds a value: receives what the root holds, and the path from there."""


class Recorder:
    """Writes down a graph of objects; implements `perdure.engines.objects.base.Recording`.

    Parameters
    ----------
    known
        What the graph refers to.
    given
        Records of known objects by `id`, which are used without asking.

    Attributes
    ----------
    nodes
        The records of all nodes that were met, after `run`.
    problems
        What couldn't be saved: of each root the first that was found.
    """

    def __init__(self, known: Known, given: Mapping[int, list[Any]] | None = None) -> None:
        self.known = known
        self.nodes: list[Any] = []
        self.problems = Problems()
        self._records: dict[int, list[Any]] = {**given} if given else {}
        self._objects: list[Any] = []
        self._holders: list[int | Place] = []
        self._current: int | Place = -1
        self._classes: dict[type, Any] = {}
        self._values: dict[type, Parts] = {}
        self._nodes: dict[type, Parts] = {}

    def root(self, place: Place, value: Any) -> Any:
        """Return a value as it stands in records; None, and a problem is noted, if it can't be saved."""
        found = self.roots(place, (value,))
        return found[0] if found else None

    def roots(self, place: Place, values: Iterable[Any]) -> list[Any]:
        """Return several values; none, and a problem is noted, if one can't be saved."""
        self._current = place
        try:
            return self.values(values)
        except Unsavable as error:
            self._note(place, error.value, error.reason)
        except RecursionError:
            self._note(place, None, _TOO_DEEP)
        return []

    def run(self) -> None:
        """Record all nodes, also those that are found on the way."""
        objects, nodes, parts_of = self._objects, self.nodes, self._nodes
        while len(nodes) < len(objects):
            number = self._current = len(nodes)
            thing = objects[number]
            try:
                nodes.append(parts_of[type(thing)](self, thing))
            except Unsavable as error:
                nodes.append([])
                self._note(number, error.value, error.reason)
            except RecursionError:
                nodes.append([])
                self._note(number, thing, _TOO_DEEP)

    def note(self, number: int, reason: str) -> None:
        """Note that a node can't be saved."""
        self._note(self._holders[number], self._objects[number], reason)

    def forget(self) -> None:
        """Release all objects: the model's weak references must not see that there was a walk."""
        self._objects.clear()

    def has(self, thing: Any) -> bool:
        """Return whether an object was met, or is known."""
        return id(thing) in self._records

    def value(self, value: Any) -> Any:
        """Return a value as it stands in records.

        Raises
        ------
        Unsavable
            If it can't be saved.
        """
        kind = type(value)
        if kind in _FRAMED:
            if kind is str and not value.isascii():
                _check_text(value)
            return value
        if kind is int:
            return value if _SMALLEST <= value <= _LARGEST else ["int", str(value)]
        record = self._records.get(id(value))
        if record is not None:
            return record
        parts = self._values.get(kind)
        if parts is None:
            parts = self._values[kind] = self._parts(kind, value)
        return parts(self, value)

    def values(self, values: Iterable[Any]) -> list[Any]:
        """Return several values as they stand in records."""
        listed = [*values]
        kinds = {*map(type, listed)}
        if kinds <= _FRAMED:
            if str in kinds:
                _check_text("".join([value for value in listed if type(value) is str]))
            return listed
        if kinds == _INTEGERS and min(listed) >= _SMALLEST and max(listed) <= _LARGEST:
            return listed
        if kinds.isdisjoint(_ATOMS):  # mostly objects that were met before
            known, get = self.value, self._records.get
            return [known(it) if (record := get(id(it))) is None else record for it in listed]
        return [self.value(value) for value in listed]

    def named(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values by name, such as attributes, as they stand in records."""
        if not _TEXTS.issuperset(map(type, values)):
            raise Unsavable(values, "an attribute's name is no text")
        records, parts_of = self._records, self._values
        recorded = {}
        for name, value in values.items():  # written out, since most of the time is spent here
            kind = type(value)
            if kind in _FRAMED:
                if kind is str and not value.isascii():
                    _check_text(value)
                recorded[name] = value
            elif (record := records.get(id(value))) is not None:
                recorded[name] = record
            elif (parts := parts_of.get(kind)) is not None:
                recorded[name] = parts(self, value)
            else:
                recorded[name] = self.value(value)
        return recorded

    def class_of(self, thing: Any) -> Any:
        """Return how the class of an object stands in records."""
        kind = type(thing)
        record = self._classes.get(kind)
        if record is None:
            record = self._classes[kind] = self.value(kind)
        return record

    def refer(self, thing: Any, record: list[Any]) -> list[Any]:
        """Use a record for an object from now on, and return it."""
        self._records[id(thing)] = record
        return record

    def enter(self, thing: Any) -> list[Any]:
        """Make an object a node that wasn't one; return the record that refers to it."""
        record = self._records[id(thing)] = [len(self._objects)]
        self._objects.append(thing)
        self._holders.append(self._current)
        return record

    def enter_code(self, thing: Any, parts: Parts) -> list[Any]:
        """Make code a node, once: its parts are taken by a function that is the same for all of its type."""
        self._nodes[type(thing)] = parts
        return self._records.get(id(thing)) or self.enter(thing)

    def _parts(self, kind: type, value: Any) -> Parts:
        """Return how values of a type are recorded."""
        parts = parts_of_value(kind, value)
        if parts is not None:
            return parts
        if kind not in GENERATORS and self.known.holds(value):
            return _known
        parts = parts_of_node(kind, value)
        if parts is None:
            return _refused
        self._nodes[kind] = parts
        return _known_or_entered if kind in GENERATORS else Recorder.enter

    def _note(self, holder: int | Place, value: Any, reason: str) -> None:
        """Note that a value can't be saved, which a node or a root holds."""
        steps: list[tuple[Any, Any]] = []
        while isinstance(holder, int):
            steps.append((self._objects[holder], value))
            value, holder = self._objects[holder], self._holders[holder]
        if holder not in self.problems:
            path = "".join(step(thing, held) for thing, held in reversed(steps))
            self.problems.note(holder(value, path), reason, holder)


def _known(recorder: Recorder, value: Any) -> Any:
    return recorder.known.record(value, recorder)


def _known_or_entered(recorder: Recorder, value: Any) -> Any:
    return (_known if recorder.known.holds(value) else Recorder.enter)(recorder, value)


def _refused(recorder: Recorder, value: Any) -> list[Any]:
    kind = type(value)
    raise Unsavable(value, f"{kind.__module__}.{kind.__qualname__} can't be taken apart and made again")


def _check_text(text: str) -> None:
    """Refuse text that isn't Unicode."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            reason = "it holds text with a lone surrogate, which isn't Unicode; decode it without errors"
            raise Unsavable(text, reason) from None
