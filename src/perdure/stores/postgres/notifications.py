"""Notifications between the processes that have a store open: which runs have changed.

They never are a part of a step's transaction, since commits that notify wait for each other. The ids of the
changed runs are gathered for a moment and sent together. A lost notification delays nobody for longer than
the feed's next poll.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
import psycopg
from psycopg import AsyncConnection

from perdure.stores.commands import Notice
from perdure.stores.events import log_event
from perdure.stores.postgres.connections import Watchdog, connect_options
from perdure.stores.postgres.failures import in_words
from perdure.stores.postgres.queries import STATEMENTS

__all__ = ["Listener", "Notifier"]

GATHER_SECONDS = 0.01
ALIVE_EVERY = 5.0  # seconds between two checks that the connection is alive
PAUSE = 0.25  # seconds before the connection is made once more
PAYLOAD = 7_000  # characters of ASCII in a notification; PostgreSQL's limit is 8,000 bytes


class Execute(Protocol):
    """Executes a named query in a transaction of its own."""

    def __call__(self, name: str, *values: Any) -> Awaitable[Any]: ...


class Notifier:
    """Sends the ids of changed runs to the other processes; only the loop of the writer uses it.

    Parameters
    ----------
    opening
        The name of this opening of the store, which ignores its own notifications.
    execute
        Sends them.
    """

    def __init__(self, opening: str, execute: Execute) -> None:
        self._opening = opening
        self._execute = execute
        self._changed: dict[str, None] = {}
        self._waiting = asyncio.Event()

    def add(self, run_id: str) -> None:
        """Send that a run has changed, soon."""
        self._changed[run_id] = None
        self._waiting.set()

    async def work(self) -> None:
        """Send what is added, until this is cancelled."""
        while True:
            await self._waiting.wait()
            await asyncio.sleep(GATHER_SECONDS)
            changed, self._changed = self._changed, {}
            self._waiting.clear()
            try:
                await self._execute("notify", msgspec.json.encode(self._payloads(list(changed))).decode())
            except (psycopg.Error, OSError):
                await asyncio.sleep(PAUSE)  # the feeds of the others find these changes by their polls

    def _payloads(self, run_ids: list[str]) -> list[str]:
        payloads = [self._opening]
        for run_id in run_ids:
            if len(payloads[-1]) + len(run_id) >= PAYLOAD:
                payloads.append(self._opening)
            payloads[-1] += f" {run_id}"
        return payloads


class Listener:
    """Receives the notifications of other processes, on a connection of its own.

    Parameters
    ----------
    conninfo
        What libpq connects with; it must lead to the server itself, not to a pgbouncer in transaction mode.
    opening
        The name of this opening of the store.
    watchdog
        Ends the connection if it doesn't answer.
    notify
        Called with each notice, on the loop of the writer.
    """

    def __init__(
        self, conninfo: str, opening: str, watchdog: Watchdog, notify: Callable[[Notice], None]
    ) -> None:
        self._conninfo = conninfo
        self._opening = opening
        self._watchdog = watchdog
        self._notify = notify
        self._failed = False

    async def work(self) -> None:
        """Listen, and listen again after a failure, until this is cancelled."""
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError) as error:
                if not self._failed:
                    log_event("warning", "notifications_not_received", reason=in_words(error))
                self._failed = True
            await asyncio.sleep(PAUSE)

    async def _listen(self) -> None:
        options = connect_options(psycopg.AsyncRawCursor)
        async with await AsyncConnection.connect(self._conninfo, **options) as connection:
            with self._watchdog.limit(connection, ALIVE_EVERY):
                await connection.execute(STATEMENTS["listen"])
            if self._failed:
                self._notify(Notice(None))  # what was notified meanwhile is lost
                self._failed = False
            while True:
                async for received in connection.notifies(timeout=ALIVE_EVERY):
                    opening, *run_ids = received.payload.split(" ")
                    for run_id in run_ids if opening != self._opening else ():
                        self._notify(Notice(run_id))
                with self._watchdog.limit(connection, ALIVE_EVERY):
                    await connection.execute(STATEMENTS["listen"])
