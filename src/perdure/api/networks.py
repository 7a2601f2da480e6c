"""Binding networks over HTTP: their texts are checked while they are written, and what was found is drawn.

They are solved as tasks, see `tasks`.
"""

from functools import partial
from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from perdure.api.context import Asking, Serving
from perdure.api.runs import RunId
from perdure.api.schemas import Strict
from perdure.drivers.networks import check_network, picture_of
from perdure.drivers.task_spec import TaskSpec
from perdure.errors import NetworkError
from perdure.web.bodies import LARGEST_NUMBER
from perdure.web.errors import error_responses

__all__ = ["router"]

SVG = "image/svg+xml"

router = APIRouter(tags=["tasks"])


class CheckNetwork(Strict):
    """The texts of a binding network."""

    monomers: str = Field(description="A monomer a line.", examples=["a b >gate\na* b*"])
    constraints: str = Field(default="", description="A constraint a line.")


class NetworkMistake(BaseModel):
    """What is wrong in a binding network, and where; lines and columns count from 1."""

    code: str = Field(description="The error's.")
    message: str
    part: Literal["monomers", "constraints"] = Field(description="Which of the two texts.")
    line: int
    column: int = Field(description="In characters, not in bytes.")


class NetworkCheck(BaseModel):
    """What a check of a binding network found; the numbers are 0 if there is an error."""

    syntax: Literal["stableconfigs", "stable_tbn"] = Field(
        description="The syntax that the monomers are written in."
    )
    monomers: int = Field(description="How many there are, copies counted.")
    sites: int = Field(description="Of all monomers.")
    domains: int = Field(description="Different ones.")
    constraints: int
    error: NetworkMistake | None = Field(description="The first error; null if the network is right.")


@router.post(
    "/networks/check",
    operation_id="check_network",
    responses=error_responses(400, 401, 403, 413, 415, 422, 500),
)
async def check(body: CheckNetwork, _: Asking) -> NetworkCheck:
    """Check the texts of a binding network; nothing is stored."""
    checked = await anyio.to_thread.run_sync(check_network, body.monomers, body.constraints)
    return NetworkCheck(
        syntax=checked.syntax.value,
        monomers=checked.monomers,
        sites=checked.sites,
        domains=checked.domains,
        constraints=checked.constraints,
        error=None if checked.error is None else _mistake(checked.error),
    )


@router.get(
    "/runs/{run_id}/configurations/{number}",
    operation_id="draw_configuration",
    response_class=Response,
    responses={
        200: {"description": "The picture.", "content": {SVG: {"schema": {"type": "string"}}}},
        **error_responses(401, 403, 404, 409, 422, 500, 503),
    },
)
async def draw_configuration(
    run_id: RunId,
    number: Annotated[int, Path(ge=1, le=LARGEST_NUMBER, description="Which one, from 1.")],
    serving: Serving,
    owner: Asking,
) -> Response:
    """Draw a configuration that a task has found, also while it is still at work."""
    run, result = await serving.tasks.result(owner, run_id, partial=True)
    spec = TaskSpec.from_blob(run.spec)
    svg = await anyio.to_thread.run_sync(partial(picture_of, run_id, spec, result, number))
    headers: dict[str, Any] = {
        "Content-Disposition": f'attachment; filename="configuration-{number}.svg"',
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return Response(svg, media_type=SVG, headers=headers)


def _mistake(error: NetworkError) -> NetworkMistake:
    values = error.values
    return NetworkMistake(
        code=error.code,
        message=str(error),
        part=values["part"],
        line=values["line_number"],
        column=values["column"],
    )
