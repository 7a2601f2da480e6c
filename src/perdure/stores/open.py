"""Opening a store by its URL."""

from urllib.parse import unquote, urlsplit

from perdure.errors import Invalid
from perdure.settings import Settings
from perdure.stores.base import Store
from perdure.stores.memory import MemoryStore
from perdure.stores.sqlite import SqliteStore

__all__ = ["open_configured", "open_store"]


def open_store(
    url: str,
    *,
    keep: int = 3,
    keep_lines: int = 10_000,
    keep_bytes: int = 10_000_000,
    accept_loss: bool = False,
    probe_every: float | None = None,
) -> Store:
    """Open the store that a URL names; the caller closes it.

    Parameters
    ----------
    url
        ``sqlite:///file`` with a path from the working folder, ``sqlite:////file`` with one from the root (a
        folder means ``perdure.db`` in it), or ``memory://``. In a path ``%``, ``?`` and ``#`` are written
        ``%25``, ``%3F`` and ``%23``.
    keep
        How many savepoints of a run retention keeps besides those that stay for good.
    keep_lines
        How many of the newest lines that a run wrote are kept.
    keep_bytes
        How many bytes they have together.
    accept_loss
        Whether to open a store whose files lack something that was acknowledged.
    probe_every
        Seconds without a write after which it finds out by itself whether it can be written; None never does.

    Raises
    ------
    Invalid
        If the URL is none of these.
    """
    parts = urlsplit(url)
    plain = not (parts.netloc or parts.query or parts.fragment)
    if parts.scheme == "memory" and plain and not parts.path:
        return MemoryStore(keep=keep, keep_lines=keep_lines, keep_bytes=keep_bytes)
    if parts.scheme == "sqlite" and plain and parts.path.startswith("/") and parts.path != "/":
        return SqliteStore(
            unquote(parts.path[1:]),
            keep=keep,
            keep_lines=keep_lines,
            keep_bytes=keep_bytes,
            accept_loss=accept_loss,
            probe_every=probe_every,
        )
    raise Invalid(
        f"{url!r} names no store; it is sqlite:///relative/path, sqlite:////absolute/path or memory://."
    )


def open_configured(
    settings: Settings, *, accept_loss: bool = False, probe_every: float | None = None
) -> Store:
    """Open the store that the settings name, which keeps as much as they say; see `open_store`."""
    return open_store(
        settings.store,
        keep=settings.savepoint_keep,
        keep_lines=settings.max_log_lines,
        keep_bytes=settings.max_log_bytes,
        accept_loss=accept_loss,
        probe_every=probe_every,
    )
