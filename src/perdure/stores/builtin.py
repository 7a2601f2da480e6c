"""The schemes of Perdure's own stores. A store's module is imported only when a store is opened."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote, urlsplit

from perdure.errors import Invalid, MissingExtra, StoreNotFound
from perdure.stores.location import resolved, shown_url

if TYPE_CHECKING:
    from perdure.stores.base import Store
    from perdure.stores.options import StoreOptions

__all__ = ["MemoryScheme", "PostgresScheme", "SqliteScheme"]


class SqliteScheme:
    """``sqlite:///file`` is relative to the working folder, ``sqlite:////file`` to the root."""

    shared: ClassVar[bool] = False

    @classmethod
    def open(cls, url: str, options: "StoreOptions") -> "Store":
        """Open the store in the file; create it if `options` allow that."""
        from perdure.stores.sqlite import SqliteStore

        name = cls._name(url)
        _refuse_listening(url, options)
        if not options.create and not resolved(name).is_file():
            raise StoreNotFound(store=url)
        return SqliteStore(
            name,
            keep=options.keep,
            keep_lines=options.keep_lines,
            keep_bytes=options.keep_bytes,
            accept_loss=options.accept_loss,
            probe_every=options.probe_every,
        )

    @classmethod
    def locate(cls, url: str) -> Path:
        """Return the file."""
        return resolved(cls._name(url))

    @staticmethod
    def _name(url: str) -> str:
        """Return the path that a URL names; a slash at its end means a folder."""
        parts = urlsplit(url)
        others = parts.netloc or parts.query or parts.fragment
        if others or not parts.path.startswith("/") or parts.path == "/":
            raise Invalid(
                f"{url!r} names no SQLite file; that is sqlite:///relative/path or sqlite:////absolute/path, "
                "without options, and with %25, %3F and %23 for %, ? and #."
            )
        return unquote(parts.path[1:])


class MemoryScheme:
    """``memory://``, a new and empty store each time it is opened."""

    shared: ClassVar[bool] = False

    @classmethod
    def open(cls, url: str, options: "StoreOptions") -> "Store":
        """Open an empty store."""
        from perdure.stores.memory import MemoryStore

        cls.locate(url)
        _refuse_listening(url, options)
        if options.accept_loss:
            raise Invalid(f"{url} is always empty when it is opened; leave --accept-loss out.")
        if not options.create:
            raise StoreNotFound(store=url)
        return MemoryStore(keep=options.keep, keep_lines=options.keep_lines, keep_bytes=options.keep_bytes)

    @classmethod
    def locate(cls, url: str) -> None:
        """Check the URL; there is no file."""
        if any(urlsplit(url)[1:]):
            raise Invalid(f"{url!r} names no store in memory; that is memory://, without a name or options.")


class PostgresScheme:
    """``postgresql://user:password@host:5432/database``, a database that many processes may share."""

    shared: ClassVar[bool] = True

    @classmethod
    def open(cls, url: str, options: "StoreOptions") -> "Store":
        """Open the store in the database; create its schema if `options` allow that."""
        if options.accept_loss:
            raise Invalid(f"{shown_url(url)} loses nothing that was acknowledged; leave --accept-loss out.")
        if not (find_spec("psycopg") and find_spec("psycopg_pool")):
            raise MissingExtra(what="A store in PostgreSQL", package="psycopg", extra="postgres")
        from perdure.stores.postgres.store import PostgresStore

        return PostgresStore(url, options)

    @classmethod
    def locate(cls, url: str) -> None:
        """Return None: there is no file."""


def _refuse_listening(url: str, options: "StoreOptions") -> None:
    if options.listen is not None:
        raise Invalid(f"{url} has no notifications of other processes; leave PERDURE_STORE_LISTEN out.")
