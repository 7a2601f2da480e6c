"""The events of many runs in one stream, so that a browser needs only one connection.

An event reports the current state of a run. Several changes within a moment are sent as one event: the newest
state always arrives, earlier ones may be skipped.

The id of an event is a cursor: the latest `updated` of the runs that the stream has sent. A browser that lost
its connection sends it along, and first gets the runs that were updated since.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import suppress
from typing import Annotated, Any

import anyio.to_thread
import msgspec
from msgspec import Meta
from starlette.types import ASGIApp

from perdure.api.schemas import run_fields
from perdure.clock import steady
from perdure.drivers.experiments.experiments import KIND as EXPERIMENT
from perdure.drivers.session_requests import Owner
from perdure.drivers.session_spec import KIND as SESSION
from perdure.drivers.tasks import TaskView
from perdure.errors import Damaged, RunNotFound, StoreUnavailable
from perdure.run import Execution, Run
from perdure.stores.base import Version
from perdure.stores.commands import ReadTime
from perdure.stores.feed import ANY_RUN, Hint, Subscription
from perdure.stores.run_list import RunFilter, RunOrder
from perdure.validation import Problem
from perdure.web.dialect import Call
from perdure.web.events import EventStream, event
from perdure.web.failures import invalid_request
from perdure.web.operations import Operation
from perdure.web.services import AppServices

__all__ = ["FOLLOW_RUNS", "FollowQuery"]

MAX_RUNS = 200  # that a stream can follow by their ids
CAUGHT_UP = 1000  # runs that are sent at most after a lost connection
EVERY = 0.25  # seconds between two reads of what has changed
AGAIN = 1.0  # seconds until a store that couldn't be read is tried again
OVERLAP = 10.0  # seconds that a commit may take: until then it may appear after later ones
REMEMBERED = 10_000  # runs whose last event a stream remembers, so as not to repeat it

_RUN_IDS = f"[A-Za-z0-9_-]{{1,64}}(,[A-Za-z0-9_-]{{1,64}}){{0,{MAX_RUNS - 1}}}"
_CURSOR = re.compile(rb"\d{1,12}(\.\d{1,17})?")

_encoder = msgspec.json.Encoder()


class FollowQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which runs are followed."""

    runs: (
        Annotated[
            str,
            Meta(
                pattern=f"^{_RUN_IDS}$",
                description=f"Ids of runs, at most {MAX_RUNS}, separated by commas; by default all of the "
                "caller's runs, also those that are made later.",
            ),
        ]
        | None
    ) = None

    @property
    def ids(self) -> Sequence[str]:
        """The ids; none if all runs are followed."""
        if self.runs is None:
            return ()
        if re.fullmatch(_RUN_IDS, self.runs) is None:  # a pattern's end also matches before a line end
            raise invalid_request([Problem(("query", "runs"), f"must match ^{_RUN_IDS}$")])
        return tuple(dict.fromkeys(self.runs.split(",")))


async def follow_runs(services: AppServices, call: Call, query: FollowQuery) -> ASGIApp:
    """Follow many runs: first those that changed since the last event, then each after every change.

    Runs that are named in `runs` are sent first as they stand, whether they have changed or not.
    """
    ids = query.ids
    followed = _Followed(services, call.owner, ids)
    since = _CURSOR.fullmatch(call.headers.get(b"last-event-id", b""))
    events = followed.events(None if since is None else float(since[0]))
    first = await anext(events)
    return EventStream(events, services.closing, first=first, expires=call.caller.expires)


class _Followed:
    """The runs that one stream follows.

    Parameters
    ----------
    owner
        Whose runs it sends.
    ids
        The ids of the runs; if none are given, it sends all.
    """

    def __init__(self, services: AppServices, owner: Owner, ids: Sequence[str]) -> None:
        self._services = services
        self._owner = owner
        self._ids = ids
        self._sent: dict[str, tuple[int, Version]] = {}  # hash of the last event of each run, and its version
        self._cursor = 0.0

    async def events(self, since: float | None) -> AsyncGenerator[bytes, None]:
        """Yield events, several at a time; the first text is there at once and may have none.

        They end if their reader is so slow that changes were missed: it connects again and catches up.
        """
        feed = self._services.feed
        with feed.subscribe(*self._ids) if self._ids else feed.subscribe_to_all() as changes:
            if since is None:
                self._cursor = await _now(self._services)
            yield await anyio.to_thread.run_sync(self._first, since)
            while not changes.overflowed:
                await changes.wait()
                text = await self._read(changes)
                if text:
                    yield text
                await asyncio.sleep(EVERY)

    async def _read(self, changes: Subscription) -> bytes:
        """Return the events of the runs that have changed."""
        hints = changes.take()
        try:
            return await anyio.to_thread.run_sync(self._events, hints)
        except StoreUnavailable:
            for hint in hints:
                changes.notify(hint)
            await asyncio.sleep(AGAIN)
            return b""

    # In threads, one at a time ------------------------------------------------------------------------------

    def _first(self, since: float | None) -> bytes:
        """Return the first events: of followed ids their current states, of all runs those changed since."""
        if self._ids:
            return self._events(map(Hint, self._ids))
        if since is not None:
            self._cursor = since
            text = self._updated()
        else:
            text = b""
        # An id without data is no event, but the browser keeps it for when the connection is lost.
        return text or b"id: %b\n\n" % self._cursor_text.encode()

    def _events(self, hints: Iterable[Hint]) -> bytes:
        """Return the events of the runs that hints are about, those without news left out."""
        gone = {hint.run_id: hint.owner for hint in hints}
        texts = [self._updated() if ANY_RUN in gone else b""]
        for run_id, former_owner in gone.items():
            if run_id == ANY_RUN:
                continue
            try:
                run = self._services.store.run(run_id)
            except RunNotFound:
                texts.append(self._deleted(run_id, former_owner))
            except Damaged:
                continue  # lists leave it out, too
            else:
                texts.append(self._stands(run))
        return b"".join(texts)

    def _updated(self) -> bytes:
        """Return the events of all runs that were updated since the cursor."""
        which = RunFilter(owner=self._owner, updated_after=self._cursor - OVERLAP)
        runs = self._services.store.runs(which, order=RunOrder.LATEST, limit=CAUGHT_UP)
        return b"".join(self._stands(run) for run in reversed(runs) if not self._is_sent(run))

    def _stands(self, run: Run) -> bytes:
        """Return the event of a run; empty if it is another owner's, or was sent before."""
        if self._owner not in (None, run.owner):
            return self._deleted(run.id, "") if self._ids else b""
        with suppress(RunNotFound, Damaged):  # it was deleted meanwhile, or its execution is damaged
            data = _encoder.encode(self._data(run))
            if self._is_news(run.id, data, (run.version, run.position, run.updated)):
                self._cursor = max(self._cursor, run.updated)
                return event("run", self._cursor_text, data)
        return b""

    def _deleted(self, run_id: str, former_owner: str) -> bytes:
        """Return the event of a deleted run; empty if the stream doesn't follow it."""
        known = run_id in self._ids or run_id in self._sent
        if not known and (not former_owner or self._owner not in (None, former_owner)):
            return b""
        data = _encoder.encode({"run": run_id, "state": "deleted"})
        return event("run", self._cursor_text, data) if self._is_news(run_id, data, ()) else b""

    def _is_news(self, run_id: str, data: bytes, version: Version) -> bool:
        """Return whether an event differs from the last one of its run, and remember it."""
        last, now = self._sent.pop(run_id, None), hash(data)
        self._sent[run_id] = now, version
        if len(self._sent) > REMEMBERED:
            del self._sent[next(iter(self._sent))]
        return last is None or last[0] != now

    def _is_sent(self, run: Run) -> bool:
        """Return whether the record of a run was sent already; hints report changes of its execution."""
        sent = self._sent.get(run.id)
        return sent is not None and sent[1] == (run.version, run.position, run.updated)

    def _data(self, run: Run) -> dict[str, Any]:
        """Return the data of a run's event."""
        fields = run_fields(run)
        data: dict[str, Any] = {"run": fields.pop("id"), **fields}
        if run.kind == SESSION:
            return {**data, "step": run.position}
        if run.kind == EXPERIMENT:
            experiment = self._services.experiments.view_of(run)
            own = {"stored": experiment.stored, "progress": experiment.progress}
            return {**data, **own, **_work(experiment.execution)}
        if self._ids:
            task = self._services.tasks.view_of(run)
            return {**data, "place": task.place, "progress": task.progress, **_work(task.execution)}
        # Finding a place in the queue takes longer the more tasks wait, and each of them may have changed.
        execution = self._services.store.execution(run.id)
        progress = TaskView(run=run, execution=execution).progress
        return {**data, "progress": progress, **_work(execution)}

    @property
    def _cursor_text(self) -> str:
        return f"{max(0.0, self._cursor):.6f}"


async def _now(services: AppServices) -> float:
    """Return the Unix time by the clock that sets when runs are updated."""
    try:
        return await asyncio.wrap_future(services.store.submit(ReadTime()))
    except StoreUnavailable:  # it can be read nevertheless
        return min(time.time(), steady())


def _work(execution: Execution) -> dict[str, Any]:
    return {
        "desired": execution.desired.value,
        "attempt": execution.attempt,
        "seconds": execution.seconds,
    }


_EVENT = {
    "type": "object",
    "description": "One event; its data is JSON with `run`, `kind`, `owner`, `name`, `tags`, `state`, "
    "`outcome`, `reason`, `created` and `updated`, and a session's `step`; of tasks and experiments "
    "`desired`, `attempt`, `seconds` and `progress`, of a task that is named in `runs` its `place`, and "
    "whether an experiment's files are `stored`. Of a deleted run, or one that isn't the caller's, it is "
    "`run` and `deleted` as the `state`.",
    "properties": {
        "event": {"const": "run"},
        "id": {"type": "string", "description": "A cursor, to be sent as Last-Event-ID."},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "id", "data"],
}

FOLLOW_RUNS = Operation(
    path="/events",
    method="GET",
    handler=follow_runs,
    summary="Follow many runs",
    query=FollowQuery,
    media={"text/event-stream": _EVENT},
    headers={"Last-Event-ID": "The id of the last event that was received."},
    errors=(401, 403, 422, 500, 503),
)
