"""The adapter port: what a storage does to hold instances, and the value it is handed.

After seed 001. An adapter does input and output only; what the values mean is `document`'s matter, and when
it is called is `mirror`'s.
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
    "_save_state",
    "_load_state",
    "_open",
    "_lock_instance",
    "_close",
)
"""What a server calls."""


@dataclass
class InstanceState:
    """An instance as adapters see it.

    Attributes
    ----------
    state
        The session as plain JSON, so that ``json.dumps(state)`` works; None without a session.
    instance_id
        The instance's name.
    time
        When it was last asked for anything; naive times are local.
    timeout
        How long it may go without that, under seven keys from ``weeks`` to ``microseconds``.
    step
        The time that the next step answers, in the model's unit; None without a session.
    """

    state: Any
    instance_id: str
    time: datetime.datetime | str
    timeout: Mapping[str, int | float]
    step: float | None


class ExternalStateAdapter(ABC):
    """Holds instances in some storage.

    A server calls it from one thread only, and one method at a time. A method that returns has done its work
    durably; one that raises any exception has failed, and the server looks what is held by `_load_instance`.

    Parameters
    ----------
    compress
        Whether ``state.state`` arrives as a small object that holds the compressed session. What is loaded is
        recognised either way, so it can be changed at any time.
    """

    compress: bool = False  # for an adapter whose constructor doesn't call this one

    def __init__(self, compress: bool) -> None:
        self.compress = compress

    @abstractmethod
    def _save_instance(self, state: InstanceState) -> None:
        """Hold an instance in place of what was held under its id."""

    @abstractmethod
    def _load_instance(self, instance_id: str) -> InstanceState | None:
        """Return an instance, or None if none is held under the id, which may be any text."""

    @abstractmethod
    def delete_instance(self, instance_id: str) -> None:
        """Forget an instance; harmless if there is none."""

    def _save_state(self, instance_states: list[InstanceState]) -> None:
        """Hold several instances."""
        for state in instance_states:
            self._save_instance(state)

    def _load_state(self) -> list[InstanceState]:
        """Return all instances; without an implementation of this, each is loaded when it is asked for."""
        return []

    def _open(self, shared: bool) -> None:
        """Get ready, before any other call; by default nothing.

        Parameters
        ----------
        shared
            Whether several servers may use the storage at once, each holding an instance's lock from load to
            save. If not, an adapter may refuse a second server by raising `ExternalStateLocked`.
        """
        return

    def _lock_instance(self, instance_id: str) -> Callable[[], None]:
        """Lock an instance against other servers, without waiting, and return what unlocks it.

        By default there is no lock: then only one server may use the storage. Raises `ExternalStateLocked`
        if another server holds it.
        """
        return _nothing

    def _close(self) -> None:
        """Let go of what was opened, after the last call; by default nothing."""
        return


def check_adapter(adapter: object) -> None:
    """Raise `Invalid` if an object can't be an adapter: it lacks a method, or one of them is async."""
    kind = adapter.__name__ if isinstance(adapter, type) else type(adapter).__name__
    if isinstance(adapter, type):
        raise Invalid(f"The adapter is the class {kind}; pass an object that it makes.")
    lacking = [name for name in _METHODS if not callable(getattr(adapter, name, None))]
    if lacking:
        raise Invalid(
            f"The adapter {kind} has no {', no '.join(lacking)}. Derive it from ExternalStateAdapter, and "
            "define _save_instance, _load_instance and delete_instance."
        )
    for name in _METHODS:
        if inspect.iscoroutinefunction(getattr(adapter, name)):
            raise Invalid(f"{kind}.{name} is async; adapters block, in a thread of their own.")


def _nothing() -> None:
    """Unlock what was never locked."""
