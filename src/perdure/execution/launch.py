"""The launch: how the child of an attempt is started, as whom, and where its temporary files are."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from perdure.execution.body import Provision
from perdure.execution.guarded_process import GuardedProcess
from perdure.execution.progress_slot import ProgressSlot
from perdure.execution.sweep import NOBODY
from perdure.execution.worker_configuration import WorkerConfiguration
from perdure.run import Execution

__all__ = ["launch"]

T = TypeVar("T")


async def launch(
    configuration: WorkerConfiguration,
    execution: Execution,
    provision: Provision,
    seconds: float | None,
    opened: AsyncExitStack,
) -> tuple[GuardedProcess, ProgressSlot]:
    """Start the child of an attempt.

    Parameters
    ----------
    configuration
        Where it works.
    execution
        That of its run.
    provision
        What was prepared for it.
    seconds
        How long it may run; None is without end.
    opened
        When this is closed, nothing is left of the child, nor of its temporary files.
    """
    isolation, environment, folders = (
        configuration.isolation,
        dict(provision.environment),
        list(provision.folders),
    )
    user = None
    if isolation is not None:  # its temporary files are in its home
        user = await _made(partial(isolation.user, execution.owner), isolation.leave, opened)
    else:
        scratch = await _made(
            partial(configuration.scratch.make, execution.run_id), configuration.scratch.remove, opened
        )
        environment["TMPDIR"] = str(scratch)
        folders.append(scratch)
    slot = ProgressSlot.create()
    opened.callback(slot.close)
    process = await GuardedProcess.start(
        "perdure.execution.child",
        [execution.run_id],
        identity=configuration.identity,
        limits=replace(configuration.bodies[execution.kind].limits, seconds=seconds),
        shared=slot.file,
        environment=environment,
        user=user,
        ids=NOBODY if isolation is None else isolation.ids,
        folders=folders,
    )
    opened.push_async_callback(process.aclose)
    return process, slot


async def _made(make: Callable[[], T], remove: Callable[[T], None], opened: AsyncExitStack) -> T:
    """Make what is removed when `opened` is closed, also if the caller is cancelled meanwhile."""
    making = asyncio.ensure_future(asyncio.to_thread(make))

    async def undo() -> None:
        await asyncio.wait({making})
        if making.exception() is None:
            await asyncio.to_thread(remove, making.result())

    opened.push_async_callback(undo)
    return await asyncio.shield(making)
