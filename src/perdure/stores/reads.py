"""The reads of a store in a database: they run named queries, which each database has in its own dialect."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from itertools import islice
from typing import Any

import msgspec
import structlog

from perdure.errors import CorruptBlob, RunNotFound, SavepointNotFound
from perdure.run import Execution, Key, LogLine, Run, Step
from perdure.state.savepoint import Savepoint, SavepointInfo
from perdure.stores import queue_rows, run_rows
from perdure.stores.ask import Ask
from perdure.stores.base import Version
from perdure.stores.commands import Document, Query, Use
from perdure.stores.commands.base import Rows
from perdure.stores.commands.creation import check_quota, find_run_key, quota_queries
from perdure.stores.commands.documents import to_document
from perdure.stores.commands.steps import find_step_key
from perdure.stores.executions import unfinished
from perdure.stores.keys import to_creation_key, to_made_run, to_recorded_step, to_step_keys
from perdure.stores.lines import read_lines
from perdure.stores.queue import ANY_TAG, QueueCount, QueueGroup, QueueState, QueueWait
from perdure.stores.quota import Quota
from perdure.stores.run_list import ALL, Cursor, RunFilter, RunOrder
from perdure.stores.values import check_page, group_values, to_execution, to_info, to_run

__all__ = ["DatabaseReads"]

PAGE = 1000  # runs that are searched at once if records are damaged

log = structlog.get_logger(__name__)


class DatabaseReads:
    """The reads of a `Store`, on a database that a subclass opens."""

    def _reading(self, *, snapshot: bool = False) -> AbstractContextManager[Ask]:
        """Lend the database for short reads; with `snapshot`, all of them see the same moment."""
        raise NotImplementedError

    def clock(self) -> float:
        """Return the time by which leases end."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """The name of the database for messages and log events."""
        raise NotImplementedError

    # Runs ---------------------------------------------------------------------------------------------------

    def run(self, run_id: str) -> Run:
        """Return a run."""
        with self._reading() as ask:
            values = _first(ask("read_run", run_id))
        if values is None:
            raise RunNotFound(run=run_id)
        return to_run(values)

    def run_by_key(self, owner: str, key: Key) -> Run | None:
        """Return the run that an owner created with a key, or None."""
        with self._reading() as ask:
            return to_made_run(_answer(ask, find_run_key(owner, key)), owner, key)

    def creation_key(self, run_id: str) -> Key | None:
        """Return the key with which a run was created, or None."""
        with self._reading() as ask:
            return to_creation_key(ask("find_creation_key", run_id))

    def runs(
        self,
        filter: RunFilter = ALL,
        *,
        order: RunOrder = RunOrder.NEWEST,
        limit: int = 100,
        cursor: Cursor | None = None,
        offset: int = 0,
    ) -> Sequence[Run]:
        """Return a page of the runs that match a filter, in an order."""
        limit, offset = max(0, limit), max(0, offset)
        try:
            with self._reading(snapshot=True) as ask:
                places = run_rows.find(ask, filter, order, cursor, offset + limit)[offset:]
                numbers = json.dumps([number for _, number in places])
                return [to_run(values) for values in ask("read_runs", numbers)]
        except CorruptBlob as error:
            log.error("run_damaged", path=self.name, reason=str(error))
        return list(islice(self._intact_runs(filter, order, cursor), offset, offset + limit))

    def count_runs(self, filter: RunFilter = ALL) -> int:
        """Return the number of runs that match a filter."""
        with self._reading(snapshot=True) as ask:
            return run_rows.count(ask, filter)

    def parents(self, owner: str | None = None) -> Mapping[str, str]:
        """Return the parents of the forks of an owner, or of all, by the ids of the forks."""
        with self._reading() as ask:
            return dict(ask("list_parents", owner))

    def check_quota(self, owner: str, quota: Quota) -> None:
        """Raise the error that `CreateRun` would raise now if the owner has reached a limit."""
        with self._reading(snapshot=True) as ask:
            answers = [_answer(ask, query) for query in quota_queries(owner, quota)]
        check_quota(owner, quota, answers)

    # Steps --------------------------------------------------------------------------------------------------

    def steps(self, run_id: str, after: int = 0, limit: int = 1000) -> Sequence[Step]:
        """Return the steps after position `after`, ascending."""
        found = self._of_run("list_steps", run_id, after, max(0, limit))
        if not found:
            return []
        position = found[0][3]
        steps = [
            Step(position=at, inputs=inputs, outputs=outputs)
            for at, inputs, outputs, _ in found
            if at is not None
        ]
        check_page(run_id, max(0, after), limit, position, [step.position for step in steps])
        return steps

    def step_by_key(self, run_id: str, key: Key) -> Step | None:
        """Return the step recorded with a key and ordinal, or None."""
        query = find_step_key(run_id, key)
        return to_recorded_step(self._of_run(query.name, *query.values), key)

    def step_keys(self, run_id: str, after: int = 0) -> Sequence[tuple[int, Key]]:
        """Return the keys of the steps after a position, ascending, each with its step's position."""
        return to_step_keys(self._of_run("list_step_keys_of_run", run_id, after))

    # Savepoints ---------------------------------------------------------------------------------------------

    def savepoints(self, run_id: str) -> Sequence[SavepointInfo]:
        """Return descriptions of the savepoints of a run, by ascending timestamp."""
        return [to_info(values) for values in self._of_run("list_savepoints", run_id)]

    def savepoint(self, run_id: str, timestamp: int) -> Savepoint:
        """Return a savepoint, checked."""
        found = _first(self._of_run("read_savepoint", run_id, timestamp))
        if found is None:
            raise SavepointNotFound(run=run_id, savepoint=timestamp)
        at, position, milestone, blob = found
        savepoint = Savepoint.from_blob(blob)
        if (savepoint.timestamp, savepoint.position) != (at, position):
            raise CorruptBlob(
                reason=f"it belongs to timestamp {savepoint.timestamp} and step {savepoint.position}, not to "
                f"timestamp {at} and step {position}"
            )
        return msgspec.structs.replace(savepoint, milestone=bool(milestone))

    # Executions ---------------------------------------------------------------------------------------------

    def execution(self, run_id: str) -> Execution:
        """Return a run's execution, checked."""
        with self._reading() as ask:
            values = _first(ask("read_execution", run_id))
        if values is None:
            raise RunNotFound(run=run_id)
        return to_execution(values)

    def executions(self) -> Sequence[Execution]:
        """Return the executions of all unfinished runs, in the order of their creation."""
        with self._reading() as ask:
            return unfinished(ask)

    def unstored(self) -> Sequence[str]:
        """Return the ids of the runs that have ended and whose files aren't stored yet."""
        with self._reading() as ask:
            return [run_id for (run_id,) in ask("list_unstored")]

    def waiting_before(self, run_id: str) -> int | None:
        """Return how many runs wait before a run, or None if it doesn't wait."""
        found = _first(self._of_run("count_waiting_before", run_id, self.clock(), snapshot=True))
        return None if found is None else int(found[0])

    def waiting_groups(self, tags: Collection[str] = (ANY_TAG,)) -> Sequence[QueueGroup]:
        """Return the groups in which at least one run has no lease."""
        with self._reading() as ask:
            return queue_rows.waiting_groups(ask, tags, self.clock())

    def unleased(self, group: QueueGroup, limit: int = 100) -> Sequence[str]:
        """Return the ids of the first runs of a group that have no lease."""
        with self._reading() as ask:
            found = ask("list_unleased", *group_values(group), self.clock(), limit)
        return [run_id for (run_id,) in found]

    def queue_counts(self) -> Sequence[QueueCount]:
        """Return the number of unfinished runs with an execution, by kind, owner and `QueueState`."""
        with self._reading() as ask:
            found = ask("count_queue", self.clock())
        return [QueueCount(kind, owner, QueueState(state), count) for kind, owner, state, count in found]

    def queue_waits(self) -> Sequence[QueueWait]:
        """Return the number of runs that wait for a worker, by tag and kind, and since when."""
        with self._reading() as ask:
            return [QueueWait(*found) for found in ask("count_waiting", self.clock())]

    def log_lines(self, run_id: str, after: int = 0, limit: int = 1000) -> Sequence[LogLine]:
        """Return the output lines of a run after a number, ascending."""
        with self._reading() as ask:
            found = read_lines(ask, run_id, after, max(0, limit))
            if not found and not ask("find_run", run_id):
                raise RunNotFound(run=run_id)
        return found

    # Documents of dialects ----------------------------------------------------------------------------------

    def document(self, dialect: str, id: str) -> Document | None:
        """Return a document, or None."""
        with self._reading() as ask:
            found = _first(ask("read_document", dialect, id))
        return None if found is None else to_document(found)

    def documents(
        self, dialect: str, *, owner: str | None = None, strict: bool = False
    ) -> Sequence[Document]:
        """Return documents by id; damaged ones are left out, or raise an error if `strict`."""
        query, given = ("list_documents", ()) if owner is None else ("list_documents_of_owner", (owner,))
        try:
            with self._reading() as ask:
                return [to_document(it) for it in ask(query, dialect, *given)]
        except CorruptBlob as error:
            if strict:
                raise
            log.error("document_damaged", path=self.name, reason=str(error))
        return [
            document
            for document in self._intact_documents(dialect)
            if owner is None or (document.use is not None and document.use.owner == owner)
        ]

    def uses(self, dialect: str) -> Mapping[str, Use]:
        """Return the last uses of a dialect's documents, by id."""
        with self._reading() as ask:
            return {id: Use(*use) for id, *use in ask("list_uses", dialect)}

    def _of_run(self, query: str, run_id: str, *values: Any, snapshot: bool = False) -> Rows:
        """Return the rows of a query about a run; raise `RunNotFound` if there are none, and no such run."""
        with self._reading(snapshot=snapshot) as ask:
            found = ask(query, run_id, *values)
            if not found and not ask("find_run", run_id):
                raise RunNotFound(run=run_id)
        return found

    def _intact_runs(self, filter: RunFilter, order: RunOrder, cursor: Cursor | None) -> Iterator[Run]:
        """Yield the readable runs after a cursor, one by one."""
        while True:
            with self._reading(snapshot=True) as ask:
                places = run_rows.find(ask, filter, order, cursor, PAGE)
            for _, number in places:
                with suppress(CorruptBlob):
                    with self._reading() as ask:
                        values = _first(ask("read_run_by_number", number))
                    if values is not None:
                        yield to_run(values)
            if len(places) < PAGE:
                return
            cursor = Cursor(order, *places[-1])

    def _intact_documents(self, dialect: str) -> Iterator[Document]:
        """Yield the readable documents of a dialect by id, one by one."""
        with self._reading() as ask:
            known = ask("list_document_ids")
        for of, id in known:
            if of == dialect:
                with suppress(CorruptBlob):
                    document = self.document(dialect, id)
                    if document is not None:
                        yield document

    def versions(self, run_ids: Collection[str]) -> Mapping[str, Version]:
        """Return the versions of these runs, without those that don't exist."""
        with self._reading() as ask:
            found = ask("list_versions", json.dumps(list(run_ids)))
        return {version[0]: version for version in found}


def _answer(ask: Ask, query: Query) -> Rows:
    return ask(query.name, *query.values)


def _first(found: Rows) -> tuple[Any, ...] | None:
    return found[0] if found else None
