"""The router: the routes of this dialect. The token alone determines the owner of a request."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.responses import Response

from perdure import __version__
from perdure.dialects.nrp.openapi import SCHEMAS, operation
from perdure.dialects.nrp.schemas import (
    SERVER,
    STATUSES,
    NrpError,
    desired_state,
    error_body,
    new_record,
    resource,
)
from perdure.dialects.nrp.simulations import NrpSimulation, Simulations
from perdure.drivers.session_requests import ADMINISTRATOR
from perdure.errors import TriggerRefused
from perdure.lifecycle import RunStatus, is_final
from perdure.web.bodies import decode_object
from perdure.web.dialect import Call, Dialect, Handler, Route, json_response
from perdure.web.failures import HttpError
from perdure.web.headers import Headers
from perdure.web.openapi import reference
from perdure.web.services import AppServices

__all__ = ["NRP"]

_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")


async def version(simulations: Simulations, call: Call) -> Response:
    """Return Perdure's version."""
    return json_response({"version": __version__})


async def list_simulations(simulations: Simulations, call: Call) -> Response:
    """List your simulations, by number."""
    return json_response([resource(it) for it in await simulations.all(call.owner)])


async def create_simulation(simulations: Simulations, call: Call) -> Response:
    """Make a simulation and initialize it."""
    made = await simulations.create(call.maker, new_record(decode_object(call.body)))
    if made.run.state is RunStatus.FAILED:
        message = f"The simulation {made.number} failed to initialize: {made.run.reason}"
        raise NrpError(500, message, kind=SERVER, data=str(made.number))
    return json_response(resource(made), 201, {"Location": f"/simulation/{made.number}"})


async def read_simulation(simulations: Simulations, call: Call) -> Response:
    """Read a simulation."""
    return json_response(resource(await _found(simulations, call)))


async def read_state(simulations: Simulations, call: Call) -> Response:
    """Read a simulation's state."""
    return json_response({"state": (await _found(simulations, call)).run.state.value})


async def set_state(simulations: Simulations, call: Call) -> Response:
    """Bring a simulation to a state; answers when it is there."""
    run = (await _found(simulations, call)).run
    if is_final(run.kind, run.state):
        try:
            trigger = desired_state(decode_object(call.body))
        except HttpError:  # a final state is reported first, whatever the request
            trigger = "anything else"
        raise TriggerRefused(kind=run.kind, state=run.state.value, trigger=trigger)
    desired = desired_state(decode_object(call.body))
    run = await simulations.experiments.trigger(call.owner, run.id, desired)
    return json_response({"state": run.state.value})


async def _found(simulations: Simulations, call: Call) -> NrpSimulation:
    """Return the simulation of a number; raise `NrpError` (404) if there is none, or it is another's."""
    number = call.params["number"]
    found = await simulations.get(int(number)) if _NUMBER.fullmatch(number) else None
    if found is None or call.owner not in (ADMINISTRATOR, found.run.owner):
        raise NrpError(404, f"There is no simulation {number[:100]!r}.", data=number[:100])
    return found


def _as_sent(data: bytes, headers: Headers) -> bytes:
    """Return a body as it is: what a path names is looked for first, and no media type is asked for."""
    return data


@asynccontextmanager
async def _opened(services: AppServices) -> AsyncIterator[Simulations]:
    yield Simulations(services.store, services.experiments)


def _route(
    method: str,
    path: str,
    handler: Handler[Simulations],
    answer: dict[str, Any],
    statuses: tuple[int, ...],
    *,
    body: str | None = None,
    public: bool = False,
) -> Route[Simulations]:
    described = operation(getattr(handler, "__name__", path), answer, statuses, body)
    if "{number}" in path:
        number = {"type": "integer", "minimum": 0}
        described["parameters"] = [{"name": "number", "in": "path", "required": True, "schema": number}]
    return Route(method, path, handler, described, _as_sent, public)


_SIMULATION, _STATE = reference("NrpSimulation"), reference("NrpState")
_VERSION = {"type": "object", "required": ["version"], "properties": {"version": {"type": "string"}}}
_LIST = {"type": "array", "items": _SIMULATION}
_READING = (200, 401, 403, 404, 500, 503)
_WRITING = (400, 401, 403, 404, 409, 413, 500, 503)
_ONE = "/simulation/{number}"

NRP = Dialect(
    name="Neurorobotics Platform",
    description="The routes of the Neurorobotics Platform; a simulation is a run of an experiment.",
    routes=[
        _route("GET", "/simulation", list_simulations, _LIST, _READING),
        _route(
            "POST", "/simulation", create_simulation, _SIMULATION, (201, *_WRITING), body="NrpNewSimulation"
        ),
        _route("GET", _ONE, read_simulation, _SIMULATION, _READING),
        _route("GET", f"{_ONE}/state", read_state, _STATE, _READING),
        _route("PUT", f"{_ONE}/state", set_state, _STATE, (200, *_WRITING), body="NrpState"),
        _route("GET", "/version", version, _VERSION, (200, 403), public=True),
    ],
    opened=_opened,
    error=error_body,
    statuses=STATUSES,
    schemas=SCHEMAS,
)
"""The Neurorobotics Platform's backend."""
