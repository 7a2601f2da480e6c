"""The system over HTTP: where the server, its store, its queue and its workers stand.

All of it is numbers and names. On a server with tokens, only administrators get all of it.
"""

import platform
import time
from collections import Counter
from typing import Final

import anyio.to_thread
from fastapi import APIRouter
from prometheus_client.registry import Collector
from pydantic import BaseModel, Field
from starlette.requests import Request

from perdure import __version__
from perdure.api.context import Serving
from perdure.api.service import count_commits
from perdure.execution.presence import Workers
from perdure.numerics import HERE
from perdure.stores.queue import ANY_TAG, QueueState
from perdure.web.auth import caller_of
from perdure.web.errors import error_responses
from perdure.web.services import AppServices, BrokerState

__all__ = ["router"]

MAX_WAITS: Final = 100  # tags with waiting runs; a client may invent any number

router = APIRouter(tags=["service"])

_STARTED: Final = time.time()


class Bucket(BaseModel):
    """The number of those that took at most `seconds`."""

    seconds: float | None = Field(description="Null for any number of seconds.")
    count: int


class Latency(BaseModel):
    """How long something has taken since the server started."""

    count: int
    seconds: float = Field(description="Of all of them together.")
    buckets: list[Bucket] = Field(description="Each counts those of the buckets before, too.")


class StoreRecord(BaseModel):
    """The store."""

    ready: bool = Field(description="Whether it can be written.")
    problem: str | None = Field(description="Why it can't be written; null if it can.")
    shared: bool = Field(description="Whether several servers and workers may have it open.")
    ephemeral: bool = Field(description="Whether its content ends with the server.")
    bytes: dict[str, int] = Field(description="Part of the store → its bytes; empty if unknown.")
    waiting: int = Field(description="Writes that wait for their commit.")
    commits: Latency = Field(description="From the beginning of a transaction until it is durable.")


class QueuePart(BaseModel):
    """Tasks or experiments in one state of the queue."""

    kind: str = Field(description="`task` or `experiment`.")
    state: QueueState
    runs: int


class WaitingRuns(BaseModel):
    """Runs that wait for a worker."""

    kind: str = Field(description="`task` or `experiment`.")
    tag: str | None = Field(description="A tag that all of them have; null for all of the kind.")
    runs: int
    since: float = Field(description="Unix time of the last change of the run that waits longest.")


class WorkerRecord(BaseModel):
    """A worker of a shared store."""

    name: str
    host: str = Field(description="Empty for a worker of an earlier version.")
    tags: list[str] | None = Field(description="The tags of the runs that it works on; null for all runs.")
    slots: dict[str, int] = Field(description="Kind → how many runs it works on at a time.")
    busy: dict[str, int] = Field(description="Kind → how many it works on now.")
    runs: list[str] = Field(description="The ids of runs that it works on, of some seconds ago; at most 100.")
    lacks: list[str] = Field(description="What it lacks for runs that wait, in words.")


class Server(BaseModel):
    """The server, its store, and who works on runs."""

    python: str
    host: str
    numerics: str = Field(description="The numeric fingerprint of the host.")
    broker: BrokerState | None = Field(description="Whether the broker answers; null without one.")
    store: StoreRecord
    steps: Latency = Field(description="From a step's request to its durable answer.")
    answers: Latency = Field(description="From a request's headers to the end of its answer.")
    live_sessions: int = Field(description="Sessions in memory.")
    waiting: list[WaitingRuns]
    workers: list[WorkerRecord] | None = Field(
        description="Null if the store isn't shared: then this server works on its runs."
    )


class System(BaseModel):
    """Where everything stands."""

    version: str
    started: float = Field(description="When the server started; Unix time, in seconds.")
    queue: list[QueuePart] = Field(
        description="Unfinished tasks and experiments; of the caller only, if `server` is null."
    )
    server: Server | None = Field(description="Null unless the caller may see every owner's runs.")


@router.get("/system", operation_id="system", responses=error_responses(401, 403, 500, 503))
async def system(request: Request, serving: Serving) -> System:
    """Say where the server, its store, the queue and the workers stand.

    On a server with tokens, callers that aren't administrators get the queue of their own runs only.
    """
    caller = caller_of(request.scope)
    owner = caller.name if request.app.tokens_needed and not caller.administrator else None
    return await anyio.to_thread.run_sync(_system, serving, owner)


def _system(serving: AppServices, owner: str | None) -> System:
    counts: Counter[tuple[str, QueueState]] = Counter()
    for it in serving.store.queue_counts():
        if owner in (None, it.owner):
            counts[it.kind, it.state] += it.count
    queue = [QueuePart(kind=kind, state=state, runs=runs) for (kind, state), runs in sorted(counts.items())]
    server = _server(serving) if owner is None else None
    return System(version=__version__, started=_STARTED, queue=queue, server=server)


def _server(serving: AppServices) -> Server:
    store, metrics = serving.store, serving.metrics
    count_commits(serving)
    waits = sorted(store.queue_waits(), key=lambda it: (it.tag != ANY_TAG, -it.count))
    return Server(
        python=platform.python_version(),
        host=platform.node(),
        numerics=HERE.fingerprint,
        broker=serving.broker_state,
        store=StoreRecord(
            ready=store.unavailable is None,
            problem=store.unavailable,
            shared=store.shared,
            ephemeral=store.ephemeral,
            bytes=dict(store.sizes),
            waiting=store.waiting,
            commits=_latency(metrics.store_commit_seconds),
        ),
        steps=_latency(metrics.step_seconds),
        answers=_latency(metrics.answer_seconds),
        live_sessions=int(metrics.registry.get_sample_value("perdure_live_sessions") or 0),
        waiting=[
            WaitingRuns(
                kind=it.kind, tag=None if it.tag == ANY_TAG else it.tag, runs=it.count, since=it.since
            )
            for it in waits[:MAX_WAITS]
        ],
        workers=_workers(Workers(store)) if store.shared else None,
    )


def _workers(workers: Workers) -> list[WorkerRecord]:
    return [
        WorkerRecord(
            name=name,
            host=worker.host,
            tags=None if ANY_TAG in worker.tags else sorted(worker.tags),
            slots=dict(worker.slots),
            busy=dict(worker.busy),
            runs=list(worker.runs),
            lacks=sorted({lack for lacks in worker.lacks.values() for lack in lacks.values()}),
        )
        for name, worker in sorted(workers.present().items())
    ]


def _latency(histogram: Collector) -> Latency:
    (metric,) = histogram.collect()
    found = [(sample.name.rpartition("_")[2], sample.labels, sample.value) for sample in metric.samples]
    values = {name: value for name, _, value in found}
    return Latency(
        count=int(values["count"]),
        seconds=values["sum"],
        buckets=[
            Bucket(seconds=None if labels["le"] == "+Inf" else float(labels["le"]), count=int(value))
            for name, labels, value in found
            if name == "bucket"
        ],
    )
