"""The adapter port: a storage for instances, and the value that it stores.

After seed 001. An adapter only does input and output; `document` defines the values, and `mirror` makes the
calls.
"""

import datetime
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from perdure.errors import Invalid

__all__ = ["ExternalStateAdapter", "InstanceState", "check_adapter"]

_METHODS: Final = (
    "_save_instance",
    "_load_instance",
    "delete_instance",
    "_expire_instance",
    "_save_state",
    "_load_state",
    "_open",
    "_lock_instance",
    "_close",
)
"""The methods that a server calls."""


@dataclass
class InstanceState:
    """An instance as adapters see it.

    Attributes
    ----------
    state
        The session as JSON, so that ``json.dumps(state)`` works; None without a session.
    instance_id
        The instance's id.
    time
        Time of the last use; naive times are local.
    timeout
        How long it may stay unused, under seven keys from ``weeks`` to ``microseconds``.
    step
        The time of the next step, in the model's unit; None without a session.
    """

    state: Any
    instance_id: str
    time: datetime.datetime | str
    timeout: Mapping[str, int | float]
    step: float | None


class ExternalStateAdapter(ABC):
    """Stores instances in some storage.

    A server calls it from one thread only, one method at a time. When a method returns, its effect is
    durable. If it raises any exception, it has failed, and the server reads the stored instance with
    `_load_instance`.

    An adapter that several servers may use locks instances (`_lock_instance`), or compares: then
    `_save_instance` and `_expire_instance` raise `ExternalStateChanged` if the stored instance isn't the one
    that this adapter loaded or saved last. The server then loads it, and executes the request again.

    Parameters
    ----------
    compress
        Whether ``state.state`` is a small object with the compressed session. Both forms can be loaded, so
        that it can be changed at any time.
    """

    compress: bool = False  # for adapters whose constructor doesn't call this one

    def __init__(self, compress: bool) -> None:
        self.compress = compress

    @abstractmethod
    def _save_instance(self, state: InstanceState) -> None:
        """Store an instance, replacing the one with its id."""

    @abstractmethod
    def _load_instance(self, instance_id: str) -> InstanceState | None:
        """Return an instance, or None if the id, which may be any text, is unknown."""

    @abstractmethod
    def delete_instance(self, instance_id: str) -> None:
        """Delete an instance; does nothing if there is none."""

    def _expire_instance(self, instance_id: str) -> None:
        """Delete an instance that nobody has used for its timeout, as far as this server knows."""
        self.delete_instance(instance_id)

    def _save_state(self, instance_states: list[InstanceState]) -> None:
        """Store several instances."""
        for state in instance_states:
            self._save_instance(state)

    def _load_state(self) -> list[InstanceState]:
        """Return all instances; without an implementation, each is loaded on request."""
        return []

    def _open(self, shared: bool) -> None:
        """Open the storage, before any other call; does nothing by default.

        Parameters
        ----------
        shared
            Whether several servers may use the storage at once, each holding an instance's lock from load to
            save. If not, an adapter may refuse a second server by raising `ExternalStateLocked`.
        """
        return

    def _lock_instance(self, instance_id: str) -> Callable[[], None]:
        """Lock an instance against other servers, without waiting, and return a function that unlocks it.

        By default there is no lock: then only one server may use the storage, unless the adapter compares.
        Raises `ExternalStateLocked` if another server holds it.
        """
        return _nothing

    def _close(self) -> None:
        """Close the storage, after the last call; does nothing by default."""
        return


def check_adapter(adapter: object) -> None:
    """Raise `Invalid` if an object isn't an adapter: it lacks a method, or one of them is async."""
    kind = adapter.__name__ if isinstance(adapter, type) else type(adapter).__name__
    if isinstance(adapter, type):
        raise Invalid(f"The adapter is the class {kind}; pass an instance of it.")
    lacking = [name for name in _METHODS if not callable(getattr(adapter, name, None))]
    if lacking:
        raise Invalid(
            f"The adapter {kind} has no {', no '.join(lacking)}. Derive it from ExternalStateAdapter, and "
            "define _save_instance, _load_instance and delete_instance."
        )
    for name in _METHODS:
        if inspect.iscoroutinefunction(getattr(adapter, name)):
            raise Invalid(f"{kind}.{name} is async; the methods of adapters must be blocking.")


def _nothing() -> None:
    """Do nothing: there was no lock."""
