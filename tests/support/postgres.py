"""PostgreSQL and pgbouncer for tests: the real ones, on Unix sockets in folders of their own.

A test asks for the fixture `postgres`, the URL of an empty database of its own on a server that the test
process shares, or for `bounced`, the same database through pgbouncer in transaction mode. A test that kills
or freezes a server starts one of its own with `postgres_server` and `pgbouncer`.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from tests.support.services import Service, program, run_as_user, service_folder

PORT = 5432  # names the socket; nothing listens on TCP
DEBIAN = Path("/usr/lib/postgresql")  # PATH doesn't have the programs of its versions
USER = "perdure"

FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}

_names = (f"perdure_{number}" for number in count(1))


def url_of(folder: Path, database: str, *others: Path) -> str:
    """Return the URL of a database by the folder of its server's socket, and those of its other servers."""
    hosts = ",".join(quote(str(each), safe="") for each in (folder, *others))
    return f"postgresql://{USER}@/{database}?host={hosts}&port={PORT}"


def _program(name: str) -> str:
    versions = sorted(DEBIAN.glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True)
    return program(name, "PostgreSQL", "postgresql", *versions)


class PostgresServer:
    """A server, or the standby of another one; `service` starts, stops, kills or freezes it."""

    def __init__(
        self, folder: Path, *, durable: bool = False, primary: "PostgresServer | None" = None
    ) -> None:
        self.folder = folder
        data = folder / "data"
        if primary is None:
            make = [_program("initdb"), "--auth=trust", "--encoding=UTF8", "--no-locale"]
        else:
            make = [_program("pg_basebackup"), f"--host={primary.folder}", f"--port={PORT}"]
            make += ["--checkpoint=fast", "--write-recovery-conf"]
        run_as_user([*make, "--no-sync", f"--username={USER}", f"--pgdata={data}"], cwd="/")
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(folder),
            "port": str(PORT),
            "max_connections": "200",
            "shared_buffers": "32MB",
            "autovacuum_naptime": "5s",
            **(DURABLE if durable else FAST),
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [_program("postgres"), "-D", str(data), *options]
        log, again = folder / "log", "is still in use"  # the shared memory, by connections of a killed server
        self.service = Service(command, log, self._answers, end="QUIT", again=again)
        folder.chmod(0o711)  # clients of other users enter it for the socket

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database."""
        return url_of(self.folder, database)

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Execute a statement outside of a transaction, and return its rows."""
        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def database(self) -> Iterator[str]:
        """Create an empty database, yield its name, and drop it."""
        name = self.create()
        try:
            yield name
        finally:
            self.drop(name)

    def create(self) -> str:
        """Create an empty database and return its name."""
        name = next(_names)
        self.execute(f"CREATE DATABASE {name}")
        return name

    def drop(self, name: str) -> None:
        """Drop a database, with all connections to it."""
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _answers(self) -> bool:
        try:
            return self.execute("SELECT 1") == [(1,)]
        except psycopg.OperationalError:
            return False


@contextmanager
def postgres_server(
    *, durable: bool = False, parent: Path | None = None, primary: PostgresServer | None = None
) -> Iterator[PostgresServer]:
    """Run a server of the caller's own; a durable one syncs its commits, to the disk if it is in `parent`.

    With `primary`, it is a standby of that one, which follows it until it is promoted.
    """
    _program("postgres")
    with service_folder("postgres", parent) as folder:
        server = PostgresServer(folder, durable=durable, primary=primary)
        server.service.start()
        try:
            yield server
        finally:
            server.service.stop()


class Bouncer:
    """A pgbouncer in transaction mode; `service` starts, stops, kills or freezes it."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self.folder = folder
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            "[databases]\n"
            f"* = host={server.folder} port={PORT} user={USER}\n"
            "[pgbouncer]\n"
            "listen_addr =\n"
            f"unix_socket_dir = {folder}\n"
            f"listen_port = {PORT}\n"
            "auth_type = any\n"
            "pool_mode = transaction\n"
            "default_pool_size = 10\n"
            "max_client_conn = 500\n"
            "server_login_retry = 0.1\n"
        )
        settings.chmod(0o644)
        folder.chmod(0o711)
        command = [program("pgbouncer", "pgbouncer", "pgbouncer"), str(settings)]
        self.service = Service(command, folder / "log", self._answers, end="TERM")

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database of its server."""
        return url_of(self.folder, database)

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.url(), autocommit=True, connect_timeout=10) as connection:
                return connection.execute("SELECT 1").fetchall() == [(1,)]
        except psycopg.OperationalError:
            return False


@contextmanager
def pgbouncer(server: PostgresServer) -> Iterator[Bouncer]:
    """Run a pgbouncer of the caller's own in front of a server."""
    with service_folder("pgbouncer") as folder:
        bouncer = Bouncer(folder, server)
        bouncer.service.start()
        try:
            yield bouncer
        finally:
            bouncer.service.stop()


@pytest.fixture(scope="session")
def shared_postgres() -> Iterator[PostgresServer]:
    """A server that all tests of a process share: they don't stop it."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def shared_pgbouncer(shared_postgres: PostgresServer) -> Iterator[Bouncer]:
    """A pgbouncer that all tests of a process share: they don't stop it."""
    with pgbouncer(shared_postgres) as bouncer:
        yield bouncer


class Databases:
    """Databases with the schema of a store, emptied and used again: that is quicker than new ones."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._free: list[str] = []

    def take(self) -> str:
        """Return the URL of a database that nobody else uses; it has no runs."""
        return self._server.url(self._free.pop() if self._free else self._server.create())

    def give_back(self, urls: Iterable[str]) -> None:
        """Empty databases, also those in which no store was made."""
        for url in urls:
            with psycopg.connect(url) as connection:
                for table in ("runs", "records", "blobs", "openings"):
                    if connection.execute("SELECT to_regclass(%s)", [table]).fetchone() != (None,):
                        connection.execute(f"DELETE FROM {table}".encode())
            self._free.append(url.partition("@/")[2].partition("?")[0])


@pytest.fixture(scope="session")
def databases(shared_postgres: PostgresServer) -> Databases:
    """Databases of stores for tests that open many of them."""
    return Databases(shared_postgres)


@pytest.fixture
def postgres(shared_postgres: PostgresServer) -> Iterator[str]:
    """The URL of an empty database of the test's own."""
    with shared_postgres.database() as name:
        yield shared_postgres.url(name)


@pytest.fixture
def bounced(postgres: str, shared_postgres: PostgresServer, shared_pgbouncer: Bouncer) -> str:
    """The URL of the test's own database through pgbouncer; `postgres` is that without it."""
    return postgres.replace(
        quote(str(shared_postgres.folder), safe=""), quote(str(shared_pgbouncer.folder), safe="")
    )
