"""The conformance suite of stores: a store's attributes, and its copy."""

import re
from contextlib import closing
from pathlib import Path

from perdure.errors import StoreLocked, WrongStore
from perdure.stores.open import open_store
from perdure.testing.store_opening import StoreOpening
from perdure.testing.store_samples import created
from perdure.testing.store_sharing import SharedStoreConformance

__all__ = ["DurableFactConformance", "FactConformance"]


class FactConformance(StoreOpening):
    """The tests of a store's attributes."""

    def test_it_says_where_it_is_and_what_it_measures(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store, steps=2)
            assert store.file is None or store.file.is_absolute()
            assert re.fullmatch(r"[0-9A-Za-z]+", store.identity)
            assert store.waiting == 0
            assert store.commits.count > 0
            assert store.commits.seconds >= 0
            assert all(name and size >= 0 for name, size in store.sizes.items())

    def test_one_that_can_be_shared_runs_the_suite_of_that_and_no_other_does(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            assert store.shared == isinstance(self, SharedStoreConformance)

    def test_a_copy_is_a_store_by_itself_unless_copies_are_refused(self, tmp_path: Path) -> None:
        copy = tmp_path / "copy.db"
        with self.opened(tmp_path) as store:
            created(store, steps=2)
            try:
                store.backup(copy)
            except WrongStore:
                assert not copy.exists()
                return
            before = (store.run("run"), store.steps("run"))
        with closing(open_store(f"sqlite:///{copy}")) as copied:
            assert (copied.run("run"), copied.steps("run")) == before


class DurableFactConformance(StoreOpening):
    """The tests of the attributes of a store that outlives its closing."""

    def test_it_lasts_under_one_identity(self, tmp_path: Path) -> None:
        places = [tmp_path / "one", tmp_path / "another"]
        found = []
        for place in (*places, *places):
            place.mkdir(exist_ok=True)
            with self.opened(place) as store:
                assert not store.ephemeral
                found.append((store.identity, store.file))
        assert found[:2] == found[2:]
        assert found[0][0] != found[1][0]

    def test_it_is_open_once_unless_it_can_be_shared(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as store:
            created(store)
            try:
                self.open_store(tmp_path).close()
                refused = False
            except StoreLocked:
                refused = True
            assert refused != store.shared
            assert store.run("run").position == 0
