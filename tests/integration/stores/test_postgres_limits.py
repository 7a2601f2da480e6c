"""No wait for PostgreSQL is without a limit, and no guess takes the place of an outcome that isn't known."""

import asyncio
import threading
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from tests.support.half_open import Proxy
from tests.support.postgres import PostgresServer
from tests.support.waiting import until

from perdure.errors import Invalid, PositionConflict, StoreUnavailable
from perdure.stores.commands import Append, Unleased
from perdure.stores.commands.locks import Lock
from perdure.stores.open import open_store
from perdure.stores.options import StoreOptions
from perdure.stores.postgres import migrations, writer
from perdure.stores.postgres import store as store_module
from perdure.stores.postgres.connections import Watchdog, conninfo_of, prepare
from perdure.stores.postgres.migrations import migrate
from perdure.stores.postgres.queries import MIGRATIONS
from perdure.stores.postgres.readers import Readers
from perdure.stores.postgres.schedule import Item
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.postgres.writer import Writer
from perdure.stores.postgres.writer_pool import WriterPool
from perdure.stores.queries import Migration
from perdure.testing.store_samples import WAIT, a_step, an_entry, created


def step(position: int) -> Append:
    return Append("run", Unleased(0), position, [an_entry(position + 1)])


def test_a_standby_that_lacks_a_commit_is_not_believed(
    proxied: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, url = proxied
    asked: list[str] = []
    ask = WriterPool.ask

    async def of_standby(self: WriterPool, name: str, *values: Any) -> Sequence[tuple[Any, ...]]:
        if name == "find_outcome":
            asked.append(name)
            if len(asked) < 3:
                return [(True, False)]
        return await ask(self, name, *values)

    with closing(PostgresStore(url, StoreOptions(patience=30.0))) as store:
        created(store)
        monkeypatch.setattr(WriterPool, "ask", of_standby)
        proxy.drop_answer_to(b"note_commit")
        assert store.submit(step(0)).result(WAIT).steps == (a_step(1),)
        assert len(asked) == 3
        assert list(store.steps("run")) == [a_step(1)]


def test_connections_to_standbys_are_refused_unless_the_url_says_otherwise() -> None:
    of = {
        url: conninfo_to_dict(conninfo_of(f"postgresql://a,b/db{url}"))
        for url in ("", "?target_session_attrs=any")
    }
    assert [options["target_session_attrs"] for options in of.values()] == ["primary", "any"]


def wait_for_standby(server: PostgresServer, url: str) -> None:
    """Wait until commits wait for a synchronous standby, and end the one that shows it."""
    with psycopg.connect(url, autocommit=True) as connection:

        def commit() -> None:
            with suppress(psycopg.OperationalError):
                while True:
                    connection.execute("UPDATE meta SET store = store")

        thread = threading.Thread(target=commit)
        thread.start()
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        until(lambda: server.execute(ended))
        thread.join()


def test_a_step_that_waits_for_a_synchronous_standby_is_not_acknowledged(
    url: str, shared_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "OUTCOME_SECONDS", 0.5)
    url += "&options=-c%20synchronous_commit%3Don"
    with closing(PostgresStore(url, StoreOptions(patience=0.5))) as store:
        created(store)
        shared_postgres.execute("ALTER SYSTEM SET synchronous_standby_names = 'away'")
        try:
            shared_postgres.execute("SELECT pg_reload_conf()")
            wait_for_standby(shared_postgres, url)
            with pytest.raises(StoreUnavailable, match="what became of it isn't known yet"):
                store.submit(step(0)).result(WAIT)
            assert store.unavailable is not None
            assert list(store.steps("run")) == []
        finally:
            shared_postgres.execute("ALTER SYSTEM RESET synchronous_standby_names")
            shared_postgres.execute("SELECT pg_reload_conf()")
        until(lambda: store.run("run").position > 0)
        with pytest.raises(PositionConflict):
            store.submit(step(0)).result(WAIT)
        assert list(store.steps("run")) == [a_step(1)]


def test_a_store_whose_server_is_frozen_can_be_closed(proxied: tuple[Proxy, str]) -> None:
    proxy, url = proxied
    store = PostgresStore(url, StoreOptions(patience=0.5))
    created(store)
    proxy.silence()
    closing_thread = threading.Thread(target=store.close, daemon=True)
    closing_thread.start()
    closing_thread.join(WAIT)
    assert not closing_thread.is_alive()


@pytest.mark.parametrize("limit", [migrations, store_module])
def test_opening_ends_while_another_process_is_frozen_in_its_migration(
    url: str, limit: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    PostgresStore(url).close()
    monkeypatch.setattr(limit, "MIGRATE_SECONDS", 0.3)  # at the server, or here
    with psycopg.connect(url) as frozen:
        frozen.execute("SELECT pg_advisory_xact_lock(hashtextextended('perdure migrations', 0))")
        with pytest.raises(StoreUnavailable):
            PostgresStore(url, StoreOptions(patience=0.1))


def test_the_server_ends_a_migration_or_a_snapshot_whose_process_is_silent(postgres: str) -> None:
    idle = "SELECT current_setting('idle_in_transaction_session_timeout')"
    seen = Migration(MIGRATIONS[-1].version + 1, "seen", f"CREATE TABLE seen AS {idle}", False)
    with psycopg.connect(postgres, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        migrate(connection, "db", [*MIGRATIONS, seen])
        assert connection.execute("TABLE seen").fetchall() == [("30s",)]
        assert connection.execute(idle.encode()).fetchall() == [("0",)]
    with (
        closing(Watchdog()) as watchdog,
        closing(Readers(conninfo_of(postgres), watchdog, 5.0, print)) as readers,
        readers.snapshot(7.0) as reading,
    ):
        assert reading.execute(idle.encode()).fetchall() == [("7s",)]


def test_commands_fail_if_another_task_of_the_writer_does(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fail = threading.Event()

    async def work(self: Writer) -> None:
        while not fail.is_set():
            await asyncio.sleep(0.02)
        fail.clear()
        raise ZeroDivisionError

    monkeypatch.setattr(Writer, "_keep_probing", work)
    with closing(PostgresStore(url)) as store, psycopg.connect(url) as other:
        created(store)
        other.execute("UPDATE runs SET reason = 'other'")
        first, second = store.submit(step(0)), store.submit(step(1))
        with psycopg.connect(url, autocommit=True) as watch:
            until(lambda: watch.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone())
            fail.set()
            assert isinstance(first.exception(WAIT), StoreUnavailable)
            assert isinstance(second.exception(WAIT), StoreUnavailable)
            # What is at the database already could still commit once it has the lock; here it must not.
            watch.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
            until(lambda: not watch.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone())
        other.rollback()
        assert store.submit(step(0)).result(WAIT).steps == (a_step(1),)


class Unlockable(Append, frozen=True):
    """A command whose locks can't be named."""

    def locks(self) -> Sequence[Lock]:
        raise ZeroDivisionError


def test_a_command_whose_locks_fail_fails_alone(url: str) -> None:
    with closing(PostgresStore(url)) as store:
        created(store)
        broken = store.submit(Unlockable("run", Unleased(0), 0, []))
        assert store.submit(step(0)).result(WAIT).steps == (a_step(1),)
        assert isinstance(broken.exception(WAIT), StoreUnavailable)


def test_a_command_that_is_late_is_not_attempted_while_the_store_is_unavailable(
    proxied: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, url = proxied
    attempted: list[str] = []
    transact = Writer._transact

    async def noted(self: Writer, items: Sequence[Item], slot: str) -> int:
        attempted.append(slot)
        return await transact(self, items, slot)

    monkeypatch.setattr(Writer, "_transact", noted)
    with closing(PostgresStore(url, StoreOptions(patience=0.5))) as store:
        created(store)
        proxy.silence()
        with pytest.raises(StoreUnavailable):
            store.submit(step(0)).result(WAIT)
        attempted.clear()
        monkeypatch.setattr(writer, "Item", lambda command, link, until: Item(command, link, 0.0))
        with pytest.raises(StoreUnavailable):
            store.submit(step(0)).result(WAIT)
        assert attempted == []


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s%zecret@h/db",
        "postgresql://me:s@%zecret@h/db",
        "postgresql://me:s/%zecret@h/db",
        'postgresql://me:"s%zecret@h/db',
        "postgresql://h/db?password=s%zecret",
        "postgresql://h/db?sslpassword=s%zecret",
    ],
)
def test_a_password_that_libpq_quotes_is_not_shown(url: str) -> None:
    with pytest.raises(Invalid, match="no URL of a PostgreSQL database") as refused:
        open_store(url)
    assert "zecret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_url_that_cannot_be_parsed_says_why() -> None:
    with pytest.raises(Invalid, match='invalid URI query parameter: "nonsense"'):
        open_store("postgresql://ann:secret@host/db?nonsense=1")


def test_notifications_that_nobody_reads_are_dropped(postgres: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as connection:
        prepare(connection)
        connection.execute("LISTEN changed")
        connection.execute("NOTIFY changed")
        with pytest.warns(RuntimeWarning, match="handlers"):
            assert list(connection.notifies(timeout=0)) == []
