"""No savepoint ever names a blob whose object is gone, in whatever order savepoints and sweeps come."""

import hashlib
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from perdure.artifacts import objects
from perdure.artifacts.blobs import Blobs
from perdure.artifacts.objects import Objects
from perdure.errors import ArtifactsUnavailable, CorruptBlob
from perdure.state.savepoint import Savepoint
from perdure.stores.commands import (
    Append,
    Blob,
    CreateRun,
    DeleteRun,
    ForgetBlobs,
    SweepBlobs,
    Unleased,
    UseBlobs,
    encoded,
)
from perdure.stores.memory import MemoryStore
from perdure.testing.store_samples import WAIT, a_run

RUNS = ("one", "two")
CONTENTS = {f"{number:064x}": b"%d" % number for number in range(4)}


class Interleaved(RuleBasedStateMachine):
    """Two savepoints under way, and two sweeps; each does one thing at a time, or ends in the midst."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.objects: set[tuple[int, str]] = set()
        self.under_way: dict[str, list[Blob]] = {}
        self.written: set[str] = set()
        self.sweeps: dict[int, list[Blob]] = {}
        self.named: dict[tuple[str, int], list[Blob]] = {}
        self.time = 0
        for run in RUNS:
            self.make(run)

    def make(self, run: str) -> None:
        savepoint = encoded(Savepoint(timestamp=0, entities={}))
        self.store.submit(CreateRun(a_run(run), savepoint)).result(WAIT)

    @rule(run=st.sampled_from(RUNS), hashes=st.sets(st.sampled_from(sorted(CONTENTS)), min_size=1))
    def begin(self, run: str, hashes: set[str]) -> None:
        """The former one of the run, if there is one, is broken off."""
        contents = [(digest, 1) for digest in sorted(hashes)]
        self.under_way[run] = self.store.submit(UseBlobs("ann", contents)).result(WAIT)
        self.written.discard(run)

    @rule(run=st.sampled_from(RUNS))
    def write(self, run: str) -> None:
        missing = [blob for blob in self.under_way.get(run, ()) if not blob.stored]
        self.objects.update((blob.number, blob.hash) for blob in missing)
        self.written.add(run)

    @precondition(lambda self: self.written & self.under_way.keys())
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(sorted(self.written & self.under_way.keys())))
        blobs, self.time = self.under_way.pop(run), self.time + 1
        savepoint = Savepoint(
            timestamp=self.time, entities={}, keep=2, blobs=frozenset(blob.number for blob in blobs)
        )
        guard = Unleased.of(self.store.run(run))
        try:
            self.store.submit(Append(run, guard, 0, (), encoded(savepoint))).result(WAIT)
        except ArtifactsUnavailable:
            return
        self.named[run, self.time] = blobs

    @rule(sweep=st.integers(0, 1))
    def sweep(self, sweep: int) -> None:
        self.sweeps[sweep] = self.store.submit(SweepBlobs(-1)).result(WAIT)

    @rule(sweep=st.integers(0, 1))
    def remove(self, sweep: int) -> None:
        self.objects -= {(blob.number, blob.hash) for blob in self.sweeps.get(sweep, ())}

    @rule(sweep=st.integers(0, 1))
    def forget(self, sweep: int) -> None:
        self.remove(sweep)
        blobs = self.sweeps.pop(sweep, [])
        self.store.submit(ForgetBlobs([blob.number for blob in blobs])).result(WAIT)

    @rule(run=st.sampled_from(RUNS))
    def delete(self, run: str) -> None:
        self.store.submit(DeleteRun(run)).result(WAIT)
        self.make(run)

    @invariant()
    def what_is_named_is_there(self) -> None:
        kept = {(run, info.timestamp) for run in RUNS for info in self.store.savepoints(run)}
        for place, blobs in self.named.items():
            if place in kept:
                assert {(blob.number, blob.hash) for blob in blobs} <= self.objects, place

    def teardown(self) -> None:
        self.store.close()


TestInterleaved = Interleaved.TestCase
TestInterleaved.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_blob_whose_write_was_cut_off_is_written_whole_the_next_time() -> None:
    stored = Objects("memory://blobs-cut-off")
    blobs = Blobs(stored, "ann/blobs")
    digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # of hello
    stored.create(f"ann/blobs/{digest}-1", b"hel")
    blobs.write(1, digest, b"hello")
    blobs.write(1, digest, b"hello")
    assert blobs.read(1, digest) == b"hello"


def test_a_blob_whose_writer_was_killed_before_its_folder_was_synced_is_durable_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = Blobs(Objects(str(tmp_path)), "ann/blobs")
    digest = hashlib.sha256(b"hello").hexdigest()
    synced: list[Path] = []

    def killed(folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(objects, "sync", killed)
    with pytest.raises(KeyboardInterrupt):
        blobs.write(1, digest, b"hello")
    monkeypatch.setattr(objects, "sync", synced.append)
    blobs.write(1, digest, b"hello")
    assert synced == [tmp_path / "ann" / "blobs"]


def test_a_blob_that_is_missing_or_damaged_is_an_error_that_names_it() -> None:
    stored = Objects("memory://blobs-damaged")
    blobs = Blobs(stored, "ann/blobs")
    stored.create("ann/blobs/0-1", b"other")
    for number, reason in ((1, "isn't what was written"), (2, "is missing")):
        try:
            blobs.read(number, "0")
        except CorruptBlob as error:
            assert f"ann/blobs/0-{number} {reason}" in str(error)
        else:
            raise AssertionError(number)


def test_owners_do_not_share_blobs() -> None:
    with closing(MemoryStore()) as store:
        one, two = (store.submit(UseBlobs(owner, [("a", 1)])).result(WAIT) for owner in ("ann", "bob"))
    assert one[0].number != two[0].number
