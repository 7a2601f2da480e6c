"""The context: what the routes of one app work with, made by the composition root."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

import anyio.to_thread
from fastapi import Depends
from starlette.requests import Request
from starlette.types import Scope

from perdure.api.transfers import Transfers
from perdure.artifacts import Artifacts
from perdure.dialects.bptk.dialect import Dialect
from perdure.dialects.nrp.simulations import Simulations
from perdure.dialects.stableconfigs.dialect import StableConfigs
from perdure.drivers.experiments.experiments import Experiments
from perdure.drivers.run_access import find_run
from perdure.drivers.session_requests import Owner
from perdure.drivers.sessions import Sessions
from perdure.drivers.tasks import Tasks
from perdure.observability import Metrics
from perdure.run import Run
from perdure.scenarios import Catalogue
from perdure.stores.base import Store
from perdure.stores.feed import Feed
from perdure.web.auth import maker_of, owner_of

__all__ = ["Asking", "Context", "Making", "Serving", "context_of"]


@dataclass(frozen=True, kw_only=True)
class Context:
    """What one app works with.

    Attributes
    ----------
    store, catalogue, metrics, artifacts
        Given to the app, or made with it.
    feed
        Notifies of the changes of runs; closed by the app.
    transfers
        The threads in which files are moved.
    sessions
        The driver of sessions; closed by the app.
    tasks
        The driver of tasks; closed by the app.
    experiments
        The driver of experiments; closed by the app.
    bptk
        The instances of the BPTK dialect; closed by the app.
    stableconfigs
        The tasks of the StableConfigs dialect.
    simulations
        The experiments of the Neurorobotics Platform's dialect.
    closing
        Set when the server closes, so that streams end.
    """

    store: Store
    feed: Feed
    catalogue: Catalogue
    metrics: Metrics
    artifacts: Artifacts
    transfers: Transfers
    sessions: Sessions
    tasks: Tasks
    experiments: Experiments
    bptk: Dialect
    stableconfigs: StableConfigs
    simulations: Simulations
    closing: asyncio.Event

    async def run(self, owner: Owner, run_id: str) -> Run:
        """Return a run of any kind; another owner's doesn't exist."""
        return await anyio.to_thread.run_sync(find_run, self.store, owner, run_id)


def context_of(scope: Scope) -> Context:
    """Return the context of the app that serves a request."""
    context: Context = scope["app"].state.context
    return context


async def _serving(request: Request) -> Context:
    return context_of(request.scope)


async def _asking(request: Request) -> Owner:
    return owner_of(request.scope)


async def _making(request: Request) -> str:
    return maker_of(request.scope)


Serving = Annotated[Context, Depends(_serving)]
"""The parameter by which a FastAPI route gets the context."""

Asking = Annotated[Owner, Depends(_asking)]
"""The parameter by which a FastAPI route learns who asks."""

Making = Annotated[str, Depends(_making)]
"""The parameter by which a FastAPI route learns whose a new run is."""
