"""What PostgreSQL has acknowledged exists once, and requests wait, whatever happens to it or the network."""

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from tests.support.half_open import Proxy
from tests.support.postgres import pgbouncer, postgres_server

from perdure.errors import (
    Invalid,
    MissingExtra,
    NewerSchema,
    NotAStore,
    PositionConflict,
    StoreNotFound,
    StoreUnavailable,
)
from perdure.run import LogLine
from perdure.stores import builtin
from perdure.stores.chain import Chain
from perdure.stores.commands import Append, CreateRun, Lease, Recount, Report, Unleased
from perdure.stores.open import StoreOptions, open_store
from perdure.stores.postgres.migrations import migrate
from perdure.stores.postgres.queries import MIGRATIONS
from perdure.stores.postgres.store import PostgresStore
from perdure.stores.postgres.writer import Writer
from perdure.stores.queries import Migration
from perdure.testing.store_samples import (
    WAIT,
    a_key,
    a_run,
    a_step,
    an_entry,
    created,
    queued,
)


def append(store: PostgresStore, position: int, id: str = "run") -> None:
    store.submit(Append(id, Unleased(0), position, [an_entry(position + 1)])).result(WAIT)


def steps(store: PostgresStore, id: str = "run") -> list[object]:
    return list(store.steps(id))


@pytest.mark.parametrize("lost", [b"note_commit", b"begin", b"enter"])
def test_the_outcome_of_a_transaction_whose_answer_was_lost_is_looked_up(
    proxied: tuple[Proxy, str], lost: bytes
) -> None:
    proxy, url = proxied
    with closing(PostgresStore(url, StoreOptions(patience=30.0))) as store:
        created(store)
        proxy.drop_answer_to(lost)
        append(store, 0)
        assert proxy.dropped(WAIT)
        assert steps(store) == [a_step(1)]
        append(store, 1)
        assert steps(store) == [a_step(1), a_step(2)]
        assert store.unavailable is None


def test_statements_that_were_prepared_before_a_migration_are_prepared_again(url: str) -> None:
    with closing(PostgresStore(url)) as store:
        created(store)
        store.submit(Append("run", Unleased(0), 0, [an_entry(1, a_key())])).result(WAIT)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER TABLE step_keys ALTER COLUMN position TYPE integer")
        again = store.submit(Append("run", Unleased(0), 0, [an_entry(1, a_key())])).result(WAIT)
        assert [step.position for step in again.steps] == [1]
        assert steps(store) == [a_step(1)]


def test_a_silent_connection_is_given_up_and_its_transaction_ended_at_the_server(
    proxied: tuple[Proxy, str], url: str
) -> None:
    proxy, through = proxied
    with (
        closing(PostgresStore(through, StoreOptions(patience=1.0))) as store,
        closing(PostgresStore(url)) as other,
    ):
        created(store)
        proxy.silence()
        with pytest.raises(StoreUnavailable):
            append(store, 0)
        with pytest.raises(StoreUnavailable):
            store.run("run")
        assert store.unavailable
        append(other, 0)  # nothing that the silent one has locked keeps others waiting
        proxy.silence(False)
        with pytest.raises(PositionConflict):
            append(store, 0)
        append(store, 1)
        assert store.unavailable is None
        assert steps(store) == steps(other) == [a_step(1), a_step(2)]


def test_connections_that_the_server_ends_are_replaced(url: str) -> None:
    with closing(PostgresStore(url)) as store, ThreadPoolExecutor(4) as pool:
        for id in "abcd":
            created(store, id)
        done = threading.Event()

        def step(id: str) -> int:
            position = 0
            while not done.is_set() or position < 20:
                append(store, position, id)
                position += 1
                assert store.run(id).position == position
            return position

        def end_all() -> None:
            with psycopg.connect(url, autocommit=True) as connection:
                for _ in range(8):
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                    done.wait(0.1)
            done.set()

        ending = pool.submit(end_all)
        for id, taken in zip("abc", pool.map(step, "abc"), strict=True):
            assert steps(store, id) == [a_step(number) for number in range(1, taken + 1)]
        ending.result(WAIT)


def test_a_killed_server_loses_nothing_that_was_acknowledged_and_doubles_nothing() -> None:
    with postgres_server(durable=True) as server, pgbouncer(server) as bouncer:
        name = server.create()
        with (
            closing(PostgresStore(bouncer.url(name), StoreOptions(patience=60.0))) as store,
            ThreadPoolExecutor(3) as pool,
        ):
            for id in "abc":
                created(store, id)
            reached = threading.Semaphore(0)
            done = threading.Event()

            def step(id: str) -> int:
                position = 0
                while not done.is_set():
                    append(store, position, id)
                    position += 1
                    reached.release()
                return position

            counts = [pool.submit(step, id) for id in "abc"]
            for _ in range(2):
                for _ in range(20):
                    assert reached.acquire(timeout=WAIT)
                server.service.kill()
                server.service.start()
            bouncer.service.kill()
            bouncer.service.start()
            for _ in range(20):
                assert reached.acquire(timeout=WAIT)
            done.set()
            for id, count in zip("abc", counts, strict=True):
                taken = count.result(WAIT)  # before the steps are read, since its last one may be under way
                assert steps(store, id) == [a_step(number) for number in range(1, taken + 1)]


def test_requests_wait_for_a_server_that_is_away_and_then_say_why() -> None:
    with postgres_server(durable=True) as server:
        name = server.create()
        with closing(PostgresStore(server.url(name), StoreOptions(patience=0.5, probe_every=0.1))) as store:
            created(store)
            server.service.stop()
            for attempt in (lambda: store.run("run"), lambda: append(store, 0)):
                with pytest.raises(StoreUnavailable, match="PostgreSQL: "):
                    attempt()
                assert "PostgreSQL: " in (store.unavailable or "")
            with pytest.raises(StoreUnavailable):
                PostgresStore(server.url(name), StoreOptions(patience=0.1))
            server.service.start()
            deadline = threading.Event()
            while store.unavailable is not None:
                deadline.wait(0.05)  # a probe finds that it is back
            append(store, 0)


def test_a_read_only_server_is_unavailable_and_is_used_again_when_it_can_be_written(url: str) -> None:
    name = url.partition("@/")[2].partition("?")[0]
    with (
        closing(PostgresStore(url, StoreOptions(patience=0.5))) as store,
        psycopg.connect(url, autocommit=True) as admin,
    ):
        created(store)
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
        end = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        admin.execute(end.encode())
        with pytest.raises(StoreUnavailable, match="read-only"):
            append(store, 0)
        assert store.run("run").position == 0, "it can be read"
        admin.execute("SET default_transaction_read_only = off")
        admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())
        admin.execute(end.encode())
        append(store, 0)


def test_what_is_rolled_back_for_a_deadlock_is_executed_again(url: str) -> None:
    with closing(PostgresStore(url)) as store, psycopg.connect(url) as other:
        created(store)
        other.execute(
            "SET deadlock_timeout = '5s'"
        )  # so the store's transaction finds it first, and is ended
        other.execute("UPDATE runs SET reason = 'other' WHERE id = 'run'")
        appended = store.submit(Append("run", Unleased(0), 0, [an_entry(1)]))
        with psycopg.connect(url, autocommit=True) as watch:
            # The store's transaction has the lock of the run, and waits for its row.
            waiting = b"SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
            while watch.execute(waiting).fetchone() is None:
                watch.execute("SELECT pg_sleep(0.02)")
        with contextlib.suppress(psycopg.errors.DeadlockDetected):
            other.execute("SELECT pg_advisory_xact_lock(lock_key('run run'))")
        other.rollback()
        assert appended.result(WAIT).steps == (a_step(1),)
        assert steps(store) == [a_step(1)]


def test_a_write_of_the_queue_beside_its_repair_is_not_lost(url: str) -> None:
    def wait_for_lock(watch: psycopg.Connection, number: int) -> None:
        waiting = b"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() " + (
            b"AND wait_event_type = 'Lock'"
        )
        while watch.execute(waiting).fetchone() != (number,):
            watch.execute("SELECT pg_sleep(0.02)")

    with (
        closing(PostgresStore(url)) as store,
        closing(PostgresStore(url)) as other,
        psycopg.connect(url) as holder,
        psycopg.connect(url, autocommit=True) as watch,
    ):
        queued(store)
        watch.execute("UPDATE queue SET needs = 'something else'")
        holder.execute("LOCK TABLE commits IN SHARE MODE")  # holds the repair back between writes and commit
        repair = store.submit(Recount())
        wait_for_lock(watch, 1)
        leased = other.submit(Lease("task", "worker", 3600.0))
        wait_for_lock(watch, 2)
        holder.rollback()
        assert len(repair.result(WAIT)) == 1
        leased.result(WAIT)
        assert list(store.submit(Recount()).result(WAIT)) == []


def test_steps_of_a_chain_after_a_refused_one_are_refused_and_those_before_it_stay(url: str) -> None:
    with closing(PostgresStore(url)) as store:
        created(store)
        chain = Chain()
        positions = (0, 1, 7, 2)
        made = [
            store.submit(Append("run", Unleased(0), at, [an_entry(number)]), chain)
            for number, at in enumerate(positions, 1)
        ]
        refused = [isinstance(future.exception(WAIT), PositionConflict) for future in made]
        assert refused == [False, False, True, True]
        assert steps(store) == [a_step(1), a_step(2)]


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ufdd0", "\ufdd00\0\ufdd01", ""])
def test_texts_with_characters_that_postgresql_refuses_are_kept(url: str, text: str) -> None:
    with closing(PostgresStore(url)) as store:
        queued(store)
        token = store.submit(Lease("task", "w", 60.0)).result(WAIT).fence
        line = LogLine(number=1, time=1.0, level="info", text=text)
        store.submit(Report("task", token, lines=[line])).result(WAIT)
        assert list(store.log_lines("task")) == [line]
        key = a_key(text or "key")
        made = store.submit(CreateRun(a_run(), key=key)).result(WAIT)
        assert store.run_by_key("ann", key) == made.run
        assert store.document("bptk", text) is None
        assert list(store.check()) == []
        assert list(store.log_lines("task")) == [line]


def test_a_database_of_another_program_or_without_a_store_is_left_alone(postgres: str) -> None:
    with pytest.raises(StoreNotFound):
        open_store(postgres, StoreOptions(create=False))
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE TABLE bills (number integer)")
        with pytest.raises(NotAStore, match="another program"):
            open_store(postgres)
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace ="
            " current_schema()::regnamespace"
        ).fetchall()
        assert tables == [("bills",)]


def test_a_migration_after_the_deployment_waits_for_processes_that_do_not_know_it(postgres: str) -> None:
    last = MIGRATIONS[-1].version
    pre = Migration(last + 1, "pre", "CREATE TABLE added (number integer)", False)
    post = Migration(last + 2, "post", "DROP TABLE added", True)
    with psycopg.connect(postgres, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:

        def applied() -> list[int]:
            rows = connection.execute("SELECT version FROM perdure_migrations ORDER BY version")
            return [version for (version,) in rows if version > last]

        with closing(PostgresStore(postgres)) as old:
            created(old)
            connection.execute(
                "INSERT INTO openings VALUES ('old', $1, unix_time()) ON CONFLICT DO NOTHING", [last]
            )
            migrate(connection, "db", [*MIGRATIONS, pre, post])
            assert applied() == [last + 1]
            append(old, 0)
            with closing(PostgresStore(postgres)) as restarted:
                append(restarted, 1)
        connection.execute("UPDATE openings SET seen = seen - 61")
        migrate(connection, "db", [*MIGRATIONS, pre, post])
        migrate(connection, "db", [*MIGRATIONS, pre, post])
        assert applied() == [last + 1, last + 2]
        with pytest.raises(NewerSchema):
            PostgresStore(postgres)


def test_many_processes_may_create_the_schema_at_once(postgres: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: PostgresStore(postgres), range(4)))
    assert len({store.identity for store in stores}) == 1
    for store in stores:
        store.close()


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'perdure\[postgres\]'"):
        open_store("postgresql://host/db")


def test_a_url_that_libpq_does_not_understand_is_refused_without_its_password() -> None:
    with pytest.raises(Invalid) as refused:
        open_store("postgresql://ann:secret@host/db?nonsense=1")
    assert "secret" not in str(refused.value)


def test_a_loss_cannot_be_accepted(postgres: str) -> None:
    with pytest.raises(Invalid, match="accept-loss"):
        open_store(postgres, StoreOptions(accept_loss=True))


def test_closing_ends_what_has_lost_a_cancellation(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def probing(_: Writer) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # as the pool does if a connection comes meanwhile
            await asyncio.sleep(WAIT)
        await asyncio.sleep(WAIT)

    monkeypatch.setattr(Writer, "_keep_probing", probing)
    store = PostgresStore(url)
    created(store)
    closer = threading.Thread(target=store.close, daemon=True)
    closer.start()
    closer.join(WAIT / 2)
    assert not closer.is_alive()
