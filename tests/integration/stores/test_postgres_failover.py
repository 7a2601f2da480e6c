"""A synchronous standby takes the place of its primary: nothing that was acknowledged is lost or doubled."""

import threading
import time
from contextlib import closing

from tests.support.postgres import PostgresServer, postgres_server, url_of

from perdure.stores.commands import Append, Unleased
from perdure.stores.options import StoreOptions
from perdure.stores.postgres.store import PostgresStore
from perdure.testing.store_samples import WAIT, a_key, a_step, an_entry, created

BEFORE, AFTER = 20, 20  # steps


def let_commits_wait_for_the_standby(primary: PostgresServer) -> None:
    """Return when the standby follows and commits wait for it."""
    primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
    primary.execute("SELECT pg_reload_conf()")
    until = time.monotonic() + WAIT
    while not primary.execute("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"):
        assert time.monotonic() < until, "the standby doesn't follow"
        time.sleep(0.02)


def test_a_fail_over_loses_and_doubles_nothing() -> None:
    with postgres_server(durable=True) as primary, postgres_server(durable=True, primary=primary) as standby:
        url = url_of(primary.folder, "postgres", standby.folder)
        let_commits_wait_for_the_standby(primary)
        with closing(PostgresStore(url, StoreOptions(patience=WAIT))) as store:
            created(store)
            promoted = threading.Event()
            acknowledged: list[int] = []
            enough = threading.Semaphore(0)

            def step() -> None:
                """Take steps, each after the acknowledgement of the one before, until after the fail-over."""
                after = 0
                while after < AFTER:
                    number = len(acknowledged) + 1
                    entry = an_entry(number, a_key(f"key {number}"))
                    store.submit(Append("run", Unleased(0), number - 1, [entry])).result(WAIT)
                    acknowledged.append(number)
                    after += promoted.is_set()
                    enough.release()

            stepping = threading.Thread(target=step)
            stepping.start()
            for _ in range(BEFORE):
                assert enough.acquire(timeout=WAIT)
            primary.service.kill()
            assert standby.execute("SELECT pg_promote()") == [(True,)]
            promoted.set()
            stepping.join(WAIT)
            assert len(acknowledged) >= BEFORE + AFTER
            assert store.unavailable is None
        with closing(PostgresStore(standby.url())) as store:
            assert list(store.steps("run")) == [a_step(number) for number in acknowledged]
