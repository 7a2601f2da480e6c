"""The launch: starts the child of an attempt, as a user and with a folder for temporary files."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from perdure.execution.body import Provision
from perdure.execution.guarded_process import GuardedProcess
from perdure.execution.isolation import Isolation, User
from perdure.execution.progress_slot import ProgressSlot
from perdure.execution.scratch import Scratch
from perdure.execution.sweep import NOBODY
from perdure.execution.worker_configuration import WorkerConfiguration
from perdure.run import Execution

__all__ = ["housed", "launch"]

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
        The worker's configuration.
    execution
        The run's execution.
    provision
        What was prepared for the attempt.
    seconds
        How long it may run; None is no limit.
    opened
        When this is closed, nothing is left of the child and its temporary files.
    """
    isolation, environment, folders = (
        configuration.isolation,
        dict(provision.environment),
        list(provision.folders),
    )
    user, home = await housed(isolation, configuration.scratch, execution.owner, execution.run_id, opened)
    if user is None:
        environment["TMPDIR"] = str(home)
        folders.append(home)
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


async def housed(
    isolation: Isolation | None, scratch: Scratch, owner: str, name: str, opened: AsyncExitStack
) -> tuple[User | None, Path]:
    """Return the user of an owner's child, if owners have their own, and a new folder for temporary files.

    The folder is the user's home, or the scratch folder of that name. It is removed when `opened` is closed.
    """
    if isolation is None:
        return None, await _made(partial(scratch.make, name), scratch.remove, opened)
    user = await _made(partial(isolation.user, owner), isolation.leave, opened)
    return user, user.home


async def _made(make: Callable[[], T], remove: Callable[[T], None], opened: AsyncExitStack) -> T:
    """Make something that is removed when `opened` is closed, even if the caller is cancelled meanwhile."""
    making = asyncio.ensure_future(asyncio.to_thread(make))

    async def undo() -> None:
        await asyncio.wait({making})
        if making.exception() is None:
            await asyncio.to_thread(remove, making.result())

    opened.push_async_callback(undo)
    return await asyncio.shield(making)
