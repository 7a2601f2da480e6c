"""The scenes of experiments over HTTP: what can be drawn of a run, and pictures of it."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, Field

from perdure.api.context import Asking, Serving
from perdure.api.runs import RunId
from perdure.web.bodies import LARGEST_NUMBER
from perdure.web.errors import error_responses

__all__ = ["router"]

PNG: Final = "image/png"
SMALLEST, LARGEST = 16, 1920  # pixels
LONGEST_NAME = 1000

_ERRORS = (401, 403, 404, 409, 422, 500, 503)
_HEADERS: dict[str, Any] = {
    "ETag": {"schema": {"type": "string"}, "description": "Differs when the picture does."},
    "Scene-Timestamp": {
        "schema": {"type": "integer"},
        "description": "The simulation time that it shows, in nanoseconds.",
    },
    "Scene-Live": {
        "schema": {"type": "string", "enum": ["true", "false"]},
        "description": "Whether it shows the running simulation, and not a savepoint.",
    },
}

router = APIRouter(tags=["experiments"])


class SceneRecord(BaseModel):
    """An engine that has a scene."""

    engine: str
    simulator: str = Field(description="Its simulator, by nrp-core's name: Mujoco, or OpenAI for gymnasium.")
    world: str = Field(description="Its model file or environment.")
    hint: str | None = Field(description="Why it can't be drawn, and what to do; null if nothing is known.")


class SceneList(BaseModel):
    """The engines of a run that have scenes."""

    scenes: list[SceneRecord]


@router.get("/runs/{run_id}/scenes", operation_id="list_scenes", responses=error_responses(*_ERRORS))
async def list_scenes(run_id: RunId, serving: Serving, owner: Asking) -> SceneList:
    """List the engines of an experiment that have a scene, with a hint for each that can't be drawn."""
    found = await serving.scenes.scenes(owner, run_id)
    return SceneList(
        scenes=[
            SceneRecord(engine=it.engine, simulator=it.simulator, world=it.world, hint=it.reason or None)
            for it in found
        ]
    )


@router.get(
    "/runs/{run_id}/scene",
    operation_id="draw_scene",
    response_class=Response,
    responses={
        200: {
            "description": "The picture.",
            "content": {PNG: {"schema": {"type": "string", "format": "binary"}}},
            "headers": _HEADERS,
        },
        304: {"description": "It still has the ETag in If-None-Match.", "headers": _HEADERS},
        **error_responses(*_ERRORS, 429),
    },
)
async def draw_scene(
    run_id: RunId,
    serving: Serving,
    owner: Asking,
    engine: Annotated[
        str, Query(max_length=LONGEST_NAME, description="The engine; by default the first that has a scene.")
    ] = "",
    savepoint: Annotated[
        int | None,
        Query(ge=0, le=LARGEST_NUMBER, description="The savepoint to draw; by default the run as it is now."),
    ] = None,
    width: Annotated[int, Query(ge=SMALLEST, le=LARGEST, description="Pixels, of a MuJoCo scene.")] = 640,
    height: Annotated[int, Query(ge=SMALLEST, le=LARGEST, description="Pixels, of a MuJoCo scene.")] = 480,
    if_none_match: Annotated[str, Header(description="The ETag of the picture that the client has.")] = "",
) -> Response:
    """Draw an engine's scene as a PNG: at a savepoint, or as it is now, at most four times a second.

    A run is only asked for its scenes while somebody asks for pictures of it; its numbers stay the same.
    """
    picture = await serving.scenes.picture(
        owner,
        run_id,
        engine,
        savepoint=savepoint,
        width=width,
        height=height,
        known=if_none_match.strip().removeprefix("W/").strip('"'),
    )
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; sandbox",  # code of owners may have drawn it
        "X-Content-Type-Options": "nosniff",
        "ETag": f'"{picture.tag}"',
        "Scene-Timestamp": str(picture.timestamp),
        "Scene-Live": "true" if picture.live else "false",
    }
    if picture.png is None:
        return Response(status_code=304, headers=headers)
    return Response(picture.png, media_type=PNG, headers=headers)
