"""The schemas of savepoints in the native API."""

from pydantic import BaseModel, Field

from perdure.api.schemas import Name, Strict
from perdure.state.savepoint import SavepointInfo

__all__ = [
    "MarkSavepoint",
    "SavepointList",
    "SavepointRecord",
    "TakeSavepoint",
    "savepoint_record",
]


class TakeSavepoint(Strict):
    """A savepoint to be taken."""

    name: Name | None = None
    pinned: bool = False


class MarkSavepoint(TakeSavepoint):
    """What is to change about a savepoint; what isn't given stays as it is."""


class SavepointRecord(BaseModel):
    """A savepoint."""

    timestamp: int
    step: int = Field(description="Steps that its states include.")
    created: float = Field(description="Unix time, in seconds.")
    size: int = Field(description="Bytes.")
    name: str | None
    pinned: bool
    milestone: bool = Field(description="Whether it is kept permanently as a near start for forks.")


class SavepointList(BaseModel):
    """The savepoints of a run, oldest first."""

    savepoints: list[SavepointRecord]


def savepoint_record(info: SavepointInfo) -> SavepointRecord:
    """Return a savepoint."""
    return SavepointRecord(
        timestamp=info.timestamp,
        step=info.position,
        created=info.created,
        size=info.size,
        name=info.name,
        pinned=info.pinned,
        milestone=info.milestone,
    )
