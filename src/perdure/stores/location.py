"""Where the files of a store are, by its URL; nothing is opened."""

import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

__all__ = ["FILE", "socket_path", "store_file", "store_url"]

FILE = "perdure.db"  # in a folder that a URL names

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def store_url(name: str) -> str:
    """Return the URL of a store that is named by it, or by the path of its file or folder.

    >>> store_url("memory://"), store_url("data/50% off.db"), store_url("/data")
    ('memory://', 'sqlite:///data/50%25%20off.db', 'sqlite:////data')
    """
    return f"sqlite:///{quote(name)}" if name and not _SCHEME.match(name) else name


def store_file(store: str) -> Path | None:
    """Return the file that a store's URL names, or None if that store has no file."""
    parts = urlsplit(store)
    if parts.scheme != "sqlite" or not parts.path.startswith("/") or parts.path == "/":
        return None
    name = unquote(parts.path[1:])
    path = Path(name).resolve()  # as the store does it, whatever link leads there
    return path / FILE if name.endswith("/") or path.is_dir() else path


def socket_path(store: str) -> Path | None:
    """Return where the administrator's socket of a store lies: beside its file, under its name."""
    file = store_file(store)
    return None if file is None else file.with_name(f"{file.name}.sock")
