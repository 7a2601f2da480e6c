"""Connections to PostgreSQL: how they are configured, and the watch that ends those that don't answer.

A connection whose other side has vanished gives no sign of it. So each use of one has a time limit, after
which its socket is shut down, so that the thread or task that waits gets an error.
"""

import contextlib
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.string import StrDumperUnknown, TextBinaryLoader

from perdure.errors import Invalid
from perdure.stores.location import shown_url
from perdure.supervision import start_thread

__all__ = ["GET_SECONDS", "PAUSE", "Watchdog", "connect_options", "conninfo_of", "prepare"]

GET_SECONDS = 0.5  # until a connection is asked for again; a pool then tries to connect once more
PAUSE = 0.1  # seconds between two attempts while the database is away

TICK = 0.25  # seconds between two looks of the watchdog
ESCAPE = "\ufdd0"  # a code point that is no character

# Their warnings are logged as `store_unavailable`, once.
logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)

# The operating system finds that the other side is gone; libpq's names, in seconds and milliseconds. A
# standby may lack what was acknowledged.
_DEFAULTS = {
    "application_name": "perdure",
    "client_encoding": "utf8",
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "target_session_attrs": "primary",
    "tcp_user_timeout": "10000",
}


def conninfo_of(url: str) -> str:
    """Return what libpq connects with for a URL; raise `Invalid` if it can't be parsed."""
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise Invalid(
            f"{shown_url(url)!r} is no URL of a PostgreSQL database{_reason(error, shown_url(url))}. Such a "
            "URL is postgresql://user:password@host:5432/database, with options of libpq as its query."
        ) from None  # its text may quote the password
    return make_conninfo("", **{**_DEFAULTS, **given})


def _reason(error: Exception, shown: str) -> str:
    """Return what libpq says of a URL, if it quotes nothing but what is shown of the URL."""
    text = str(error).strip()
    quoted = re.findall(r'"(.*?)"', text, re.DOTALL)
    clear = quoted and text.count('"') == 2 * len(quoted) and all(part and part in shown for part in quoted)
    return f": {text}" if clear else ""


class _EscapingDumper(StrDumperUnknown):
    """Stores texts with U+0000, which PostgreSQL refuses: another code point and a digit take its place."""

    def dump(self, obj: str) -> Any:
        if "\0" in obj or ESCAPE in obj:
            obj = obj.replace(ESCAPE, f"{ESCAPE}1").replace("\0", f"{ESCAPE}0")
        return super().dump(obj)


class _EscapingLoader(TextBinaryLoader):
    """Reads what `_EscapingDumper` stores."""

    def load(self, data: Any) -> str | bytes:
        text = super().load(data)
        if isinstance(text, str) and ESCAPE in text:
            return text.replace(f"{ESCAPE}0", "\0").replace(f"{ESCAPE}1", ESCAPE)
        return text


def connect_options(cursor: type[Any]) -> dict[str, Any]:
    """Return the options of every connection: statements with $1, not prepared, each its own transaction.

    A pgbouncer in transaction mode gives each transaction another connection, without prepared statements.
    """
    return {"autocommit": True, "prepare_threshold": None, "cursor_factory": cursor}


def prepare(connection: psycopg.BaseConnection[Any]) -> None:
    """Let a new connection convert texts, and drop notifications, which it would gather otherwise.

    Behind a pgbouncer, its server may have been one that listens.
    """
    connection.add_notify_handler(lambda notification: None)
    connection.adapters.register_dumper(str, _EscapingDumper)
    connection.adapters.register_loader("text", _EscapingLoader)


class Watchdog:
    """Shuts down connections that haven't answered in time, in a thread of its own, until `close`."""

    def __init__(self) -> None:
        self._watched: dict[int, tuple[float, psycopg.BaseConnection[Any]]] = {}
        self._lock = threading.Lock()  # guards it, so that no connection is shut down that is used again
        self._keys = count()
        self._closed = threading.Event()
        start_thread("perdure-watchdog", self._work)

    def close(self) -> None:
        """End the watch."""
        self._closed.set()

    @contextlib.contextmanager
    def limit(self, connection: psycopg.BaseConnection[Any], seconds: float) -> Iterator[None]:
        """Shut a connection down if the block takes longer; in any thread."""
        with self._lock:
            key = next(self._keys)
            self._watched[key] = (time.monotonic() + seconds, connection)
        try:
            yield
        finally:
            with self._lock:
                self._watched.pop(key, None)

    def _work(self, failure: BaseException | None) -> None:
        """Look for connections whose time is over."""
        while not self._closed.wait(TICK):
            now = time.monotonic()
            with self._lock:
                for key, (until, connection) in tuple(self._watched.items()):
                    if until < now:
                        del self._watched[key]
                        _shut(connection)


def _shut(connection: psycopg.BaseConnection[Any]) -> None:
    """Shut the socket of a connection down: its user gets an error at once."""
    with contextlib.suppress(psycopg.Error, OSError), socket.socket(fileno=connection.fileno()) as file:
        try:
            file.shutdown(socket.SHUT_RDWR)
        finally:
            file.detach()
