"""What the OpenAPI document says of this dialect."""

from typing import Any

from perdure.web.openapi import Described, json_content

__all__ = ["PUBLIC", "described"]

TAG = "Neurorobotics Platform"

PUBLIC = frozenset({"/version"})
"""Paths that need no token."""

_STATES = ["created", "paused", "started", "completed", "stopped", "failed"]

_DESCRIPTIONS = {
    200: "Done.",
    201: "Made.",
    400: "The request is wrong, or the state can't be reached.",
    401: "The token is missing or wrong.",
    403: "Experiments are not allowed here, or the request is of a foreign web page.",
    404: "There is no such simulation or experiment.",
    409: "It can't be done in the present state, or a quota is used up.",
    413: "The body is too large.",
    500: "The simulation failed to initialize, or Perdure failed.",
    503: "The service can't answer now.",
}


def described() -> Described:
    """Return the dialect's part of the OpenAPI document."""
    simulation, state = _reference("NrpSimulation"), _reference("NrpState")
    making = (201, 400, 401, 403, 404, 409, 413, 500, 503)
    changing = (200, 400, 401, 403, 404, 409, 413, 500, 503)
    reading = (200, 401, 403, 404, 500, 503)
    listed = {"type": "array", "items": simulation}
    version = {"type": "object", "required": ["version"], "properties": {"version": {"type": "string"}}}
    one, of_one = "/simulation/{number}", "/simulation/{number}/state"
    return Described(
        tag=TAG,
        description="The routes of the Neurorobotics Platform; a simulation is a run of an experiment.",
        paths={
            "/simulation": {
                "post": _operation(
                    "nrp_create_simulation",
                    "Make a simulation and initialize it.",
                    simulation,
                    making,
                    body="NrpNewSimulation",
                ),
                "get": _operation(
                    "nrp_list_simulations", "List your simulations, by number.", listed, reading
                ),
            },
            one: {
                "get": _operation("nrp_read_simulation", "Read a simulation.", simulation, reading, of=True)
            },
            of_one: {
                "get": _operation("nrp_read_state", "Read a simulation's state.", state, reading, of=True),
                "put": _operation(
                    "nrp_set_state",
                    "Bring a simulation to a state; answers when it is there.",
                    state,
                    changing,
                    of=True,
                    body="NrpState",
                ),
            },
            "/version": {"get": _operation("nrp_version", "Return Perdure's version.", version, (200, 403))},
        },
        schemas={
            "NrpSimulation": {
                "type": "object",
                "description": "A simulation.",
                "properties": {
                    "state": {"enum": _STATES},
                    "simulationID": {"type": "integer"},
                    "experimentID": {"type": "string", "description": "The experiment's name."},
                    "experimentConfiguration": {"type": "string"},
                    "mainScript": {"type": "string"},
                    "owner": {"type": "string"},
                    "creationDate": {"type": "string", "format": "date-time"},
                    "ctxId": {"type": ["string", "null"]},
                    "MQTTPrefix": {"const": "", "description": "Nothing is published over MQTT."},
                },
            },
            "NrpNewSimulation": {
                "type": "object",
                "description": "What a simulation is made of; other fields are ignored.",
                "required": ["experimentID"],
                "properties": {
                    "experimentID": {"type": "string", "description": "The experiment's name."},
                    "experimentConfiguration": {"type": "string", "default": "simulation_config.json"},
                    "mainScript": {"type": "string", "default": "main_script.py"},
                    "ctxId": {"type": ["string", "null"], "description": "Any text, given back."},
                    "state": {"enum": _STATES[:3], "default": "created"},
                },
            },
            "NrpState": {
                "type": "object",
                "description": "A simulation's state.",
                "required": ["state"],
                "properties": {"state": {"enum": _STATES}},
            },
            "NrpError": {
                "type": "object",
                "description": "What went wrong, in this dialect's shape.",
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "data": {"type": "string"},
                },
            },
        },
    )


def _operation(
    name: str,
    description: str,
    answer: dict[str, Any],
    statuses: tuple[int, ...],
    *,
    of: bool = False,
    body: str | None = None,
) -> dict[str, Any]:
    """Describe an operation; `of` one simulation, whose number is in the path."""
    error = _reference("NrpError")
    operation: dict[str, Any] = {
        "operationId": name,
        "description": description,
        "responses": {
            str(status): {
                "description": _DESCRIPTIONS[status],
                "content": json_content(answer if status < 300 else error),
            }
            for status in statuses
        },
    }
    if of:
        number = {"type": "integer", "minimum": 0}
        operation["parameters"] = [{"name": "number", "in": "path", "required": True, "schema": number}]
    if body is not None:
        operation["requestBody"] = {"required": True, "content": json_content(_reference(body))}
    return operation


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}
