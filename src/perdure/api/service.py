"""The service itself over HTTP: the start page, whether it is alive, ready and intact, and its metrics."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final, Literal

import anyio.to_thread
from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from perdure.api.check_schemas import CheckStore
from perdure.api.context import Serving
from perdure.api.page import wants_page
from perdure.api.start_page import address_of, start_page
from perdure.drivers.experiments.experiments import KIND as EXPERIMENT
from perdure.drivers.tasks import KIND as TASK
from perdure.errors import Damaged, PerdureError, StoreUnavailable
from perdure.execution.presence import Presence, Workers
from perdure.observability import Metrics
from perdure.stores.commands import Recount
from perdure.stores.commit_times import LIMITS
from perdure.stores.queue import ANY_TAG, QueueState, QueueWait
from perdure.web.auth import caller_of, refuse_others
from perdure.web.errors import error_responses
from perdure.web.openapi_page import openapi_page
from perdure.web.pages import page
from perdure.web.services import AppServices, BrokerState

__all__ = ["PUBLIC", "count_commits", "router"]

PUBLIC: Final = frozenset({"/", "/docs", "/healthy", "/healthy/", "/ready", "/openapi.json"})
"""Paths that need no token: they show nothing about runs or models. BPTK has some with a slash at the end."""

MAX_TAGS = 100  # tags in the metrics, since a client may invent any number

router = APIRouter(tags=["service"])


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"]


class Readiness(BaseModel):
    """The store can be written."""

    status: Literal["ready"]
    broker: BrokerState | None = Field(
        None,
        description="Whether the broker answers; while it is down, workers find runs by themselves. "
        "Absent without a broker.",
    )


class StoreReport(BaseModel):
    """What a check of the store found; each run has a check of its own."""

    problems: list[str] = Field(description="What is wrong, in words; empty if all is well.")
    repaired: list[str] = Field(description="What was wrong and has been repaired, in words.")


@router.get(
    "/",
    operation_id="start_page",
    response_class=HTMLResponse,
    responses={307: {"description": "A browser asked: the page is at `/ui/`."}, **error_responses(403)},
)
async def show_start_page(request: Request, serving: Serving) -> Response:
    """Show where the server answers, what it serves, and where to go next, as a page without scripts.

    A browser, which asks for HTML by name, is led to the page at `/ui/` instead, if that is served.
    """
    if request.app.serves_page and wants_page(request):
        return RedirectResponse("ui/", 307, {"Vary": "Accept"})
    shown = await start_page(request, serving, request.app.openapi()["paths"])
    answer = page("Perdure", shown, form=caller_of(request.scope).by_cookie)
    answer.headers["Vary"] = "Accept"
    return answer


@router.get("/docs", operation_id="docs", response_class=HTMLResponse, responses=error_responses(403))
async def show_docs(request: Request) -> Response:
    """Show every route, with what it takes and answers, as a page without scripts."""
    document = request.app.openapi()
    return page("Perdure: routes", openapi_page(document, address_of(request)))


@router.get("/healthy/", include_in_schema=False)
@router.get("/healthy", operation_id="healthy", responses=error_responses(403))
async def healthy() -> Health:
    """Say that the process answers."""
    return Health(status="ok")


@router.get(
    "/ready", operation_id="ready", response_model_exclude_none=True, responses=error_responses(403, 503)
)
async def ready(serving: Serving) -> Readiness:
    """Say whether the store can be written; if not, the error says why.

    The absence of the broker is no reason to send requests elsewhere: runs only start a little later.
    """
    reason = serving.store.unavailable
    serving.metrics.ready.set(reason is None)
    if reason is not None:
        raise StoreUnavailable(reason=reason)
    return Readiness(status="ready", broker=serving.broker_state)


@router.post(
    "/check",
    operation_id="check_store",
    dependencies=[Depends(refuse_others)],
    responses=error_responses(400, 401, 403, 413, 415, 422, 500, 503),
)
async def check_store(serving: Serving, body: CheckStore | None = None) -> StoreReport:
    """Look for damaged pages, keys, records of runs and wrong counts; for administrators only.

    It reads the whole store. With `repair`, counts, lists and the queue are made again where they are wrong.
    """

    def check() -> StoreReport:
        repaired: Sequence[str] = ()
        if body is not None and body.repair:
            with suppress(StoreUnavailable, Damaged):  # the check reports it
                repaired = serving.store.submit(Recount()).result()
        return StoreReport(problems=list(serving.store.check()), repaired=list(repaired))

    return await anyio.to_thread.run_sync(check)


@router.get("/metrics/", include_in_schema=False, response_class=PlainTextResponse)
@router.get(
    "/metrics",
    operation_id="metrics",
    response_class=PlainTextResponse,
    responses=error_responses(401, 403, 500),
)
async def metrics(serving: Serving) -> PlainTextResponse:
    """Return the metrics in Prometheus' text format."""
    await anyio.to_thread.run_sync(_measure, serving)
    return PlainTextResponse(serving.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def count_commits(serving: AppServices) -> None:
    """Set the times of commits in the metrics: the store counts them."""
    commits = serving.store.commits
    serving.metrics.store_commit_seconds.set(LIMITS, commits.counts, commits.seconds)


def _measure(serving: AppServices) -> None:
    """Set what isn't counted as it happens: the queue, and the store."""
    store, metrics = serving.store, serving.metrics
    metrics.ready.set(store.unavailable is None)
    metrics.store_waiting.set(store.waiting)
    count_commits(serving)
    for part, size in store.sizes.items():
        metrics.store_bytes.labels(part).set(size)
    try:
        counts, waits = store.queue_counts(), store.queue_waits()
    except PerdureError:
        return  # what can't be read has the value that it had
    _measure_waits(metrics, waits)
    if store.shared:
        _measure_slots(metrics, Workers(store).present().values())
    found = Counter[tuple[str, QueueState]]()
    for it in counts:
        found[it.kind, it.state] += it.count
    for kind in (TASK, EXPERIMENT):
        for state in QueueState:
            metrics.queue.labels(kind, state.value).set(found[kind, state])


def _measure_waits(metrics: Metrics, waits: Sequence[QueueWait]) -> None:
    """Set what autoscaling reads of the queue, for all runs of each kind and for the tags of most runs."""
    for gauge in (metrics.queue_waiting, metrics.queue_oldest_seconds):
        gauge.clear()
        for kind in (TASK, EXPERIMENT):
            gauge.labels(kind, ANY_TAG).set(0)
    tagged = sorted((it for it in waits if it.tag != ANY_TAG), key=lambda it: -it.count)
    for it in (*(it for it in waits if it.tag == ANY_TAG), *tagged[:MAX_TAGS]):
        metrics.queue_waiting.labels(it.kind, it.tag).set(it.count)
        metrics.queue_oldest_seconds.labels(it.kind, it.tag).set(max(0.0, time.time() - it.since))


def _measure_slots(metrics: Metrics, workers: Iterable[Presence]) -> None:
    """Set the slots of all workers that share the store."""
    metrics.worker_slots.clear()
    for worker in workers:
        for kind, tag, state, number in worker.count():
            metrics.worker_slots.labels(kind, tag, state).inc(number)
