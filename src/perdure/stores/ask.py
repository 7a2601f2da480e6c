"""Reading by named queries: what a database gives to the code that reads from any of them."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

__all__ = ["Ask", "Each"]


class Ask(Protocol):
    """Runs a query by its name, with its parameters, and returns its rows."""

    def __call__(self, name: str, *values: Any) -> Sequence[tuple[Any, ...]]: ...


class Each(Protocol):
    """Runs a query by its name, and yields its rows one by one, which may be many."""

    def __call__(self, name: str) -> Iterator[tuple[Any, ...]]: ...
