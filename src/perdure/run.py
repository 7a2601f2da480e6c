"""The run: the one noun that everything which runs is stored under, as values.

How a run changes is `lifecycle`; who changes it are the drivers; where it is kept are the stores.
"""

import secrets

import msgspec

from perdure.lifecycle import Outcome, RunState

__all__ = ["Change", "Entry", "Key", "Run", "Step", "new_run_id"]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One execution, as it is stored.

    Attributes
    ----------
    id
        Its name: 1 to 64 letters, digits, ``-`` and ``_``.
    kind
        Which driver turns its crank, for example ``session``.
    owner
        Whose it is.
    state, outcome, reason
        Where it stands, what it came to, and why, in words.
    spec
        What its driver needs to start it from nothing; opaque to stores.
    position
        How many steps its log holds.
    version
        Counts changes of this record other than steps, for compare-and-set.
    created, updated
        Unix time, in seconds.
    parent, parent_position
        The run and step it was forked from.
    number
        The order of creation within a store; a store sets it.
    """

    id: str
    kind: str
    owner: str
    spec: bytes
    state: RunState = RunState.CREATED
    outcome: Outcome | None = None
    reason: str = ""
    position: int = 0
    version: int = 0
    created: float
    updated: float
    parent: str | None = None
    parent_position: int | None = None
    number: int = 0


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a run's record; a field that is None stays as it is."""

    state: RunState | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    spec: bytes | None = None


class Key(msgspec.Struct, frozen=True):
    """An idempotency key: the client's text, which of a request's steps, and a hash of the request."""

    text: str
    body_hash: bytes
    ordinal: int = 0


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A step to be appended to the log: what it was given and what it answered, both encoded."""

    inputs: bytes | None
    outputs: bytes
    key: Key | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step as the log holds it; `position` counts from 1."""

    position: int
    inputs: bytes | None
    outputs: bytes


def new_run_id() -> str:
    """Make an id that can't be guessed: 128 random bits as 32 hexadecimal digits."""
    return secrets.token_hex(16)
