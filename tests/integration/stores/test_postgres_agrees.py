"""Whatever is done to it, PostgreSQL answers as the other stores do, also at two openings in turn."""

from concurrent.futures import Future
from itertools import cycle
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis.stateful import initialize, run_state_machine_as_test
from msgspec.structs import replace
from tests.integration.stores.test_stores_agree import KEEP, Stores
from tests.support.oracle import OracleStore
from tests.support.postgres import Databases

from perdure.errors import Fenced, PerdureError
from perdure.run import Execution, Run
from perdure.stores.base import Store
from perdure.stores.commands import Append, Command, Committed, Document, Leased, PutSavepoint
from perdure.stores.options import StoreOptions
from perdure.stores.postgres.store import PostgresStore
from perdure.testing.store_samples import WAIT

NOBODYS = 1 << 40  # a token or version that nothing has


class Renumbered:
    """Two openings of a store in turn, with the tokens, versions and numbers of the oracle.

    PostgreSQL takes them from sequences, in which those of refused commands are missing.
    """

    def __init__(self, url: str, oracle: OracleStore) -> None:
        self.openings = [PostgresStore(url, StoreOptions(keep=KEEP, keep_lines=KEEP)) for _ in range(2)]
        self._turns = cycle(self.openings)
        self._oracle = oracle
        self._own: dict[int, int] = {0: 0}  # tokens and versions here by those of the oracle
        self._oracles: dict[int, int] = {0: 0}

    def close(self) -> None:
        for store in self.openings:
            store.close()

    def watch(self, callback: Any) -> None:
        for store in self.openings:
            store.watch(lambda change: callback(change) if isinstance(change, Committed) else None)

    def submit(self, command: Command[Any]) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            result = next(self._turns).submit(self._translated(command)).result(WAIT)
            done.set_result(self._back(result, getattr(command, "dialect", "")))
        except Fenced as error:
            values = error.values | {"fence": self._oracles.get(error.values["fence"], "?")}
            told = command.guard.token if isinstance(getattr(command, "guard", None), Leased) else None
            told = getattr(command, "token", told)
            done.set_exception(Fenced(**(values if told is None else values | {"fence": told})))
        except PerdureError as error:
            done.set_exception(error)
        return done

    def __getattr__(self, name: str) -> Any:
        read = getattr(next(self._turns), name)

        def renumbered(*given: Any, **options: Any) -> Any:
            dialect = given[0] if name in {"document", "documents"} else ""
            return self._back(read(*given, **options), dialect)

        return renumbered

    def _translated(self, command: Command[Any]) -> Command[Any]:
        changes: dict[str, Any] = {}
        if isinstance(getattr(command, "token", None), int):
            changes["token"] = self._here(command.token)
        if isinstance(command, Append | PutSavepoint) and isinstance(command.guard, Leased):
            changes["guard"] = Leased(self._here(command.guard.token))
        if isinstance(command, Append) and command.touch is not None:
            changes["touch"] = replace(command.touch, version=self._here(command.touch.version))
        if hasattr(command, "dialect") and getattr(command, "version", None) is not None:
            changes["version"] = self._here(command.version)
        return replace(command, **changes) if changes else command

    def _here(self, oracles: int) -> int:
        return self._own.get(oracles, NOBODYS + oracles if oracles > 0 else oracles)

    def _met(self, own: int, oracles: int) -> int:
        """Note that a number here is one of the oracle's; return what the oracle calls it."""
        known = self._oracles.setdefault(own, oracles)
        self._own[known] = own
        return known

    def _back(self, value: Any, dialect: str) -> Any:
        match value:
            case Run():
                return replace(value, number=self._oracle.run(value.id).number)
            case Execution():
                return replace(
                    value, fence=self._met(value.fence, self._oracle.execution(value.run_id).fence)
                )
            case Document():
                kept = self._oracle.document(dialect, value.id)
                return replace(value, version=self._met(value.version, kept.version if kept else -1))
            case list() | tuple() if not isinstance(value, msgspec.Struct):
                return type(value)(self._back(item, dialect) for item in value)
            case msgspec.Struct() if hasattr(value, "run") and isinstance(value.run, Run):
                return replace(value, run=self._back(value.run, dialect))
        return value


class StoresWithPostgres(Stores):
    """Does the same to a PostgreSQL store."""

    url = ""

    @initialize()
    def open(self) -> None:
        super().open()
        self.postgres: Any = Renumbered(self.url, self.oracle)
        self.versions[self.postgres] = {}
        self.watch(self.postgres)

    @property
    def stores(self) -> tuple[Store, ...]:
        return *super().stores, *([self.postgres] if hasattr(self, "postgres") else [])

    def reopen(self) -> None:
        """Leave the SQLite file open."""

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "postgres"):
            assert self.told[self.postgres] == self.told[self.oracle]
            self.postgres.close()


def test_postgresql_agrees_with_the_other_stores(databases: Databases) -> None:
    class Machine(StoresWithPostgres):
        def __init__(self) -> None:
            super().__init__()
            self.url = databases.take()

        def teardown(self) -> None:
            super().teardown()
            databases.give_back([self.url])

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=4,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
