"""Whatever is done to them, the stores and the oracle answer the same, the file also after reopening."""

import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace
from tests.support.oracle import OracleStore

from perdure.errors import NotExecuted, PerdureError
from perdure.lifecycle import DesiredState, Outcome, RunStatus
from perdure.run import Change, Entry, Execution, Key, LogLine, Run
from perdure.state.savepoint import Savepoint, SavepointInfo
from perdure.stores.base import Store, Version
from perdure.stores.commands import (
    AddDocuments,
    Append,
    Appended,
    ChangeRun,
    Claim,
    Command,
    Committed,
    Created,
    CreateRun,
    CutLines,
    DeleteDocument,
    DeleteRun,
    Finish,
    ForgetDocument,
    Fork,
    ForkRuns,
    Guard,
    Lease,
    Leased,
    MarkSavepoint,
    OwnerLimit,
    PutDocument,
    PutSavepoint,
    Release,
    Renew,
    Report,
    SetDesiredState,
    Settle,
    Touch,
    Unleased,
    Use,
    encoded,
)
from perdure.stores.memory import MemoryStore
from perdure.stores.queue import ANY_TAG, QueueGroup
from perdure.stores.run_list import Cursor, RunFilter, RunOrder
from perdure.stores.sqlite import SqliteStore
from perdure.testing.store_samples import WAIT, a_fork, a_run, an_execution

KEEP = 2
LONG = 3600.0  # seconds that no test takes

ids = st.sampled_from(["a", "b", "c"])
owners = st.sampled_from(["ann", "bob"])
small = st.integers(0, 5)
blobs = st.binary(max_size=12)
keys = st.builds(
    Key, text=st.sampled_from(["k", "l"]), body_hash=st.sampled_from([b"1", b"2"]), ordinal=st.integers(0, 1)
)
entries = st.lists(
    st.builds(Entry, inputs=st.none() | blobs, outputs=blobs, key=st.none() | keys), max_size=3
)
savepoints = st.builds(
    Savepoint,
    timestamp=st.integers(0, 9),
    position=small,
    entities=st.dictionaries(st.sampled_from(["x", "y"]), blobs),
    milestone=st.booleans(),
)
TAGS = (ANY_TAG, "p", "q")
some_tags = st.sets(st.sampled_from(["p", "q"])).map(lambda tags: tuple(sorted(tags)))
some_changes = st.builds(
    Change,
    state=st.none() | st.sampled_from(RunStatus),
    outcome=st.none() | st.sampled_from(Outcome),
    reason=st.none() | st.just("why"),
    spec=st.none() | blobs,
    name=st.none() | st.sampled_from(["", "x", "y"]),
    tags=st.none() | some_tags,
)
filters = st.builds(
    RunFilter,
    owner=st.none() | owners,
    kind=st.none() | st.sampled_from(["session", "task"]),
    states=st.none() | st.frozensets(st.sampled_from(RunStatus)),
    tags=some_tags,
    name=st.none() | st.sampled_from(["", "x"]),
)
ORDERS = [order for order in RunOrder if order.field != "updated"]  # each store takes its own time
names = st.none() | st.sampled_from(["x", ""])
uses = st.builds(Use, owner=owners, stamp=st.integers(1, 3), accessed=st.floats(0, 9), lasts=st.floats(0, 9))
limits = st.builds(
    OwnerLimit,
    maximum=st.integers(0, 4),
    what=st.just("notes"),
    setting=st.just("NOTES"),
    idle=st.dictionaries(ids, st.integers(1, 3), max_size=2),
    elsewhere=st.integers(0, 1),
)


def timeless(value: Any) -> Any:
    """Return an answer without the times at which a store did something."""
    match value:
        case Run():
            return replace(value, updated=0.0)
        case Created():
            return replace(value, run=timeless(value.run))
        case SavepointInfo():
            return replace(value, created=0.0)
        case Execution():
            return replace(value, lease_until=bool(value.lease_until))
        case Appended():
            return value
        case list() | tuple():
            return [timeless(item) for item in value]
    return value


class Stores(RuleBasedStateMachine):
    """Does the same to all stores and compares what they answer."""

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="perdure-"))
        self.oracle = OracleStore(keep=KEEP, keep_lines=KEEP)
        self.memory = MemoryStore(keep=KEEP, keep_lines=KEEP)
        self.sqlite = SqliteStore(self.folder, keep=KEEP, keep_lines=KEEP)
        self.told: dict[Store, list[Committed]] = {}
        self.versions: dict[Store, dict[str, tuple[object, Version]]] = {store: {} for store in self.stores}
        for store in self.stores:
            self.watch(store)

    def teardown(self) -> None:
        if hasattr(self, "sqlite"):
            self.memory.close()
            self.sqlite.close()
            shutil.rmtree(self.folder)

    @property
    def stores(self) -> tuple[Store, ...]:
        return self.oracle, self.memory, self.sqlite

    def watch(self, store: Store) -> None:
        self.told[store] = []
        store.watch(self.told[store].append)

    def all(self, ask: Callable[[Store], Any]) -> Any:
        answers = []
        for store in self.stores:
            try:
                answer = ask(store)
                answers.append(timeless(answer.result(WAIT) if isinstance(answer, Future) else answer))
            except PerdureError as error:
                answers.append((type(error), error.values.get("position"), str(error)))
        assert answers[1:] == answers[:1] * (len(answers) - 1)
        return answers[0]

    @rule()
    def reopen(self) -> None:
        for execution in self.oracle.executions():
            if execution.fence:  # the others can't be opened anew, which would end their leases
                self.release(execution.run_id, stale=False, crashes=None, unbegun=False)
        versions = self.versions.pop(self.sqlite)
        del self.told[self.sqlite]
        self.sqlite.close()
        self.sqlite = SqliteStore(self.folder, keep=KEEP, keep_lines=KEEP)
        self.told[self.oracle].clear()
        self.told[self.memory].clear()
        self.watch(self.sqlite)
        self.versions[self.sqlite] = versions

    @rule(
        id=ids,
        owner=owners,
        savepoint=st.none() | savepoints,
        key=st.none() | keys,
        desired=st.none() | st.sampled_from(DesiredState),
        timeout=st.sampled_from([None, 3, 30]),
        needs=st.sampled_from(["", "numpy"]),
        tags=some_tags,
    )
    def create_run(
        self,
        id: str,
        owner: str,
        savepoint: Savepoint | None,
        key: Key | None,
        desired: DesiredState | None,
        timeout: float | None,
        needs: str,
        tags: tuple[str, ...],
    ) -> None:
        run = a_run(id, owner=owner, kind="session" if desired is None else "task", name=id, tags=tags)
        execution = (
            None
            if desired is None
            else an_execution(id, owner=owner, desired=desired, timeout=timeout, needs=needs)
        )
        self.all(lambda store: store.submit(CreateRun(run, encoded(savepoint), key, execution=execution)))

    @rule(id=ids, parent=ids, position=small, owner=owners, savepoint=savepoints, key=st.none() | keys)
    def fork_run(
        self, id: str, parent: str, position: int, owner: str, savepoint: Savepoint, key: Key | None
    ) -> None:
        run = a_fork(id, parent, position, owner=owner)
        self.done(ForkRuns([Fork(run=run, savepoint=encoded(savepoint), key=key)]))

    @rule(id=ids, version=st.integers(0, 2), change=some_changes)
    def update_run(self, id: str, version: int, change: Change) -> None:
        self.all(lambda store: store.submit(ChangeRun(id, version, change)))

    @rule(id=ids)
    def delete_run(self, id: str) -> None:
        self.all(lambda store: store.submit(DeleteRun(id)))

    @rule(
        id=ids,
        stale=st.sampled_from([0, 0, 0, 0, 1, -1]),
        ahead=st.sampled_from([0, 0, 0, 0, 0, 1, -1]),
        entries=entries,
        savepoint=st.none() | savepoints,
        change=st.none() | some_changes,
        touched=st.none() | ids,
    )
    def append(
        self,
        id: str,
        stale: int,
        ahead: int,
        entries: list[Entry],
        savepoint: Savepoint | None,
        change: Change | None,
        touched: str | None,
    ) -> None:
        position = max(0, len(self.oracle.steps(id)) + ahead) if self.exists(id) else 0
        touch = None if touched is None else Touch("ann", touched, self.version("ann", touched), 2, 5.0)
        self.done(Append(id, self.guard(id, stale), position, entries, encoded(savepoint), change, touch))

    @rule(id=ids, key=keys)
    def step_by_key(self, id: str, key: Key) -> None:
        self.all(lambda store: store.step_by_key(id, key))

    @rule(owner=owners, key=keys)
    def run_by_key(self, owner: str, key: Key) -> None:
        self.all(lambda store: store.run_by_key(owner, key))

    @rule(id=ids, savepoint=savepoints, name=names, pinned=st.booleans())
    def put_savepoint(self, id: str, savepoint: Savepoint, name: str | None, pinned: bool) -> None:
        self.done(PutSavepoint(id, self.guard(id), encoded(savepoint), name, pinned))

    @rule(id=ids, timestamp=st.integers(0, 9), name=names, pinned=st.booleans())
    def mark_savepoint(self, id: str, timestamp: int, name: str | None, pinned: bool) -> None:
        self.all(lambda store: store.submit(MarkSavepoint(id, timestamp, name=name, pinned=pinned)))

    @rule(id=ids, holder=owners, seconds=st.sampled_from([-1.0, LONG]))
    def lease(self, id: str, holder: str, seconds: float) -> None:
        self.done(Lease(id, holder, seconds))

    @rule(id=ids, stale=st.booleans(), seconds=st.sampled_from([-1.0, LONG]), unbegun=st.booleans())
    def renew(self, id: str, stale: bool, seconds: float, unbegun: bool) -> None:
        self.done(Renew(id, self.token(id, stale=stale), seconds, unbegun))

    @rule(
        id=ids,
        stale=st.booleans(),
        progress=st.none() | blobs,
        seconds=st.none() | st.floats(0, 9),
        crashes=st.none() | small,
        lines=st.lists(st.builds(LogLine, text=st.text(max_size=3), time=st.floats(0, 9)), max_size=4),
        computed_by=st.sampled_from([None, "", "1.2", "1.3"]),
    )
    def report(
        self,
        id: str,
        stale: bool,
        progress: bytes | None,
        seconds: float | None,
        crashes: int | None,
        lines: list[LogLine],
        computed_by: str | None,
    ) -> None:
        token = self.token(id, stale=stale)
        self.done(Report(id, token, progress, seconds, crashes, lines, computed_by))

    @rule(id=ids, stale=st.booleans(), savepoint=st.none() | st.integers(0, 9))
    def cut_lines(self, id: str, stale: bool, savepoint: int | None) -> None:
        self.done(CutLines(id, self.token(id, stale=stale), savepoint))

    @rule(id=ids, stale=st.booleans(), change=some_changes, result=st.none() | blobs)
    def finish(self, id: str, stale: bool, change: Change, result: bytes | None) -> None:
        self.done(Finish(id, self.token(id, stale=stale), change, result))

    @rule(id=ids, stale=st.booleans(), crashes=st.none() | small, unbegun=st.booleans())
    def release(self, id: str, stale: bool, crashes: int | None, unbegun: bool) -> None:
        self.done(Release(id, self.token(id, stale=stale), crashes=crashes, unbegun=unbegun))

    @rule(id=ids, desired=st.sampled_from(DesiredState))
    def want(self, id: str, desired: DesiredState) -> None:
        self.all(lambda store: store.submit(SetDesiredState(id, desired)))

    @rule(id=ids, interrupted=st.booleans())
    def settle(self, id: str, interrupted: bool) -> None:
        self.done(Settle(id, interrupted))

    @rule(tag=st.sampled_from(TAGS), seconds=st.sampled_from([-1.0, LONG]))
    def claim(self, tag: str, seconds: float) -> None:
        # A file that is opened anew counts turns anew; where one run waits they make no difference.
        groups = [
            group for group in self.oracle.waiting_groups([tag]) if len(self.oracle.unleased(group)) == 1
        ]
        self.done(Claim("w", seconds, groups[:1]))

    @rule(id=ids, tags=some_tags)
    def label(self, id: str, tags: tuple[str, ...]) -> None:
        version = self.oracle.run(id).version if self.exists(id) else 0
        self.all(lambda store: store.submit(ChangeRun(id, version, Change(tags=tags))))

    @rule(dialect=owners, id=ids, blob=blobs, version=st.none() | st.integers(1, 9), use=st.none() | uses)
    def put_record(self, dialect: str, id: str, blob: bytes, version: int | None, use: Use | None) -> None:
        self.all(lambda store: store.submit(PutDocument(dialect, id, blob, version, use)))

    @rule(dialect=owners, added=st.dictionaries(ids, blobs, max_size=2), use=uses, limit=st.none() | limits)
    def add_records(self, dialect: str, added: dict[str, bytes], use: Use, limit: OwnerLimit | None) -> None:
        self.all(lambda store: store.submit(AddDocuments(dialect, list(added.items()), use, limit)))

    @rule(dialect=owners, id=ids, stale=st.booleans(), stamp=st.integers(1, 3), accessed=st.floats(0, 9))
    def touch_record(self, dialect: str, id: str, stale: bool, stamp: int, accessed: float) -> None:
        touch = Touch(dialect, id, self.version(dialect, id) + stale, stamp, accessed)
        self.all(lambda store: store.submit(touch))

    @rule(
        dialect=owners,
        id=ids,
        stale=st.none() | st.booleans(),
        stamp=st.none() | st.integers(1, 3),
        run=st.none() | ids,
    )
    def forget_record(
        self, dialect: str, id: str, stale: bool | None, stamp: int | None, run: str | None
    ) -> None:
        ended = Change(state=RunStatus.STOPPED, outcome=Outcome.EXPIRED, reason="why")
        if run is None or not self.executes(run):
            version = None if stale is None else self.version(dialect, id) + stale
            forget = ForgetDocument(dialect, id, version, stamp, run, ended)
            self.all(lambda store: store.submit(forget))

    @rule(dialect=owners, id=ids)
    def delete_record(self, dialect: str, id: str) -> None:
        self.all(lambda store: store.submit(DeleteDocument(dialect, id)))

    @rule(filter=filters, order=st.sampled_from(ORDERS), limit=st.integers(-1, 3))
    def list_runs(self, filter: RunFilter, order: RunOrder, limit: int) -> None:
        page = self.all(lambda store: list(store.runs(filter, order=order, limit=limit)))
        if page:
            cursor = Cursor.behind(page[-1], order)
            self.all(lambda store: list(store.runs(filter, order=order, limit=limit, cursor=cursor)))

    @rule(id=ids, after=st.integers(-1, 6), limit=st.integers(-1, 4))
    def page_of_steps(self, id: str, after: int, limit: int) -> None:
        self.all(lambda store: list(store.steps(id, after, limit)))

    @invariant()
    def hold_the_same(self) -> None:
        if not hasattr(self, "sqlite"):
            return
        for id in ("a", "b", "c"):
            self.all(lambda store, id=id: store.run(id))
            self.all(lambda store, id=id: list(store.steps(id)))
            infos = self.all(lambda store, id=id: list(store.savepoints(id)))
            for info in infos if isinstance(infos, list) else ():
                self.all(lambda store, id=id, at=info.timestamp: store.savepoint(id, at))
            if self.exists(id):
                run, steps = self.oracle.run(id), self.oracle.steps(id)
                assert run.position == len(steps)
                assert [step.position for step in steps] == list(range(1, len(steps) + 1))
            self.all(lambda store, id=id: store.execution(id))
            self.all(lambda store, id=id: store.waiting_before(id))
            self.all(lambda store, id=id: list(store.log_lines(id)))
        for group in self.all(lambda store: sorted(map(msgspec.structs.astuple, store.waiting_groups(TAGS)))):
            self.all(lambda store, group=group: sorted(store.unleased(QueueGroup(*group))))
        self.all(lambda store: sorted(msgspec.structs.astuple(it) for it in store.queue_counts()))
        self.all(lambda store: [(it.tag, it.kind, it.count) for it in store.queue_waits()])
        for dialect in ("ann", "bob"):
            self.all(lambda store, dialect=dialect: list(store.documents(dialect)))
            self.all(lambda store, dialect=dialect: list(store.documents(dialect, owner="ann")))
            self.all(lambda store, dialect=dialect: dict(store.uses(dialect)))
        assert self.told[self.oracle] == self.told[self.memory] == self.told[self.sqlite]

    @invariant()
    def change_the_version_with_the_run(self) -> None:
        for store, before in self.versions.items() if hasattr(self, "sqlite") else ():
            found = store.versions(["a", "b", "c"])
            now = {id: (self.all_of(store, id), version) for id, version in found.items()}
            for id in now.keys() & before.keys():
                if now[id][0] != before[id][0]:
                    assert now[id][1] != before[id][1]
            assert now.keys() == {run.id for run in store.runs()}
            self.versions[store] = now

    def all_of(self, store: Store, id: str) -> object:
        """Return all of a run that somebody may wait for."""
        try:
            execution: Execution | None = store.execution(id)
        except NotExecuted:
            execution = None
        return timeless(store.run(id)), len(store.steps(id)), timeless(execution), list(store.log_lines(id))

    def done(self, command: Command[Any]) -> None:
        self.all(lambda store: store.submit(command))

    def token(self, id: str, *, stale: bool = False) -> int:
        """Return the token of a run's lease, or the one before it."""
        try:
            token = self.oracle.execution(id).fence
        except PerdureError:
            return 1
        return token - 1 if stale else token

    def guard(self, id: str, stale: int = 0) -> Guard:
        """Return what a writer to a run carries, or a guard beside it."""
        try:
            self.oracle.execution(id)
        except NotExecuted:
            return Unleased(self.oracle.run(id).generation + stale)
        except PerdureError:
            return Unleased(0)
        return Leased(self.token(id) + stale)

    def executes(self, id: str) -> bool:
        """Return whether a run has an execution."""
        try:
            self.oracle.execution(id)
        except PerdureError:
            return False
        return True

    def version(self, dialect: str, id: str) -> int:
        """Return the version of a document, or one that there is none of."""
        document = self.oracle.document(dialect, id)
        return 0 if document is None else document.version

    def exists(self, id: str) -> bool:
        return any(run.id == id for run in self.oracle.runs())


TestStores = Stores.TestCase
TestStores.settings = settings(
    max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
