"""The schema of the PostgreSQL store: creates and migrates it, under a lock that all processes share."""

from collections.abc import Sequence
from typing import Any

import psycopg

from perdure.errors import NewerSchema, NotAStore, StoreNotFound
from perdure.stores.postgres.queries import MIGRATIONS
from perdure.stores.postgres.readers import run
from perdure.stores.queries import Migration

__all__ = ["MIGRATE_SECONDS", "OPEN_SECONDS", "migrate"]

MIGRATE_SECONDS = 120.0  # for a statement of a migration, and for the migration of another process
IDLE_SECONDS = 30.0  # of a process in its migration, after which the server ends it

OPEN_SECONDS = 60.0
"""Seconds since a process was last seen, after which it doesn't have the store open any more."""


def migrate(
    connection: psycopg.Connection[Any],
    name: str,
    migrations: Sequence[Migration] = MIGRATIONS,
    *,
    create: bool = True,
) -> None:
    """Apply the migrations that a database lacks, in one transaction.

    A migration after the deployment, and those behind it, wait while a process has the store open that
    doesn't know it: the next opening tries again.

    Raises
    ------
    StoreNotFound
        If the database has no store and `create` is False.
    NotAStore
        If it has tables of another program, or another encoding than UTF-8.
    NewerSchema
        If a migration after the deployment of a newer version was applied; the database is left unchanged.
    """
    with connection.transaction():
        run(connection, "limit_idle", str(int(IDLE_SECONDS * 1000)))
        run(connection, "limit_statements", str(int(MIGRATE_SECONDS * 1000)))
        run(connection, "lock_migrations")
        ((encoding, is_store, is_empty),) = run(connection, "look_at_database")
        if encoding != "UTF8":
            raise NotAStore(path=name, reason=f"its encoding is {encoding}, and must be UTF8")
        if not is_store:
            if not create:
                raise StoreNotFound(store=name)
            if not is_empty:
                raise NotAStore(path=name, reason="its schema has tables of another program")
            run(connection, "create_migrations")
        applied: dict[int, bool] = dict(run(connection, "list_migrations"))
        known = migrations[-1].version
        newer = [version for version, post in applied.items() if post and version > known]
        if newer:
            raise NewerSchema(what=f"The store {name}", found=max(newer), known=known)
        for migration in migrations:
            if migration.version in applied:
                continue
            if migration.post and run(connection, "find_older_opening", migration.version, OPEN_SECONDS):
                break
            connection.execute(migration.script)
            run(connection, "note_migration", migration.version, migration.name, migration.post)
