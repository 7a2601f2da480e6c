"""What the OpenAPI document says of this dialect."""

from typing import Any

from perdure.web.openapi import json_content, reference

__all__ = ["SCHEMAS", "operation"]

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


SCHEMAS: dict[str, Any] = {
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
}


def operation(
    name: str, answer: dict[str, Any], statuses: tuple[int, ...], body: str | None = None
) -> dict[str, Any]:
    """Describe a route by its name, its answer, the statuses it answers with, and the schema of its body."""
    described: dict[str, Any] = {
        "operationId": f"nrp_{name}",
        "responses": {
            str(status): {
                "description": _DESCRIPTIONS[status],
                "content": json_content(answer if status < 300 else reference("NrpError")),
            }
            for status in statuses
        },
    }
    if body is not None:
        described["requestBody"] = {"required": True, "content": json_content(reference(body))}
    return described
