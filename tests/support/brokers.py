"""Redis and RabbitMQ for tests: the real ones, on free ports of loopback and in folders of their own.

A test asks for the fixture `redis_url` or `rabbitmq_url`, the URL of an empty database or virtual host of
its own on a server that the test process shares. A test that empties, stops, kills or freezes a server
starts one of its own with `redis_server` or `rabbitmq_server`.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from subprocess import DEVNULL

import pytest
from tests.support.services import Service, program, run_as_user, service_folder

LOOPBACK = "127.0.0.1"
DATABASES = 10_000

RABBITMQ = sorted(Path("/usr/lib/rabbitmq/bin").glob("rabbitmq-server"))
"""The program itself; that in PATH runs it as a user of its own, in the folders of the system."""

ADD_HOST = (
    'rabbit_vhost:add(<<"{host}">>, <<"tests">>), rabbit_auth_backend_internal:set_permissions('
    '<<"guest">>, <<"{host}">>, <<".*">>, <<".*">>, <<".*">>, <<"tests">>).'
)

EPMD = sorted(Path("/usr/lib/erlang").glob("erts-*/bin"), reverse=True)

_databases = count(1)
_hosts = (f"perdure-{number}" for number in count(1))


def free_ports(number: int) -> list[int]:
    """Return ports that were free a moment ago."""
    held = [socket.create_server((LOOPBACK, 0)) for _ in range(number)]
    try:
        return [it.getsockname()[1] for it in held]
    finally:
        for it in held:
            it.close()


class RedisServer:
    """A Redis that keeps its data while it runs; `service` starts, stops, kills or freezes it."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        options = {
            "port": self.port,
            "bind": LOOPBACK,
            "dir": folder,
            "databases": DATABASES,
            "appendonly": "no",
        }
        given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        command = [program("redis-server", "Redis", "redis-server"), *given, "--save", ""]
        self.service = Service(command, folder / "log", self._answers)

    def url(self, database: int = 0) -> str:
        """Return the URL of a database, which is empty unless it was used."""
        return f"redis://{LOOPBACK}:{self.port}/{database}"

    def new_url(self) -> str:
        """Return the URL of an empty database that nobody else uses."""
        return self.url(next(_databases))

    def flush(self) -> None:
        """Delete all that it has."""
        assert self.ask("FLUSHALL").startswith("+OK")

    def ask(self, command: str) -> str:
        """Send a command, and return the first part of the answer as it comes."""
        with socket.create_connection((LOOPBACK, self.port), timeout=60) as connection:
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(65536).decode()

    def _answers(self) -> bool:
        return self.ask("PING").startswith("+PONG")


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """Run a Redis of the caller's own."""
    with service_folder("redis") as folder:
        server = RedisServer(folder)
        server.service.start()
        try:
            yield server
        finally:
            server.service.stop()


class RabbitServer:
    """A RabbitMQ; `service` starts, stops, kills or freezes it. It needs some seconds to start."""

    def __init__(self, folder: Path) -> None:
        self.port, distribution, names = free_ports(3)
        self._node = f"perdure-{self.port}@localhost"
        self._environment = {
            "HOME": str(folder),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_EPMD_PORT": str(names),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1",
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RUNNING_UNDER_SYSTEMD": "yes",  # without a shell around it, so that a signal reaches it
        }
        epmd = program("epmd", "Erlang", "rabbitmq-server", *EPMD)
        # Otherwise RabbitMQ starts one, which outlives it.
        self.names = Service(
            [epmd], folder / "names.log", lambda: _listens(names), environment=self._environment
        )
        server = program("rabbitmq-server", "RabbitMQ", "rabbitmq-server", *(it.parent for it in RABBITMQ))
        self.service = Service([server], folder / "log", self._answers, environment=self._environment)

    def url(self, host: str) -> str:
        """Return the URL of a virtual host."""
        return f"amqp://guest:guest@{LOOPBACK}:{self.port}/{host}"

    def add_host(self) -> str:
        """Make an empty virtual host, and return its URL."""
        host = next(_hosts)
        control = program("rabbitmqctl", "RabbitMQ", "rabbitmq-server", *(it.parent for it in RABBITMQ))
        made = [f"{name}={value}" for name, value in self._environment.items()]
        run_as_user(["env", *made, control, "eval", ADD_HOST.format(host=host)], cwd="/", stdin=DEVNULL)
        return self.url(host)

    def _answers(self) -> bool:
        """Return whether it greets with the method `connection.start`, number 10 of class 10."""
        with socket.create_connection((LOOPBACK, self.port), timeout=60) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(11)[7:11] == bytes([0, 10, 0, 10])


def _listens(port: int) -> bool:
    with socket.create_connection((LOOPBACK, port), timeout=60):
        return True


@contextmanager
def rabbitmq_server() -> Iterator[RabbitServer]:
    """Run a RabbitMQ of the caller's own."""
    with service_folder("rabbitmq") as folder:
        server = RabbitServer(folder)
        server.names.start()
        try:
            server.service.start()
            yield server
        finally:
            server.service.stop()
            server.names.stop()


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    """A Redis that all tests of a process share: they don't stop it, and don't empty it."""
    with redis_server() as server:
        yield server


@pytest.fixture(scope="session")
def shared_rabbitmq() -> Iterator[RabbitServer]:
    """A RabbitMQ that all tests of a process share: they don't stop it."""
    with rabbitmq_server() as server:
        yield server


@pytest.fixture
def redis_url(shared_redis: RedisServer) -> str:
    """The URL of an empty database of the test's own."""
    return shared_redis.new_url()


@pytest.fixture
def rabbitmq_url(shared_rabbitmq: RabbitServer) -> str:
    """The URL of an empty virtual host of the test's own."""
    return shared_rabbitmq.add_host()
