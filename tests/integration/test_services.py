"""The real services of the tests: each test has its own part of them, and nothing is left behind."""

import subprocess
import sys

import psycopg
import pytest
from kombu.connection import Connection
from redis import Redis
from tests.support.brokers import redis_server
from tests.support.postgres import pgbouncer, postgres_server
from tests.support.processes import below, until_gone
from tests.support.served import ROOT


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_database_is_a_tests_own(postgres: str, bounced: str, attempt: int) -> None:
    with psycopg.connect(postgres) as connection:
        connection.execute("CREATE TABLE only_here (number integer)")
    with psycopg.connect(bounced, prepare_threshold=None) as connection:
        assert connection.execute("SELECT count(*) FROM only_here").fetchone() == (0,)


def test_a_killed_server_keeps_what_it_committed_and_starts_again() -> None:
    with postgres_server(durable=True) as server, pgbouncer(server) as bouncer:
        server.execute("CREATE TABLE kept (number integer)")
        server.execute("INSERT INTO kept VALUES (1)")
        server.service.kill()
        with pytest.raises(psycopg.OperationalError):
            server.execute("SELECT 1")
        server.service.start()
        assert server.execute("SELECT number FROM kept") == [(1,)]
        bouncer.service.kill()
        bouncer.service.start()
        with psycopg.connect(bouncer.url(), prepare_threshold=None) as connection:
            assert connection.execute("SELECT number FROM kept").fetchall() == [(1,)]


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_database_of_redis_is_a_tests_own(redis_url: str, attempt: int) -> None:
    with Redis.from_url(redis_url) as redis:
        assert redis.dbsize() == 0
        redis.set("only", "here")


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_virtual_host_of_rabbitmq_is_a_tests_own(rabbitmq_url: str, attempt: int) -> None:
    with Connection(rabbitmq_url) as connection, connection.channel() as channel:
        channel.queue_declare("queue", auto_delete=False)
        assert channel.queue_declare("queue", passive=True).message_count == 0
        channel.basic_publish(channel.prepare_message(b"only here"), routing_key="queue")


def test_a_redis_can_be_emptied_killed_and_started_again_at_its_url() -> None:
    with redis_server() as server, Redis.from_url(server.url()) as redis:
        redis.set("kept", "here")
        server.flush()
        assert redis.get("kept") is None
        server.service.kill()
        server.service.start()
        redis.set("kept", "again")
        assert redis.get("kept") == b"again"


HOLD = """
import sys
from tests.support.postgres import postgres_server
with postgres_server() as server:
    print(server.service.pid, flush=True)
    sys.stdin.read()
"""


def test_a_server_ends_with_a_killed_test_process() -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        pid = int(holder.stdout.readline())
        family = {pid, *below(pid)}
        holder.kill()
        assert all(until_gone(it) for it in family)
    finally:
        holder.kill()
        holder.communicate()
