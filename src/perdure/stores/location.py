"""Where the files of a store are, by its URL; nothing is opened."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["FILE", "socket_path", "store_file"]

FILE = "perdure.db"  # in a folder that a URL names


def store_file(store: str) -> Path | None:
    """Return the file that a store's URL names, or None if that store has no file."""
    parts = urlsplit(store)
    if parts.scheme != "sqlite" or len(parts.path) < 2:
        return None
    name = unquote(parts.path[1:])
    path = Path(name).resolve()  # as the store does it, whatever link leads there
    return path / FILE if name.endswith("/") or path.is_dir() else path


def socket_path(store: str) -> Path | None:
    """Return where the administrator's socket of a store lies: beside its file, under its name."""
    file = store_file(store)
    return None if file is None else file.with_name(f"{file.name}.sock")
