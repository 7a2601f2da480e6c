"""The run: the one noun that everything which runs is stored under, as values.

How a run changes is `lifecycle`; who changes it are the drivers; where it is kept are the stores.
"""

import secrets

import msgspec

from perdure.lifecycle import Outcome, RunState, Wanted

__all__ = ["Change", "Entry", "Execution", "Key", "LogLine", "Run", "Step", "new_run_id"]


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


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """The work on a run that an executor places; a session has none.

    Attributes
    ----------
    run_id, kind, owner
        Those of the run, so that a queue has all it needs in one row.
    timeout
        Most seconds of running time, summed over all attempts; None is without end.
    wanted
        The state that its owner wants it in.
    attempt
        How often a worker began.
    seconds
        Running time so far, of all attempts.
    deaths
        How often in a row it ended by a signal that nobody here sent, without a savepoint in between.
    holder, fence, lease_until
        The lease: who works on it, the token that its writes carry, and the Unix time at which it runs out.
        Without a lease they are empty, 0 and 0.0.
    progress
        The latest report, a MessagePack map.
    result
        What it came to, MessagePack; of one that failed or ran out of time, what there is of it.
    """

    run_id: str
    kind: str
    owner: str
    timeout: float | None = None
    wanted: Wanted = Wanted.STARTED
    attempt: int = 0
    seconds: float = 0.0
    deaths: int = 0
    holder: str = ""
    fence: int = 0
    lease_until: float = 0.0
    progress: bytes | None = None
    result: bytes | None = None

    def leased(self, opening: int, now: float) -> bool:
        """Return whether somebody has it: the lease is of this opening of the store, and hasn't run out.

        Leases run by `perdure.clock.steady`, so that none runs out because the wall clock was set.
        """
        return self.fence > opening and now < self.lease_until


class LogLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):  # many come at once, none holds another
    """A line that a run wrote: its text, level and Unix time, and its place, from 1, which a store sets."""

    text: str
    level: str = "info"
    time: float
    number: int = 0


def new_run_id() -> str:
    """Make an id that can't be guessed: 128 random bits as 32 hexadecimal digits."""
    return secrets.token_hex(16)
