"""The pruning of runs that ended long ago, over HTTP and by the settings: each is deleted once, whole.

An unfinished run is never deleted, nor one whose files aren't stored yet, nor the session of a BPTK instance.
A fork has copies of all that it begins with, so that it needs nothing of the run it was made of.

Several processes may prune one store. A run that another process has just deleted isn't counted.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Literal

import anyio.to_thread
import structlog
from fastapi import APIRouter
from pydantic import BaseModel, BeforeValidator, Field

from perdure.api.context import Asking, Serving
from perdure.api.many_runs import delete
from perdure.api.schemas import Strict
from perdure.clock import steady
from perdure.dialects.bptk.instance import DIALECT, Instance
from perdure.drivers.session_requests import ADMINISTRATOR, Owner
from perdure.errors import Damaged, PerdureError, RunNotFound
from perdure.lifecycle import FINAL
from perdure.run import Run
from perdure.stores.base import Store
from perdure.stores.commands import ReadTime
from perdure.stores.run_list import Cursor, RunFilter, RunOrder
from perdure.supervision import keep_going
from perdure.web.errors import error_responses
from perdure.web.services import AppServices
from perdure.web.structs import whole

__all__ = ["kept_for", "prune", "router"]

DAY = 86_400.0
ROUND_SECONDS = 60.0  # between two searches of a server
PIECE = 20  # runs that a server deletes without a pause
SHARE = 0.1  # of the time may be spent on deleting

router = APIRouter(tags=["runs"])

log = structlog.get_logger(__name__)


class PruneRuns(Strict):
    """Which runs to delete."""

    ended_before: Annotated[float, Field(description="Only runs that ended before this Unix time.")]
    kind: Literal["session", "task", "experiment"] | None = Field(
        default=None, description="Only runs of this kind."
    )
    dry_run: bool = Field(default=False, description="Delete nothing, and return what would be deleted.")
    limit: Annotated[
        int, Field(ge=1, le=1000, description="Maximum number of runs to look at."), BeforeValidator(whole)
    ] = 100
    cursor: Annotated[str, Field(pattern="^[A-Za-z0-9_-]+$", max_length=200)] | None = Field(
        default=None, description="The `next` of the former answer."
    )


class PrunedRun(BaseModel):
    """A run that was deleted or, in a dry run, would be."""

    id: str
    kind: str
    owner: str
    name: str
    ended: float = Field(description="Unix time of its end, in seconds.")


class KeptRun(BaseModel):
    """A run that matches and was kept."""

    id: str
    reason: str


class PrunedRuns(BaseModel):
    """What one request has deleted, the runs that ended first before others."""

    runs: list[PrunedRun]
    kept: list[KeptRun]
    next: str | None = Field(description="The cursor for the next request; null if no more runs match.")


@router.post(
    "/prune",
    operation_id="prune_runs",
    responses=error_responses(400, 401, 403, 413, 415, 422, 500, 503),
)
async def prune_runs(body: PruneRuns, serving: Serving, owner: Asking) -> PrunedRuns:
    """Delete runs that ended before a time, with all that is stored of them."""
    which = RunFilter(owner=owner, kind=body.kind, states=FINAL, updated_before=body.ended_before)
    cursor = None if body.cursor is None else Cursor.parse(body.cursor, RunOrder.UPDATED)
    return await prune(serving, owner, which, cursor, limit=body.limit, dry_run=body.dry_run)


async def prune(
    serving: AppServices,
    owner: Owner,
    which: RunFilter,
    cursor: Cursor | None = None,
    *,
    limit: int = PIECE,
    dry_run: bool = False,
) -> PrunedRuns:
    """Delete a page of the ended runs that match a filter, in the order of their ends."""

    def read() -> tuple[Sequence[Run], Mapping[str, str]]:
        runs = serving.store.runs(which, order=RunOrder.UPDATED, limit=limit, cursor=cursor)
        return runs, _needed(serving.store, runs)

    runs, needed = await anyio.to_thread.run_sync(read)
    done = PrunedRuns(runs=[], kept=[], next=None)
    for run in runs:
        reason = needed.get(run.id)
        try:
            if reason is None and not dry_run:
                await delete(serving, owner, run.id)
        except RunNotFound:  # another process has deleted it
            continue
        except PerdureError as error:
            reason = str(error)
        if reason is None:
            done.runs.append(
                PrunedRun(id=run.id, kind=run.kind, owner=run.owner, name=run.name, ended=run.updated)
            )
        else:
            done.kept.append(KeptRun(id=run.id, reason=reason))
    if len(runs) == limit:
        done.next = Cursor.behind(runs[-1], RunOrder.UPDATED).text
    return done


@asynccontextmanager
async def kept_for(serving: AppServices, days: Mapping[str, float]) -> AsyncIterator[None]:
    """Delete ended runs in the background, those of each kind after its number of days, within the block."""
    if not days:
        yield
        return
    task = asyncio.create_task(keep_going("pruning of runs", lambda: _keep_pruning(serving, days)))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _keep_pruning(serving: AppServices, days: Mapping[str, float]) -> None:
    while True:
        for kind, kept in days.items():
            await _prune_all(serving, kind, kept * DAY)
        await asyncio.sleep(ROUND_SECONDS)


async def _prune_all(serving: AppServices, kind: str, seconds: float) -> None:
    """Delete all runs of a kind that ended so long ago, in small pieces with pauses."""
    # Runs have times of the database, so a wrong clock of this host mustn't delete them early. Nor must a
    # change of the wall clock since this process began.
    now = await asyncio.wrap_future(serving.store.submit(ReadTime()))
    before = min(now, time.time(), steady()) - seconds
    which = RunFilter(kind=kind, states=FINAL, updated_before=before)
    cursor: Cursor | None = None
    while True:
        began = time.monotonic()
        page = await prune(serving, ADMINISTRATOR, which, cursor)
        if page.runs:
            log.info("runs_pruned", kind=kind, runs=[run.id for run in page.runs])
        for kept in page.kept:
            log.debug("run_not_pruned", run=kept.id, reason=kept.reason)
        if page.next is None:
            return
        cursor = Cursor.parse(page.next, RunOrder.UPDATED)
        await asyncio.sleep((time.monotonic() - began) * (1 / SHARE - 1))


def _needed(store: Store, runs: Collection[Run]) -> dict[str, str]:
    """Return why runs are still needed, for those that are."""
    needed = dict.fromkeys(store.unstored(), "its files aren't stored yet") if runs else {}
    if any(run.kind == "session" for run in runs):
        for document in store.documents(DIALECT):
            with suppress(Damaged):
                if (session := Instance.of(document).run) is not None:
                    needed[session] = f"it is the session of the instance {document.id}"
    return needed
