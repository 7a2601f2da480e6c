"""The copy of a store in another store, which may be of another kind: runs, documents and blobs, as they are.

A copy is brought up to date as often as needed; each time only what differs is written. Until it is finished,
a document of it names the copied store, and nobody else opens it. When it is finished, a document of the
copied store names the copy. So no two stores go on from one log.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice

import msgspec
from msgspec.structs import replace

from perdure.errors import (
    CopyRefused,
    CorruptBlob,
    Damaged,
    RunNotFound,
    StoreClosed,
    StoreInUse,
    StoreIsCopy,
)
from perdure.lifecycle import TABLES
from perdure.run import Entry, LogLine
from perdure.state.codec import check, decode, encode
from perdure.stores.base import Store, Version
from perdure.stores.commands import (
    CopiedBlob,
    CopyBlobs,
    CopyDocument,
    CopyRun,
    DeleteDocument,
    DeleteRun,
    ForgetBlobs,
    PutDocument,
    RaiseCounters,
    ReadBlobs,
    ReadCounters,
    ReadDialects,
    ReadRun,
    RunCopy,
)
from perdure.stores.run_list import ALL, Cursor, RunOrder

__all__ = ["StoreCopy", "check_closed", "check_copies", "reopen"]

DIALECT = "copy"
OF, TO = "of", "to"  # documents of a copy that isn't finished, and of a store that was closed
OWN = frozenset({DIALECT, "artifacts"})
"""Dialects whose documents are about the store itself; they aren't copied."""

PAGE = 1000


class Copied(msgspec.Struct):
    """How much was written to a copy."""

    runs: int = 0
    steps: int = 0
    deleted: int = 0
    documents: int = 0


class StoreCopy:
    """Makes a store equal to another one; nobody else has the copy open.

    Parameters
    ----------
    source, target
        The stores.
    names
        How messages name them.

    Attributes
    ----------
    copied
        How much was written.
    damaged
        A sentence for each damage in the source. What is damaged isn't copied.
    """

    def __init__(self, source: Store, target: Store, names: tuple[str, str]) -> None:
        self._source = source
        self._target = target
        self._names = names
        self._replaced: list[int] = []
        self._versions: dict[str, Version] = {}
        self.copied = Copied()
        self.damaged: list[str] = []

    def check_target(self) -> None:
        """Make an empty target a copy of the source.

        Raises
        ------
        CopyRefused
            If it has content of its own, or is a copy of another store.
        StoreInUse
            If other processes have it open.
        """
        source, target = self._names
        mark = self._target.document(DIALECT, OF)
        if mark is None:
            self._check_empty()
            self._target.submit(PutDocument(DIALECT, OF, encode(source), None)).result()
            try:
                _check_unused(self._target, target)
                self._check_empty()  # who had it open before it was marked may have written
            except (CopyRefused, StoreInUse):
                self._target.submit(DeleteDocument(DIALECT, OF)).result()
                raise
        elif (other := decode(mark.blob)) != source:
            raise CopyRefused(source=source, target=target, reason=f"it is a copy of {other}")
        _check_unused(self._target, target)

    def close(self) -> None:
        """Close the source permanently: it names the copy, which takes its place.

        Raises
        ------
        StoreInUse
            If other processes have it open, which don't notice. Unless it was closed before, it is opened
            again.
        """
        source, target = self._names
        closed = self._source.document(DIALECT, TO) is not None
        if not closed:
            self._source.submit(PutDocument(DIALECT, TO, encode(target), None)).result()
        try:
            _check_unused(self._source, source)
        except StoreInUse:
            if not closed:
                self._source.submit(DeleteDocument(DIALECT, TO)).result()
            raise

    def begin(self) -> Sequence[str]:
        """Copy the blobs, delete runs that the source doesn't have, and return the ids of all others."""
        self.damaged += self._source.check()
        self._copy_blobs()
        here, there = _numbers(self._source), _numbers(self._target)
        self._versions = _versions(self._source, here)
        for run_id in [run_id for run_id, number in there.items() if here.get(run_id) != number]:
            self._target.submit(DeleteRun(run_id)).result()
            self.copied.deleted += 1
        return sorted(here, key=lambda run_id: here[run_id])

    def copy_run(self, run_id: str, *, verify: bool = False) -> None:
        """Copy a run, if it isn't as in the source; with `verify`, compare all of it in any case."""
        try:
            self._copy_run(run_id, verify)
        except RunNotFound:  # it was deleted meanwhile
            with suppress(RunNotFound):
                self._target.submit(DeleteRun(run_id)).result()
        except Damaged as error:
            self.damaged.append(f"the run {run_id!r}: {error}")

    def end(self) -> None:
        """Copy the documents and the counters, and forget blobs that the source doesn't have."""
        here = self._source.submit(ReadDialects()).result()
        for dialect in sorted({*here, *self._target.submit(ReadDialects()).result()} - OWN):
            kept = {it.id: it for it in self._source.documents(dialect)}
            former = {it.id: it for it in self._target.documents(dialect)}
            for document in kept.values():
                if former.get(document.id) != document:
                    self._target.submit(CopyDocument(dialect, document)).result()
                    self.copied.documents += 1
            for gone in former.keys() - kept.keys():
                self._target.submit(DeleteDocument(dialect, gone)).result()
            if {it.id: it for it in self._target.documents(dialect)} != kept:
                raise CorruptBlob(reason=f"the documents of {dialect} differ in the copy")
        if self._replaced:
            self._target.submit(ForgetBlobs(self._replaced)).result()
        self._target.submit(RaiseCounters(self._source.submit(ReadCounters()).result())).result()

    def is_written(self) -> bool:
        """Return whether somebody has changed runs of the source since `begin`."""
        return _versions(self._source, _numbers(self._source)) != self._versions

    def check_unused(self) -> None:
        """Raise `StoreInUse` if other processes have one of the stores open."""
        _check_unused(self._source, self._names[0])
        _check_unused(self._target, self._names[1])

    def finish(self) -> None:
        """Let the copy be opened: it is a store of its own from now on."""
        self._target.submit(DeleteDocument(DIALECT, OF)).result()

    # The work -----------------------------------------------------------------------------------------------

    def _check_empty(self) -> None:
        dialects = set(self._target.submit(ReadDialects()).result()) - OWN
        if dialects or self._target.runs(limit=1):
            source, target = self._names
            reason = "it has content of its own; name a new store"
            raise CopyRefused(source=source, target=target, reason=reason)

    def _copy_blobs(self) -> None:
        here, there = _blobs(self._source), _blobs(self._target)
        self._replaced = [number for number in there if number not in here]
        added = [blob for number, blob in here.items() if number not in there]
        stored = [it.number for it in here.values() if it.stored and there.get(it.number) != it]
        self._target.submit(CopyBlobs(self._replaced, added, stored)).result()

    def _copy_run(self, run_id: str, verify: bool) -> None:
        here = self._source.submit(ReadRun(run_id)).result()
        there = self._read_there(here)
        position = begun = 0 if there is None else there.run.position
        lines = _lines(self._source, here)
        if there != here or lines != _lines(self._target, here):
            # Keys refer to their run; in the order of the runs none is taken yet.
            keys = dict(self._source.step_keys(run_id, position))
            while True:
                size = min(PAGE, here.run.position - position)
                steps = self._source.steps(run_id, position, size) if size else ()
                entries = [
                    Entry(inputs=it.inputs, outputs=it.outputs, key=keys.get(it.position)) for it in steps
                ]
                reached = position + len(entries)
                last = reached == here.run.position
                part = here if last else _unfinished(here, reached)
                self._target.submit(CopyRun(part, position, entries, lines if last else ())).result()
                position = reached
                if last:
                    break
            self.copied.runs += 1
            self.copied.steps += position - begun
        elif not verify:
            return
        self._verify(here, lines, 0 if verify else begun)

    def _read_there(self, here: RunCopy) -> RunCopy | None:
        """Return what the target has of a run; one that the source's run doesn't go on from is deleted."""
        run = here.run
        try:
            there = self._target.submit(ReadRun(run.id)).result()
        except RunNotFound:
            return None
        except Damaged:
            there = None
        if there is not None and there.run.position <= run.position:
            last = there.run.position
            if not last or _step(self._source, run.id, last) == _step(self._target, run.id, last):
                return there
        self._target.submit(DeleteRun(run.id)).result()
        return None

    def _verify(self, here: RunCopy, lines: Sequence[LogLine], after: int) -> None:
        """Compare a run of the copy with the source, and check each checksum, from a step on."""
        run = here.run
        if self._target.submit(ReadRun(run.id)).result() != here or _lines(self._target, here) != lines:
            raise CorruptBlob(reason="its record, savepoints or output lines differ in the copy")
        keys = [it for it in self._source.step_keys(run.id, after) if it[0] <= run.position]
        if list(self._target.step_keys(run.id, after)) != keys:
            raise CorruptBlob(reason="the keys of its steps differ in the copy")
        checked = run.kind in TABLES  # of other kinds nobody knows what their blobs are
        for savepoint in here.savepoints if checked else ():
            check(savepoint.blob)
        while after < run.position:
            size = min(PAGE, run.position - after)
            steps = self._target.steps(run.id, after, size)
            if list(steps) != list(self._source.steps(run.id, after, size)):
                raise CorruptBlob(reason=f"its steps after step {after} differ in the copy")
            for blob in (blob for step in steps for blob in (step.inputs, step.outputs)):
                if checked and blob is not None:
                    check(blob)
            after += size


def check_copies(store: Store, name: str) -> None:
    """Raise if a store must not be worked on.

    Raises
    ------
    StoreClosed
        If it was closed when it was copied to another one.
    StoreIsCopy
        If it is a copy that isn't finished.
    """
    with suppress(Damaged):
        if (closed := store.document(DIALECT, TO)) is not None:
            raise StoreClosed(store=name, target=decode(closed.blob))
        if (mark := store.document(DIALECT, OF)) is not None:
            raise StoreIsCopy(store=name, source=decode(mark.blob))


def check_closed(store: Store, name: str, target: str) -> None:
    """Raise as `check_copies` does, unless a store was closed when it was copied to this target."""
    closed = store.document(DIALECT, TO)
    if closed is None or decode(closed.blob) != target:
        check_copies(store, name)


def _check_unused(store: Store, name: str) -> None:
    """Raise `StoreInUse` if other processes have a store open.

    They don't look for the documents that `check_copies` reads: those must be written before this is called.
    """
    if others := store.other_openings():
        raise StoreInUse(store=name, processes=len(others))


def reopen(store: Store) -> bool:
    """Let a closed store, or an unfinished copy, be opened again; return whether it was either of them."""
    marks = [id for id in (OF, TO) if store.document(DIALECT, id) is not None]
    for id in marks:
        store.submit(DeleteDocument(DIALECT, id)).result()
    return bool(marks)


def _numbers(store: Store) -> dict[str, int]:
    """Return the numbers of all runs that can be read, by their ids."""
    found: dict[str, int] = {}
    cursor: Cursor | None = None
    while runs := store.runs(ALL, order=RunOrder.CREATED, limit=PAGE, cursor=cursor):
        found |= {run.id: run.number for run in runs}
        cursor = Cursor.behind(runs[-1], RunOrder.CREATED)
    return found


def _versions(store: Store, ids: Iterable[str]) -> dict[str, Version]:
    """Return the versions of runs by their ids."""
    found: dict[str, Version] = {}
    rest = iter(ids)
    while page := list(islice(rest, PAGE)):
        found |= store.versions(page)
    return found


def _blobs(store: Store) -> Mapping[int, CopiedBlob]:
    """Return all blobs by their numbers."""
    found: dict[int, CopiedBlob] = {}
    after = 0
    while page := store.submit(ReadBlobs(after, PAGE)).result():
        found |= {blob.number: blob for blob in page}
        after = page[-1].number
    return found


def _lines(store: Store, copied: RunCopy) -> list[LogLine]:
    """Return the output lines of a run that a store holds, up to the last one of the copied run."""
    lines: list[LogLine] = []
    after = 0
    while page := store.log_lines(copied.run.id, after, PAGE) if copied.execution is not None else ():
        lines += [line for line in page if line.number <= copied.lines]
        after = page[-1].number
    return lines


def _step(store: Store, run_id: str, position: int) -> object:
    return store.steps(run_id, position - 1, 1)


def _unfinished(copied: RunCopy, position: int) -> RunCopy:
    """Return what a copy has of a run while its steps are being copied."""
    return RunCopy(replace(copied.run, position=position), copied.key, None, 0, ())
