"""The backup over HTTP: a folder with a copy of the store and of its artifacts, which can be served.

The database is copied first, as it is at one moment, and the artifacts after it: so all that it names had
been written by then. Its copy gets its name last, so that a backup that was broken off isn't taken for one.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import anyio.to_thread
from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from perdure.api.context import Serving
from perdure.api.schemas import Strict, Text
from perdure.artifacts import Artifacts
from perdure.durable import sync
from perdure.errors import BackupRefused, Invalid
from perdure.places import artifacts_beside
from perdure.stores.base import Store
from perdure.stores.files import FOLDER_MODE, make_folder
from perdure.stores.location import FILE
from perdure.web.auth import refuse_others
from perdure.web.errors import error_responses

__all__ = ["back_up", "router"]

PARTIAL = ".partial"

router = APIRouter(tags=["service"])


class TakeBackup(Strict):
    """Where a backup is to be written."""

    folder: Text = Field(
        description="A folder of the server's machine, empty or new; its path from the root."
    )
    store_only: bool = Field(default=False, description="Whether to leave out the artifacts.")


class Backup(BaseModel):
    """A backup that was written."""

    folder: str
    bytes: int = Field(description="Of the copy of the database.")
    files: int = Field(description="How many files of artifacts.")
    files_bytes: int = Field(description="Their bytes.")


@router.post(
    "/backup",
    status_code=201,
    operation_id="back_up",
    dependencies=[Depends(refuse_others)],
    responses=error_responses(400, 401, 403, 409, 413, 415, 422, 500, 503),
)
async def take_backup(body: TakeBackup, serving: Serving) -> Backup:
    """Write a backup of the store and its artifacts to a folder; for administrators only."""
    folder = Path(body.folder)
    if not folder.is_absolute() or "\0" in body.folder:
        raise Invalid(f"{body.folder!r} is no path from the root; a backup is written to one.")
    artifacts = None if body.store_only else serving.artifacts
    return await anyio.to_thread.run_sync(back_up, serving.store, artifacts, folder)


def back_up(store: Store, artifacts: Artifacts | None, folder: Path) -> Backup:
    """Write a backup, without artifacts if they are None; blocks while it does.

    Raises
    ------
    WrongStore
        If the store has other means of being backed up.
    BackupRefused
        If there is something in the folder, or it can't be written. What was written is removed again.
    CorruptBlob
        If a page of the store is damaged.
    ArtifactsUnavailable
        If an artifact can't be read or written.
    """
    target = folder / FILE
    partial = folder / f"{FILE}{PARTIAL}"
    made = not os.path.lexists(folder)
    try:
        if not made and (not folder.is_dir() or any(folder.iterdir())):
            raise BackupRefused(folder=str(folder), reason="there is something at that place")
        make_folder(folder)
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise BackupRefused(folder=str(folder), reason=error.strerror) from error
    beside = artifacts_beside(target)
    try:
        beside.mkdir(mode=FOLDER_MODE)
        store.backup(partial)
        files, files_bytes = (0, 0) if artifacts is None else artifacts.copy(str(beside))
        partial.rename(target)
        sync(folder)
        return Backup(folder=str(folder), bytes=target.stat().st_size, files=files, files_bytes=files_bytes)
    except BaseException as error:
        for file in (partial, target):
            with suppress(OSError):
                file.unlink()
        shutil.rmtree(beside, ignore_errors=True)
        if made:
            with suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError):
            raise BackupRefused(folder=str(folder), reason=error.strerror) from error
        raise
