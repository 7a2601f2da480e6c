"""Experiments over HTTP: made of zips, listed, read, changed and removed; and what their runs wrote."""

import re
from functools import partial
from math import isfinite
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from perdure.api.context import Asking, Making, Serving
from perdure.api.runs import RunId
from perdure.artifacts import Condition, FileSet, StoredFile
from perdure.artifacts.experiments import Experiments
from perdure.artifacts.names import EXPERIMENT_PATTERN, LONGEST_PATH
from perdure.artifacts.outputs import chunks_of
from perdure.run import Run
from perdure.web.bodies import Limit, Upload
from perdure.web.errors import error_responses
from perdure.web.paths import refuse_repeated
from perdure.web.transfers import download

__all__ = ["router", "uploads"]

ZIP: Final = "application/zip"
ROWS: Final = "application/x-ndjson"

_READING = (401, 403, 404, 422, 500, 503)
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_ETAG: dict[str, Any] = {"ETag": {"schema": {"type": "string"}, "description": "Of the file's bytes."}}
_LOCATION: dict[str, Any] = {"headers": {"Location": {"schema": {"type": "string"}}}}

Name = Annotated[str, Path(pattern=EXPERIMENT_PATTERN, description="The experiment's name.")]
FilePath = Annotated[
    str,
    Path(
        min_length=1,
        max_length=LONGEST_PATH,
        description="A relative path, with its slashes, without control characters.",
        # For readers only: `check_path` says better what is wrong.
        json_schema_extra={"pattern": "^[^\\u0000-\\u001f\\u007f]+$"},
    ),
]
IfMatch = Annotated[str, Header(description="ETags one of which the file must have; * for any.")]
IfNoneMatch = Annotated[str, Header(description="ETags none of which the file may have; * for any.")]


async def _owned(serving: Serving, owner: Making) -> Experiments:
    return serving.artifacts.experiments(owner)


Owned = Annotated[Experiments, Depends(_owned)]
"""The experiments of the caller."""

router = APIRouter(tags=["experiments"])


class FileRecord(BaseModel):
    """A file."""

    path: str
    size: int = Field(description="Bytes.")
    modified: float = Field(description="When it was stored; Unix time, in seconds.")
    sha256: str = Field(description="Of its bytes; in quotes, it is the file's ETag.")


class FileList(BaseModel):
    """The files that a run wrote, by path; none before it has ended."""

    files: list[FileRecord]


class DataPackSamples(BaseModel):
    """Numbers of data packs over simulation time: at most 400 of each series, equally many steps apart."""

    time: list[float] = Field(description="Simulation time of each sample, in seconds.")
    series: dict[str, list[float | None]] = Field(
        description="Engine, data pack and place in it, joined by slashes → its number in each sample; null "
        "for none, or one that isn't finite. At most 24, and at most 8 of a data pack."
    )


class ExperimentSummary(BaseModel):
    """An experiment."""

    name: str
    created: float = Field(description="Unix time, in seconds.")
    modified: float = Field(description="When a file of it was last changed; Unix time, in seconds.")
    size: int = Field(description="Bytes of all its files.")


class ExperimentRecord(ExperimentSummary):
    """An experiment with its files, by path."""

    files: list[FileRecord]


class ExperimentList(BaseModel):
    """All experiments of an owner, by name."""

    experiments: list[ExperimentSummary]


def uploads(max_upload_bytes: int) -> list[Upload]:
    """Return the requests here that have bodies which aren't JSON."""
    limit = Limit(max_upload_bytes, "PERDURE_MAX_UPLOAD_BYTES")
    return [
        Upload(re.compile("/experiments"), ZIP, limit),
        Upload(re.compile("/experiments/[^/]+/files/.+", re.DOTALL), None, limit),
    ]


# Experiments ------------------------------------------------------------------------------------------------


@router.post(
    "/experiments",
    status_code=201,
    operation_id="create_experiment",
    dependencies=[Depends(refuse_repeated)],
    responses={
        201: _LOCATION,
        200: {"description": "The very same was there.", "model": ExperimentRecord, **_LOCATION},
        **error_responses(401, 403, 409, 413, 415, 422, 429, 500, 503),
    },
    openapi_extra={"requestBody": {"required": True, "content": {ZIP: _BINARY}}},
)
async def create_experiment(
    name: Annotated[str, Query(pattern=EXPERIMENT_PATTERN)],
    request: Request,
    response: Response,
    serving: Serving,
    experiments: Owned,
) -> ExperimentRecord:
    """Make an experiment of a zip; it is there when this answers, and before that nobody sees any of it.

    One folder around everything is left out. The same zip once more changes nothing.
    """
    async with serving.transfers.received(request) as archive:
        made = await serving.transfers.run(lambda: experiments.create(name, archive))
    response.status_code = 200 if made.replayed else 201
    response.headers["Location"] = f"/experiments/{name}"
    return _record(made.files)


@router.get("/experiments", operation_id="list_experiments", responses=error_responses(401, 403, 500, 503))
async def list_experiments(serving: Serving, experiments: Owned) -> ExperimentList:
    """List the experiments, by name."""
    found = await serving.transfers.run(experiments.all)
    return ExperimentList(experiments=[ExperimentSummary(**_summary(files)) for files in found])


@router.get("/experiments/{name}", operation_id="read_experiment", responses=error_responses(*_READING))
async def read_experiment(name: Name, serving: Serving, experiments: Owned) -> ExperimentRecord:
    """List the files of an experiment, by path."""
    return _record(await serving.transfers.run(lambda: experiments.get(name)))


@router.delete(
    "/experiments/{name}",
    status_code=204,
    operation_id="delete_experiment",
    responses=error_responses(*_READING),
)
async def delete_experiment(name: Name, serving: Serving, experiments: Owned) -> None:
    """Remove an experiment; runs that were made of it keep what they need."""
    await serving.transfers.run(lambda: experiments.delete(name))


@router.get(
    "/experiments/{name}/zip",
    operation_id="download_experiment",
    response_class=StreamingResponse,
    responses={
        200: {"description": "The files, as they are now.", "content": {ZIP: _BINARY}},
        **error_responses(*_READING),
    },
)
async def download_experiment(name: Name, serving: Serving, experiments: Owned) -> Response:
    """Read all files of an experiment as one zip."""
    files = await serving.transfers.run(lambda: experiments.get(name))
    return download(await serving.transfers.streamed(experiments.zipped(name, files)), f"{name}.zip")


# Their files ------------------------------------------------------------------------------------------------

_OF_FILE = "/experiments/{name}/files/{path:path}"
_DOWNLOADED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file's bytes.", "content": {"*/*": _BINARY}, "headers": _ETAG},
    304: {"description": "It still has the ETag in If-None-Match.", "headers": _ETAG},
    **error_responses(*_READING),
}


@router.get(
    _OF_FILE, operation_id="read_experiment_file", response_class=StreamingResponse, responses=_DOWNLOADED
)
async def read_experiment_file(
    name: Name, path: FilePath, serving: Serving, experiments: Owned, if_none_match: IfNoneMatch = ""
) -> Response:
    """Read one file."""
    file = await serving.transfers.run(lambda: experiments.file(name, path))
    if _is_among(file, if_none_match):
        return Response(status_code=304, headers={"ETag": _tag(file)})
    return download(await serving.transfers.streamed(experiments.read(name, file)), path, _of_file(file))


@router.put(
    _OF_FILE,
    operation_id="write_experiment_file",
    responses={
        200: {"description": "It is replaced.", "headers": _ETAG},
        201: {"description": "It is new.", "model": FileRecord, "headers": _ETAG},
        **error_responses(*_READING, 412, 413),
    },
    openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": _BINARY}}},
)
async def write_experiment_file(
    name: Name,
    path: FilePath,
    request: Request,
    response: Response,
    serving: Serving,
    experiments: Owned,
    if_match: IfMatch = "",
    if_none_match: IfNoneMatch = "",
) -> FileRecord:
    """Add a file, or put it in the place of one; who is reading the experiment gets it as it was."""
    condition = _condition(if_match, if_none_match)
    async with serving.transfers.received(request) as body:
        put = partial(experiments.put, name, path, chunks_of(body), condition)
        file, new = await serving.transfers.run(put)
    response.status_code = 201 if new else 200
    response.headers["ETag"] = _tag(file)
    return _file(path, file)


@router.delete(
    _OF_FILE,
    status_code=204,
    operation_id="delete_experiment_file",
    responses=error_responses(*_READING, 412),
)
async def delete_experiment_file(
    name: Name,
    path: FilePath,
    serving: Serving,
    experiments: Owned,
    if_match: IfMatch = "",
    if_none_match: IfNoneMatch = "",
) -> None:
    """Remove a file."""
    condition = _condition(if_match, if_none_match)
    await serving.transfers.run(lambda: experiments.remove(name, path, condition))


# What runs wrote --------------------------------------------------------------------------------------------


@router.get("/runs/{run_id}/files", operation_id="list_run_files", responses=error_responses(*_READING))
async def list_run_files(run_id: RunId, serving: Serving, owner: Asking) -> FileList:
    """List the logs and files that a run wrote; they are stored when it ends."""
    run, version = await _ended(serving, owner, run_id)
    found = await serving.transfers.run(lambda: serving.artifacts.results(run.owner).get(run_id, version))
    return FileList(files=[] if found is None else _files(found))


@router.get(
    "/runs/{run_id}/files.zip",
    operation_id="download_run_files",
    response_class=StreamingResponse,
    responses={
        200: {"description": "The files.", "content": {ZIP: _BINARY}},
        **error_responses(*_READING),
    },
)
async def download_run_files(run_id: RunId, serving: Serving, owner: Asking) -> Response:
    """Read all logs and files that a run wrote as one zip."""
    run, version = await _ended(serving, owner, run_id)
    results = serving.artifacts.results(run.owner)
    found = await serving.transfers.run(lambda: results.get(run_id, version))
    return download(await serving.transfers.streamed(results.zipped(run_id, found)), f"{run_id}.zip")


@router.get(
    "/runs/{run_id}/files/{path:path}",
    operation_id="read_run_file",
    response_class=StreamingResponse,
    responses=_DOWNLOADED,
)
async def read_run_file(
    run_id: RunId, path: FilePath, serving: Serving, owner: Asking, if_none_match: IfNoneMatch = ""
) -> Response:
    """Read one file that a run wrote."""
    run, version = await _ended(serving, owner, run_id)
    results = serving.artifacts.results(run.owner)
    file = await serving.transfers.run(lambda: results.file(run_id, path, version))
    if _is_among(file, if_none_match):
        return Response(status_code=304, headers={"ETag": _tag(file)})
    return download(await serving.transfers.streamed(results.read(run_id, file)), path, _of_file(file))


@router.get(
    "/runs/{run_id}/trajectory",
    operation_id="read_trajectory",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "A line of JSON for each row.",
            "content": {ROWS: {"schema": {"type": "string"}}},
        },
        **error_responses(*_READING, 409),
    },
)
async def read_trajectory(run_id: RunId, serving: Serving, owner: Asking) -> Response:
    """Read what an experiment's status function answered, up to the newest savepoint."""
    rows = await serving.experiments.trajectory(owner, run_id)
    return download(await serving.transfers.streamed(rows), f"{run_id}.trajectory.jsonl")


@router.get(
    "/runs/{run_id}/datapacks", operation_id="read_datapacks", responses=error_responses(*_READING, 409)
)
async def read_datapacks(run_id: RunId, serving: Serving, owner: Asking) -> DataPackSamples:
    """Read numbers of the data packs over simulation time, thinned out, as they are about now."""
    view = await serving.experiments.view(owner, run_id)
    time, series = view.samples
    return DataPackSamples(
        time=time,
        series={
            name: [value if isfinite(value) else None for value in values] for name, values in series.items()
        },
    )


async def _ended(serving: Serving, owner: Asking, run_id: str) -> tuple[Run, int | None]:
    """Return a run and the version of its files; of one that has just ended, wait until they are stored."""
    run = await serving.run(owner, run_id)
    return run, await serving.experiments.stored(run)


def _condition(if_match: str, if_none_match: str) -> Condition:
    return Condition(_tags(if_match, weak=False) if if_match else None, _tags(if_none_match))


def _tags(header: str, *, weak: bool = True) -> frozenset[str]:
    """Return the entity tags in a header, without quotes; those marked as weak only where they count."""
    tags = [tag.strip() for tag in header.split(",") if tag.strip()]
    return frozenset(tag.removeprefix("W/").strip('"') for tag in tags if weak or not tag.startswith("W/"))


def _is_among(file: StoredFile, if_none_match: str) -> bool:
    return not _tags(if_none_match).isdisjoint({file.sha256, "*"})


def _of_file(file: StoredFile) -> dict[str, str]:
    return {"ETag": _tag(file), "Content-Length": str(file.size)}


def _tag(file: StoredFile) -> str:
    return f'"{file.sha256}"'


def _file(path: str, file: StoredFile) -> FileRecord:
    return FileRecord(path=path, size=file.size, modified=file.modified, sha256=file.sha256)


def _files(found: FileSet) -> list[FileRecord]:
    return [_file(path, file) for path, file in sorted(found.files.items())]


def _summary(found: FileSet) -> dict[str, Any]:
    return {"name": found.name, "created": found.created, "modified": found.changed, "size": found.size}


def _record(found: FileSet) -> ExperimentRecord:
    return ExperimentRecord(**_summary(found), files=_files(found))
