"""A store whose commits nobody hears, which is how the commits of another process look."""

from collections.abc import Callable
from typing import Any

from perdure.stores.base import Store
from perdure.stores.commands import Committed

__all__ = ["DeafStore"]


class DeafStore:
    """A store that shares all with another, but `watch` reports nothing.

    Attributes
    ----------
    store
        The other.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def watch(self, callback: Callable[[Committed], None]) -> Callable[[], None]:
        """Call nobody."""
        return lambda: None
