"""The location of a store's files, by its URL; nothing is opened."""

import re
from pathlib import Path
from urllib.parse import quote

__all__ = ["FILE", "beside", "resolved", "scheme_of", "shown_url", "store_url"]

FILE = "perdure.db"  # name of the file if a URL names a folder

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
# A password isn't always quoted as it should be. It ends at the last @ before the query; if there is none,
# the question mark may belong to it, unless a port precedes it.
_PASSWORD = re.compile(
    r"(?<=://)([^/:?]*:)(?:[^?]*|(?!\d+[/?,]).*)(?=@)|([?&]\w*password=)[^&]*", re.IGNORECASE | re.DOTALL
)


def store_url(name: str) -> str:
    """Return the URL of a store, from its URL or the path of its file or folder.

    >>> store_url("memory://"), store_url("data/50% off.db"), store_url("/data")
    ('memory://', 'sqlite:///data/50%25%20off.db', 'sqlite:////data')
    """
    return f"sqlite:///{quote(name)}" if name and scheme_of(name) is None else name


def scheme_of(url: str) -> str | None:
    """Return the scheme of a URL in lower case, or None if it has none.

    >>> scheme_of("SQLite:///runs.db"), scheme_of("runs.db")
    ('sqlite', None)
    """
    found = _SCHEME.match(url)
    return None if found is None else found[1].lower()


def shown_url(url: str) -> str:
    """Return a URL without its password, for messages.

    >>> shown_url("my-database://ann:secret@host/runs"), shown_url("sqlite:///runs.db")
    ('my-database://ann:***@host/runs', 'sqlite:///runs.db')
    """
    return _PASSWORD.sub(r"\1\2***", url)


def resolved(path: str | Path) -> Path:
    """Return the file that a path leads to, links resolved; for a folder, the usual file in it."""
    file = Path(path).resolve()
    return file / FILE if str(path).endswith("/") or file.is_dir() else file


def beside(file: Path, what: str) -> Path:
    """Return the path beside a store's file that has the file's name and a suffix.

    >>> beside(Path("/data/perdure.db"), "sock")
    PosixPath('/data/perdure.db.sock')
    """
    return file.with_name(f"{file.name}.{what}")
