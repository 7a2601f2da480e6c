"""A store in a folder, with complete copies of what it was at its last openings."""

from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from perdure.errors import Invalid, StoreNotFound
from perdure.extend import SqliteStore, StoreOptions

__all__ = ["DirectoryStore"]

COPIES = 3


class DirectoryStore(SqliteStore):
    """The store of ``directory:///folder?copies=3``: ``current.db``, and copies of it.

    It is copied when it is opened, before anything new is written: should a new model or a new version do
    harm, the copy is what was there before.
    """

    @classmethod
    def open(cls, url: str, options: StoreOptions) -> "DirectoryStore":
        """Open the store, and copy it unless it is new."""
        file, copies = cls.locate(url), _copies(url)
        there = file.is_file()
        if not (there or options.create):
            raise StoreNotFound(store=url)
        store = cls(
            file,
            keep=options.keep,
            keep_lines=options.keep_lines,
            keep_bytes=options.keep_bytes,
            accept_loss=options.accept_loss,
            probe_every=options.probe_every,
        )
        try:
            if there and copies:
                store.backup(_next(file.parent))
            for old in _all(file.parent)[: -copies or None]:
                old.unlink()
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def locate(cls, url: str) -> Path:
        """Return ``current.db`` in the folder."""
        parts = urlsplit(url)
        if parts.netloc or parts.fragment or not parts.path.strip("/"):
            raise Invalid(f"{url!r} names no folder; that is directory:///path/from/the/root.")
        return Path(unquote(parts.path)).resolve() / "current.db"


def _copies(url: str) -> int:
    """Return how many copies a URL asks for."""
    options = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    copies = options.pop("copies", str(COPIES))
    if options:
        raise Invalid(f"A store of directory:// has no option {min(options)!r}; it has copies.")
    if not copies.isdecimal():
        raise Invalid(f"copies is a number, not {copies!r}.")
    return int(copies)


def _all(folder: Path) -> list[Path]:
    """Return the copies in a folder, the oldest first."""
    return sorted(folder.glob("copy-??????.db"))


def _next(folder: Path) -> Path:
    """Return where the next copy goes."""
    last = max((int(copy.stem.removeprefix("copy-")) for copy in _all(folder)), default=0)
    return folder / f"copy-{last + 1:06}.db"
