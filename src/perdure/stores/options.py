"""The options of a store: what whoever opens one may ask of it, whichever store it is."""

import msgspec

__all__ = ["StoreOptions"]


class StoreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a store is opened with besides its URL.

    Attributes
    ----------
    keep
        How many savepoints of a run retention keeps besides those that stay for good; at least 1.
    keep_lines
        How many of the newest lines that a run wrote are kept; at least 1.
    keep_bytes
        How many bytes they have together; the newest line is kept, however long.
    create
        Whether the store is made if there is none; otherwise that is `StoreNotFound`.
    accept_loss
        Whether to open a store that lacks something that was acknowledged.
    probe_every
        Seconds without a write after which the store itself finds out whether it can be written; None leaves
        that to the next write. A store that always knows it has nothing to do.
    """

    keep: int = 3
    keep_lines: int = 10_000
    keep_bytes: int = 10_000_000
    create: bool = True
    accept_loss: bool = False
    probe_every: float | None = None
