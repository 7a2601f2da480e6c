"""The shapes of this dialect: what clients send, what they get, and its errors."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.responses import Response

from perdure.dialects.nrp.simulations import NewRecord, NrpSimulation
from perdure.drivers.experiments.experiment_requests import NewExperiment
from perdure.errors import (
    Damaged,
    Forbidden,
    Invalid,
    NotFound,
    PerdureError,
    Refused,
    TooMany,
    TriggerRefused,
)
from perdure.lifecycle import RunStatus
from perdure.web.errors import status_of

__all__ = [
    "CLIENT",
    "GENERAL",
    "SERVER",
    "NrpError",
    "answer",
    "new_record",
    "resource",
    "translated",
    "wanted",
]

CLIENT = "Client error"
TRANSITION = "State Transition error"
SERVER = "Server Error"
GENERAL = "General error"

LONGEST_TEXT = 1_000  # characters

_BEGINNINGS: Mapping[str, RunStatus] = {
    "created": RunStatus.PAUSED,  # a client never sees one that isn't initialized
    "paused": RunStatus.PAUSED,
    "started": RunStatus.STARTED,
}


class NrpError(Exception):
    """What is wrong with a request, and the status and the type it is answered with."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = CLIENT,
        data: str | None = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.data = data
        self.headers = headers

    def response(self) -> Response:
        """Return the answer for it; one without data has no field of that name."""
        message = self.message if len(self.message) <= LONGEST_TEXT else f"{self.message[:LONGEST_TEXT]}…"
        body = {"message": message.encode("utf-8", "replace").decode(), "type": self.kind}
        return answer(body if self.data is None else {**body, "data": self.data}, self.status, self.headers)


def translated(error: PerdureError) -> NrpError:
    """Return one of Perdure's own errors as this dialect tells it; its code is the data."""
    kind, status = CLIENT, status_of(type(error))
    if isinstance(error, TriggerRefused):
        kind, status = TRANSITION, 400
    elif isinstance(error, Invalid):
        status = 400
    elif isinstance(error, Refused | TooMany):
        status = 409
    elif not isinstance(error, NotFound | Forbidden):
        kind = SERVER
    if isinstance(error, Damaged):
        status = 500
    return NrpError(status, str(error), kind=kind, data=error.code)


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer in JSON."""
    return Response(msgspec.json.encode(body), status, headers, "application/json")


def resource(simulation: NrpSimulation) -> dict[str, Any]:
    """Return a simulation as clients see it. Nothing is published over MQTT, so that its prefix is empty."""
    return {
        "state": simulation.run.state.value,
        "simulationID": simulation.number,
        "experimentConfiguration": simulation.configuration,
        "mainScript": simulation.script,
        "owner": simulation.run.owner,
        "creationDate": datetime.fromtimestamp(simulation.run.created, UTC).isoformat(),
        "experimentID": simulation.experiment,
        "ctxId": simulation.context,
        "MQTTPrefix": "",
    }


def new_record(body: Mapping[str, Any]) -> NewRecord:
    """Read what a simulation is to be made of; fields that aren't known are ignored, `owner` among them."""
    if "experimentID" not in body:
        raise NrpError(
            400, "The field experimentID is missing: the name of an experiment.", data="experimentID"
        )
    beginning = _text(body, "state", "created")
    if beginning not in _BEGINNINGS:
        known = ", ".join(_BEGINNINGS)
        raise NrpError(400, f"A simulation can't begin as {beginning!r}, only as {known}.", data="state")
    return NewRecord(
        request=NewExperiment(
            experiment=_text(body, "experimentID"),
            configuration=_text(body, "experimentConfiguration", "simulation_config.json"),
            script=_text(body, "mainScript", "main_script.py"),
        ),
        context=None if body.get("ctxId") is None else _text(body, "ctxId"),
        state=_BEGINNINGS[beginning],
    )


def wanted(body: Mapping[str, Any]) -> str:
    """Read the state that a simulation is to be in."""
    if "state" not in body:
        raise NrpError(400, 'The field state is missing: {"state": "started"} for example.', data="state")
    state = _text(body, "state")
    if state not in set(RunStatus):
        known = ", ".join(RunStatus)
        raise NrpError(400, f"There is no state {state[:100]!r}; there are {known}.", data="state")
    return state


def _text(body: Mapping[str, Any], field: str, default: str | None = None) -> str:
    value = body.get(field, default)
    if not isinstance(value, str):
        raise NrpError(400, f"The field {field} has to be a text.", data=field)
    return value
