"""The copy of a store: whatever was done to a store, its copy has the same, however often it is made."""

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest
import typer.testing
from hypothesis import HealthCheck, settings
from hypothesis.stateful import rule
from tests.integration.stores.test_stores_agree import Stores
from tests.support.postgres import PostgresServer
from tests.support.server import running
from tests.support.small import NEW, STEP, numbers, sessions_on

from perdure.artifacts import Artifacts
from perdure.cli.commands import app
from perdure.errors import (
    NotExecuted,
    PerdureError,
    RunNotFound,
    StoreClosed,
    StoreInUse,
    StoreIsCopy,
    StoreLocked,
    WrongArtifacts,
)
from perdure.lifecycle import Outcome, RunStatus
from perdure.places import check_artifacts
from perdure.run import Change, Entry, LogLine
from perdure.settings import Settings
from perdure.state.codec import encode
from perdure.stores.base import Store
from perdure.stores.commands import (
    Append,
    CreateRun,
    CutLines,
    Finish,
    Lease,
    Leased,
    MarkSavepoint,
    MarkStored,
    PutDocument,
    ReadCounters,
    ReadRun,
    Recount,
    Report,
    Unleased,
    Use,
    UseBlobs,
    encoded,
)
from perdure.stores.commands.execution_rows import given_back
from perdure.stores.memory import MemoryStore
from perdure.stores.open import open_configured, open_store
from perdure.stores.run_list import RunOrder
from perdure.stores.sqlite import SqliteStore
from perdure.stores.store_copy import StoreCopy
from perdure.testing.store_samples import WAIT, a_key, a_run, a_savepoint, an_execution


def everything(store: Store, ids: Sequence[str], dialects: Sequence[str]) -> dict[str, Any]:
    """Return all that a store holds of these runs and dialects, by all reads."""
    found: dict[str, Any] = {}
    for id in ids:
        with suppress(RunNotFound):
            run = store.run(id)
            infos = list(store.savepoints(id))
            execution: Any = None
            with suppress(NotExecuted):
                execution = given_back(store.execution(id))
            found[id] = {
                "run": run,
                "key": store.creation_key(id),
                "steps": list(store.steps(id)),
                "keys": list(store.step_keys(id)),
                "savepoints": infos,
                "states": [store.savepoint(id, info.timestamp) for info in infos],
                "execution": execution,
                "lines": list(store.log_lines(id)) if execution is not None else [],
                "whole": store.submit(ReadRun(id)).result(WAIT),
            }
    for order in RunOrder:
        found[order] = [run.id for run in store.runs(order=order)]
    for dialect in dialects:
        found[f"documents of {dialect}"] = list(store.documents(dialect))
        found[f"uses of {dialect}"] = dict(store.uses(dialect))
    return found


def copied(source: Store, target: Store) -> StoreCopy:
    """Bring a copy up to date."""
    copying = StoreCopy(source, target, ("memory://source", "memory://target"))
    copying.check_target()
    for run in copying.begin():
        copying.copy_run(run)
    copying.end()
    return copying


class Copies(Stores):
    """Copies one of the stores from time to time, whatever is done to it in between."""

    @rule()
    def copy(self) -> None:
        if not hasattr(self, "target"):
            self.target = MemoryStore()
        copied(self.memory, self.target)
        dialects = ("ann", "bob")
        assert everything(self.target, "abc", dialects) == everything(self.memory, "abc", dialects)
        assert self.target.check() == []
        assert self.target.submit(Recount()).result(WAIT) == []
        here, there = (store.submit(ReadCounters()).result(WAIT) for store in (self.memory, self.target))
        assert there.runs == here.runs
        assert there.blobs >= here.blobs
        assert there.versions >= here.versions
        again = copied(self.memory, self.target).copied
        assert (again.runs, again.steps, again.deleted, again.documents) == (0, 0, 0, 0)

    def teardown(self) -> None:
        try:
            if hasattr(self, "memory"):
                self.copy()
                self.target.close()
        finally:
            super().teardown()


Copies.TestCase.settings = settings(
    max_examples=8, stateful_step_count=25, suppress_health_check=list(HealthCheck)
)
test_a_copy_has_what_the_store_has = Copies.TestCase


def filled(store: Store) -> None:
    """Fill a store with runs of several pages of steps, savepoints that name blobs, and an instance."""
    (blob,) = store.submit(UseBlobs("ann", [("a" * 64, 5)])).result(WAIT)
    for number in range(3):
        id = f"run-{number}"
        store.submit(CreateRun(a_run(id), encoded(a_savepoint()), a_key(id))).result(WAIT)
        for position in range(0, 1500 if number == 1 else 500, 500):
            entries = [
                Entry(inputs=None, outputs=encode(at), key=a_key(f"key {at}") if at % 7 == 0 else None)
                for at in range(position, position + 500)
            ]
            savepoint = a_savepoint(position + 500)
            if number == 1:
                savepoint = type(savepoint)(
                    timestamp=savepoint.timestamp,
                    position=savepoint.position,
                    entities=savepoint.entities,
                    blobs=frozenset({blob.number}),
                )
            store.submit(Append(id, Unleased(0), position, entries, encoded(savepoint))).result(WAIT)
        store.submit(MarkSavepoint(id, 500, name="early", pinned=True)).result(WAIT)
    store.submit(PutDocument("bptk", "instance", encode({"n": 1}), None)).result(WAIT)


IDS = ["run-0", "run-1", "run-2"]


def executed(store: Store) -> None:
    """Add tasks in all stages: waiting, worked on, with cut lines, and ended with a result."""
    for number in range(3):
        id = f"task-{number}"
        run = a_run(id, kind="task", name=f"Task {number}", tags=("p", "q")[:number])
        execution = an_execution(id, timeout=30.0, needs="numpy", stored=None)
        store.submit(CreateRun(run, encoded(a_savepoint()), execution=execution)).result(WAIT)
        if number == 0:
            continue
        token = store.submit(Lease(id, "worker", 3600.0)).result(WAIT).fence
        lines = [LogLine(text=f"line {at} ü", time=float(at)) for at in range(1200)]
        store.submit(Report(id, token, encode("half"), 1.5, 2, lines, "numpy 2")).result(WAIT)
        entries = [Entry(inputs=encode([1]), outputs=encode(0.1))]
        store.submit(Append(id, Leased(token), 0, entries, encoded(a_savepoint(1)))).result(WAIT)
        store.submit(Report(id, token, lines=lines[:3])).result(WAIT)
        store.submit(CutLines(id, token, 1)).result(WAIT)
        if number == 2:
            change = Change(state=RunStatus.COMPLETED, outcome=Outcome.SUCCEEDED)
            store.submit(Finish(id, token, change, encode({"answer": 42}))).result(WAIT)
            store.submit(MarkStored(id, 3)).result(WAIT)
    use = Use("ann", 2**62, 1.5, 3600.0)
    store.submit(PutDocument("notes", "used", b"blob", None, use)).result(WAIT)


def test_a_copy_in_postgresql_and_its_copy_in_sqlite_have_the_same(postgres: str, tmp_path: Path) -> None:
    ids, dialects = [*IDS, "task-0", "task-1", "task-2"], ["bptk", "notes"]
    with (
        closing(MemoryStore()) as source,
        closing(open_store(postgres)) as target,
        closing(SqliteStore(tmp_path)) as back,
    ):
        filled(source)
        for attempt in range(2):
            if attempt == 1:
                executed(source)
            for one, other in ((source, target), (target, back)):
                copying = StoreCopy(one, other, ("one", "other"))
                copying.check_target()
                for run in copying.begin():
                    copying.copy_run(run)
                copying.end()
                assert copying.damaged == []
                assert everything(other, ids, dialects) == everything(one, ids, dialects)
                assert other.check() == []
                assert other.submit(Recount()).result(WAIT) == []
        for store in (target, back):
            made = store.submit(CreateRun(a_run("new"))).result(WAIT).run
            assert made.number > max(run.number for run in source.runs())
            new = store.submit(PutDocument("notes", "new", b"", None)).result(WAIT)
            assert new.version > source.submit(ReadCounters()).result(WAIT).versions


def test_the_command_copies_to_postgresql_and_finishes_it(postgres: str, tmp_path: Path) -> None:
    source = f"sqlite:///{tmp_path / 'a.db'}"
    with closing(SqliteStore(tmp_path / "a.db")) as store:
        filled(store)
    artifacts = ("--target-artifacts", str(tmp_path / "artifacts"))
    assert perdure("store", "copy", source, postgres)[0] == 1  # nobody says where the artifacts are
    code, output = perdure("store", "copy", source, postgres, *artifacts)
    assert code == 0, output
    with pytest.raises(StoreIsCopy):
        open_configured(Settings(store=postgres))
    code, output = perdure("store", "copy", source, postgres, *artifacts, "--final")
    assert code == 0, output
    with (
        closing(SqliteStore(tmp_path / "a.db")) as store,
        closing(open_configured(Settings(store=postgres))) as other,
    ):
        assert everything(other, IDS, ["bptk"]) == everything(store, IDS, ["bptk"])
    back = f"sqlite:///{tmp_path / 'back.db'}"
    options = ("--source-artifacts", str(tmp_path / "artifacts"), "--final")
    code, output = perdure("store", "copy", postgres, back, *options)
    assert code == 0, output
    with pytest.raises(StoreClosed):
        open_configured(Settings(store=postgres))
    assert perdure("store", "reopen", postgres)[0] == 0
    with closing(open_configured(Settings(store=postgres))):
        pass


def test_a_source_that_others_have_open_is_not_closed_finally(postgres: str, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path / 'b.db'}"
    arguments = ("store", "copy", postgres, target, "--source-artifacts", str(tmp_path / "artifacts"))
    with closing(open_configured(Settings(store=postgres))) as server:
        filled(server)
        assert perdure(*arguments)[0] == 0  # an unfinished copy of what is served
        code, output = perdure(*arguments, "--final")
        assert (code, "Stop all of its servers and workers" in output) == (1, True), output
        with closing(open_configured(Settings(store=postgres))) as another:  # it was opened again
            assert another.other_openings()
        with pytest.raises(StoreIsCopy):
            open_configured(Settings(store=target))
        server.submit(PutDocument("bptk", "later", encode({"n": 2}), None)).result(WAIT)
    code, output = perdure(*arguments, "--final")
    assert code == 0, output
    with closing(open_configured(Settings(store=target))) as copy:
        assert copy.document("bptk", "later") is not None


def test_an_empty_target_that_others_have_open_does_not_become_a_copy(postgres: str) -> None:
    with closing(MemoryStore()) as source, closing(open_store(postgres)) as target:
        filled(source)
        copying = StoreCopy(source, target, ("memory://source", postgres))
        with closing(open_configured(Settings(store=postgres))) as server:
            with pytest.raises(StoreInUse, match="Stop all of its servers and workers"):
                copying.check_target()
            with closing(open_configured(Settings(store=postgres))):  # it isn't marked as a copy
                pass
            server.submit(CreateRun(a_run("own"))).result(WAIT)
        with pytest.raises(PerdureError, match="content of its own"):
            copying.check_target()


def test_a_source_that_was_closed_before_stays_closed_if_it_is_refused() -> None:
    class Used(MemoryStore):
        others: Sequence[str] = ()

        def other_openings(self) -> Sequence[str]:
            return self.others

    with closing(Used()) as source, closing(MemoryStore()) as target:
        copying = StoreCopy(source, target, ("memory://source", "memory://target"))
        source.others = ["another"]
        with pytest.raises(StoreInUse):
            copying.close()
        assert source.document("copy", "to") is None
        source.others = ()
        copying.close()
        source.others = ["another"]
        for refused in (copying.close, copying.check_unused):
            with pytest.raises(StoreInUse):
                refused()
        assert source.document("copy", "to") is not None


def test_a_copy_in_the_same_database_server_takes_over_artifacts_that_stay_in_place(
    postgres: str, shared_postgres: PostgresServer, tmp_path: Path
) -> None:
    files = tmp_path / "artifacts"
    places = ("--source-artifacts", str(files), "--target-artifacts", f"{files}/")
    with shared_postgres.database() as name:
        target = shared_postgres.url(name)
        with closing(open_store(postgres)) as store:
            filled(store)
            check_artifacts(store, Artifacts(str(files)))
        code, output = perdure("store", "copy", postgres, target, *places, "--final")
        assert code == 0, output
        with closing(open_configured(Settings(store=target))) as copy:
            check_artifacts(copy, Artifacts(str(files)))
        with closing(open_store(postgres)) as store, pytest.raises(WrongArtifacts):
            check_artifacts(store, Artifacts(str(files)))


def test_only_what_is_new_is_copied_the_next_time() -> None:
    with closing(MemoryStore()) as source, closing(MemoryStore()) as target:
        filled(source)
        first = copied(source, target)
        assert (first.copied.runs, first.copied.steps, first.damaged) == (3, 2500, [])
        entries = [Entry(inputs=None, outputs=encode(at)) for at in range(4)]
        source.submit(Append("run-1", Unleased(0), 1500, entries)).result(WAIT)
        assert first.is_written()
        second = copied(source, target)
        assert not second.is_written()
        assert (second.copied.runs, second.copied.steps) == (1, 4)
        assert everything(target, IDS, ["bptk"]) == everything(source, IDS, ["bptk"])


def test_a_copy_that_was_broken_off_anywhere_is_completed() -> None:
    class Broken(MemoryStore):
        left = 0

        def submit(self, command: Any, chain: Any = None) -> Any:
            if self.left == 0:
                raise OSError("broken off")
            self.left -= 1
            return super().submit(command, chain)

    with closing(MemoryStore()) as source, closing(Broken()) as target:
        filled(source)
        attempts = 0
        for allowed in range(3, 60, 5):
            target.left, attempts = allowed, attempts + 1
            with suppress(OSError):
                copied(source, target)
                break
        target.left = -1
        copied(source, target)
        assert attempts > 2
        assert everything(target, IDS, ["bptk"]) == everything(source, IDS, ["bptk"])


def perdure(*arguments: str) -> tuple[int, str]:
    done = typer.testing.CliRunner().invoke(app, arguments)
    if isinstance(done.exception, PerdureError):
        return 1, str(done.exception)
    return done.exit_code, done.output


@pytest.fixture
def urls(tmp_path: Path) -> tuple[str, str]:
    return f"sqlite:///{tmp_path / 'a.db'}", f"sqlite:///{tmp_path / 'b.db'}"


def test_a_final_copy_closes_the_source_and_goes_on_exactly(tmp_path: Path, urls: tuple[str, str]) -> None:
    async def stepped(path: Path, run: str | None, steps: int) -> tuple[str, list[Any]]:
        with closing(SqliteStore(path)) as store:
            sessions = sessions_on(store)
            run = run or (await sessions.create("ann", NEW)).run.id
            answers = [await sessions.step("ann", run, STEP) for _ in range(steps)]
            await sessions.aclose()
            return run, [numbers(answer.steps) for answer in answers]

    run, _ = asyncio.run(stepped(tmp_path / "a.db", None, 7))
    (tmp_path / "a.db.artifacts" / "ann").mkdir(parents=True)
    (tmp_path / "a.db.artifacts" / "ann" / "x").write_bytes(b"artifact")
    assert perdure("store", "copy", *urls)[0] == 0
    with pytest.raises(StoreIsCopy, match="perdure store copy"):
        open_configured(Settings(store=urls[1]))
    code, output = perdure("store", "copy", *urls, "--final")
    assert code == 0, output
    with pytest.raises(StoreClosed, match="perdure store reopen"):
        open_configured(Settings(store=urls[0]))
    assert perdure("runs", "list", "--store", urls[0])[0] == 1
    assert perdure("runs", "list", "--store", urls[1])[0] == 0
    assert (tmp_path / "b.db.artifacts" / "ann" / "x").read_bytes() == b"artifact"
    _, there = asyncio.run(stepped(tmp_path / "b.db", run, 5))
    assert perdure("store", "reopen", urls[0]) == (0, f"Reopened sqlite:///{tmp_path / 'a.db'}.\n")
    _, here = asyncio.run(stepped(tmp_path / "a.db", run, 5))
    assert here == there


def test_a_store_is_copied_while_it_is_served_but_not_closed(tmp_path: Path) -> None:
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    serving = running(source, "tests.support.small:catalogue")
    with serving as server, httpx.Client(base_url=server.url) as client:
        body = {"kind": "session", "scenarios": {"bath": ["base"]}, "outputs": ["water"]}
        run = client.post("/runs", json=body).raise_for_status().json()["id"]
        for steps in (3, 2):
            for _ in range(steps):
                client.post(f"/runs/{run}/steps", json={}).raise_for_status()
            code, output = perdure("store", "copy", str(source), str(target))
            assert (code, f"with {steps} step(s)" in output) == (0, True), output
        code, output = perdure("store", "copy", str(source), str(target), "--final")
        assert code == 1
        assert "in use" in output
        client.post(f"/runs/{run}/steps", json={}).raise_for_status()
    assert perdure("store", "copy", str(source), str(target), "--final")[0] == 0
    with closing(SqliteStore(target)) as store:
        assert store.run(run).position == 6


def test_a_store_with_content_of_its_own_is_not_overwritten(urls: tuple[str, str], tmp_path: Path) -> None:
    for name in "ab":
        with closing(SqliteStore(tmp_path / f"{name}.db")) as store:
            store.submit(CreateRun(a_run(name))).result(WAIT)
    code, output = perdure("store", "copy", *urls, "--final")
    assert (code, "it has content of its own" in output) == (1, True)
    other = f"sqlite:///{tmp_path / 'c.db'}"
    assert perdure("store", "copy", urls[0], other)[0] == 0
    code, output = perdure("store", "copy", urls[1], other)
    assert (code, f"it is a copy of {urls[0]}" in output) == (1, True)
    assert perdure("store", "copy", urls[0], urls[0])[0] == 1
    assert perdure("store", "copy", f"{urls[0]}.none", other)[0] == 1
    with closing(open_configured(Settings(store=urls[0]))):  # a refused copy has closed nothing
        pass


def test_damage_is_reported_and_keeps_the_copy_from_being_finished(
    urls: tuple[str, str], tmp_path: Path
) -> None:
    with closing(SqliteStore(tmp_path / "a.db")) as store:
        filled(store)
    with closing(apsw.Connection(str(tmp_path / "a.db"))) as database:
        database.execute("UPDATE steps SET outputs = zeroblob(20) WHERE position = 1234 AND run = 2")
    code, output = perdure("store", "copy", *urls, "--final")
    assert (code, "damaged: the run 'run-1'" in output) == (1, True), output
    with pytest.raises(StoreIsCopy):
        open_configured(Settings(store=urls[1]))


def test_artifacts_are_compared_and_copied_once(urls: tuple[str, str], tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "a.db")) as store:
        filled(store)
    folder = tmp_path / "a.db.artifacts" / "ann" / "blobs"
    folder.mkdir(parents=True)
    for name in "xyz":
        (folder / name).write_bytes(name.encode() * 10_000)
    assert "3 file(s), 30000 bytes" in perdure("store", "copy", *urls)[1]
    (folder / "new").write_bytes(b"new")
    (tmp_path / "b.db.artifacts" / "ann" / "blobs" / "x").write_bytes(b"cut off")
    assert "2 file(s), 10003 bytes" in perdure("store", "copy", *urls)[1]
    assert (tmp_path / "b.db.artifacts" / "ann" / "blobs" / "x").read_bytes() == b"x" * 10_000
    shutil.rmtree(tmp_path / "a.db.artifacts")


def test_a_final_copy_reads_artifacts_that_are_there_and_copies_those_that_differ(
    urls: tuple[str, str], tmp_path: Path
) -> None:
    with closing(SqliteStore(tmp_path / "a.db")) as store:
        filled(store)
    folder = tmp_path / "a.db.artifacts" / "ann" / "results"
    folder.mkdir(parents=True)
    for name in "xyz":
        (folder / name).write_bytes(name.encode() * 10_000)
    assert perdure("store", "copy", *urls)[0] == 0
    damaged = tmp_path / "b.db.artifacts" / "ann" / "results" / "x"
    damaged.write_bytes(b"w" * 10_000)
    assert "1 file(s), 10000 bytes" in perdure("store", "copy", *urls, "--final")[1]
    assert damaged.read_bytes() == b"x" * 10_000


@pytest.mark.parametrize("copied_before", [False, True])
def test_a_blob_that_is_not_what_its_hash_says_keeps_a_copy_from_being_finished(
    urls: tuple[str, str], tmp_path: Path, copied_before: bool
) -> None:
    with closing(SqliteStore(tmp_path / "a.db")) as store:
        filled(store)
    Artifacts(str(tmp_path / "a.db.artifacts")).blobs("ann").write(1, sha256(b"blob").hexdigest(), b"blob")
    (blob,) = (tmp_path / "a.db.artifacts").rglob("*-1")
    blob.write_bytes(b"bulb")
    if copied_before:
        assert perdure("store", "copy", *urls)[0] == 0
    code, output = perdure("store", "copy", *urls, "--final")
    assert (code, "isn't what was written" in output) == (1, True), output
    with pytest.raises(StoreIsCopy):
        open_configured(Settings(store=urls[1]))


def test_an_open_target_is_refused(urls: tuple[str, str], tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "a.db")), closing(SqliteStore(tmp_path / "b.db")):
        with pytest.raises(StoreLocked):
            SqliteStore(tmp_path / "b.db")
        assert perdure("store", "copy", *urls)[0] == 1
