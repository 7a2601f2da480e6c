"""The ports of recording and rebuilding: what a graph refers to, and what takes its parts."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

__all__ = ["Known", "Parts", "Recording"]


class Known(Protocol):
    """What a graph of objects refers to instead of holding it, since it is there without the graph.

    That is code, such as classes and functions, and what an engine makes or saves itself.
    """

    @property
    def texts_keep_their_hash(self) -> bool:
        """Whether each process that reads a record has the ``PYTHONHASHSEED`` of this one.

        Asked only if there are sets of texts.
        """

    def holds(self, value: Any) -> bool:
        """Return whether a value is known, or must be: it isn't taken apart.

        The answer is the same for all objects of a type, except functions in C and the process's generators.
        """

    def record(self, thing: Any, recording: "Recording") -> list[Any]:
        """Return how a thing is found again; may also record what it keeps.

        Raises
        ------
        Unsavable
            If it can't be found again.
        """

    def find(self, record: list[Any]) -> Any:
        """Return the thing of a record; raise `LookupError` if there is none."""


class Recording(Protocol):
    """A walk through a graph, as seen by what takes the parts of its objects.

    Its methods raise `Unsavable` for values that can't be saved.
    """

    known: Known

    def has(self, thing: Any) -> bool:
        """Return whether an object was met, or is known."""

    def value(self, value: Any) -> Any:
        """Return a value as it stands in records."""

    def values(self, values: Iterable[Any]) -> list[Any]:
        """Return several values as they stand in records."""

    def named(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values by name, such as attributes, as they stand in records."""

    def class_of(self, thing: Any) -> Any:
        """Return how the class of an object stands in records."""

    def refer(self, thing: Any, record: list[Any]) -> list[Any]:
        """Use a record for an object from now on, and return it."""

    def enter_code(self, thing: Any, parts: "Parts") -> list[Any]:
        """Make code a node, once; return the record that refers to it.

        Its parts are taken by a function that is the same for all code of its type.
        """


Parts = Callable[[Any, Any], Any]
"""Returns the record of an object, for a `Recording`."""
