"""The schemas of this dialect: requests, responses and errors."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from perdure.dialects.nrp.simulations import NewRecord, NrpSimulation
from perdure.drivers.experiments.experiment_requests import NewExperiment
from perdure.errors import Invalid, PerdureError, Refused, TooMany, TriggerRefused
from perdure.lifecycle import RunStatus
from perdure.web.failures import Failure, HttpError, Statuses

__all__ = ["SERVER", "STATUSES", "NrpError", "desired_state", "error_body", "new_record", "resource"]

CLIENT = "Client error"
TRANSITION = "State Transition error"
SERVER = "Server Error"
GENERAL = "General error"

_BEGINNINGS: Mapping[str, RunStatus] = {
    "created": RunStatus.PAUSED,  # a client never sees one that isn't initialized
    "paused": RunStatus.PAUSED,
    "started": RunStatus.STARTED,
}


class NrpError(HttpError):
    """An error in a request, with the type and the data of the response."""

    def __init__(self, status: int, message: str, *, kind: str = CLIENT, data: str = "") -> None:
        super().__init__(status, "nrp_error", message)
        self.kind = kind
        self.data = data


STATUSES: Statuses = {TriggerRefused: 400, Invalid: 400, Refused: 409, TooMany: 409}
"""Where the statuses of errors aren't those of Perdure."""


def error_body(failure: Failure) -> dict[str, str]:
    """Return an error as this dialect has it; of one of Perdure's own, the code is the data."""
    match failure.error:
        case NrpError(kind=kind, data=data):
            pass
        case HttpError():
            kind, data = CLIENT, ""
        case PerdureError(code=data):
            kind = TRANSITION if isinstance(failure.error, TriggerRefused) else CLIENT
            if failure.status >= 500:
                kind = SERVER
        case _:
            return {"message": failure.message, "type": GENERAL}
    return {"message": failure.message, "type": kind, "data": data}


def resource(simulation: NrpSimulation) -> dict[str, Any]:
    """Return a simulation as clients see it. Nothing is published over MQTT, so that its prefix is empty."""
    return {
        "state": simulation.run.state.value,
        "simulationID": simulation.number,
        "experimentConfiguration": simulation.record.configuration,
        "mainScript": simulation.record.script,
        "owner": simulation.run.owner,
        "creationDate": datetime.fromtimestamp(simulation.run.created, UTC).isoformat(),
        "experimentID": simulation.record.experiment,
        "ctxId": simulation.record.context,
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


def desired_state(body: Mapping[str, Any]) -> str:
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
