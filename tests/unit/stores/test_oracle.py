"""The oracle, which the stores are compared with, does what every store does."""

from pathlib import Path

from tests.support.oracle import OracleStore

from perdure.testing.stores import StoreConformance


class TestOracle(StoreConformance):
    """Runs the whole suite."""

    def open_store(self, folder: Path, *, keep: int = 3, keep_lines: int = 10_000) -> OracleStore:
        return OracleStore(keep=keep, keep_lines=keep_lines)
