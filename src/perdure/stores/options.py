"""The options of a store, which are the same for every store."""

import msgspec

__all__ = ["DEFAULTS", "StoreOptions"]


class StoreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a store is opened, besides its URL.

    Attributes
    ----------
    keep
        How many savepoints of a run retention keeps besides the permanent ones; at least 1.
    keep_lines
        How many of the newest output lines of a run are kept; at least 1.
    keep_bytes
        How many bytes of output lines are kept for each run; the newest line is always kept.
    create
        Whether to create a store that doesn't exist; otherwise it is `StoreNotFound`.
    accept_loss
        Whether to open a store that lacks something that was acknowledged.
    probe_every
        Seconds without a write after which the store tests whether it can be written; None leaves that to the
        next write. A store that always knows ignores this.
    listen
        Another URL of the same database, which notifications of other processes come from; None is the URL of
        the store. A store in a file or in memory has no other processes.
    patience
        Seconds for which a read or a write waits for a database that doesn't answer, before it fails with
        `StoreUnavailable`. A store in a file or in memory doesn't wait.
    """

    keep: int = 3
    keep_lines: int = 10_000
    keep_bytes: int = 10_000_000
    create: bool = True
    accept_loss: bool = False
    probe_every: float | None = None
    listen: str | None = None
    patience: float = 10.0


DEFAULTS = StoreOptions()
"""The options of a store that is opened without any."""
