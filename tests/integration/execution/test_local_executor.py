"""The local executor does what every executor does."""

import secrets

from perdure.execution.local import LocalExecutor
from perdure.stores.base import Store
from perdure.testing.executors import BODIES, ExecutorConformance


class TestLocalExecutor(ExecutorConformance):
    """Runs the whole suite."""

    def opened(self, store: Store) -> LocalExecutor:
        return LocalExecutor(store, BODIES, identity=secrets.token_hex(8))
