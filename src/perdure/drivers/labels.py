"""Labels: what runs are called and found by, changed while they are worked on and after they have ended."""

import asyncio
from contextlib import suppress

import anyio.to_thread

from perdure.drivers.run_access import find_run
from perdure.drivers.session_requests import Owner
from perdure.errors import VersionConflict
from perdure.run import Change, LabelChange, Run
from perdure.stores.base import Store
from perdure.stores.commands import ChangeRun

__all__ = ["relabel"]


async def relabel(store: Store, owner: Owner, run_id: str, change: LabelChange) -> Run:
    """Change the name and the tags of a run of any kind, in any state; durable when it returns.

    If something else of the run changes at the same time, both changes are made.

    Raises
    ------
    RunNotFound
        If there is no such run, or it is another owner's.
    Invalid
        If the run would have a name or tags that it can't have.
    """
    while True:
        run = await anyio.to_thread.run_sync(find_run, store, owner, run_id)
        label = change.of(run.label)
        if label == run.label:
            return run
        with suppress(VersionConflict):
            changed = store.submit(ChangeRun(run_id, run.version, Change(name=label.name, tags=label.tags)))
            return await asyncio.wrap_future(changed)
