"""What the OpenAPI document says of this dialect: what its routes take."""

from collections.abc import Mapping
from typing import Any

from perdure.web.idempotency import DESCRIPTION, HEADER, HEADER_SCHEMA
from perdure.web.openapi import json_content, reference

__all__ = ["SCHEMAS", "operation"]

_NAMES = {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}
_SETTINGS = {"type": "object", "description": "Manager → scenario → constants, points."}
_SELECTION = {"scenario_managers": _NAMES, "scenarios": _NAMES, "equations": _NAMES}
_SCENARIO = {"scenarioManager": {"type": "string"}, "scenario": {"type": "string"}}
_TIMEOUT = {"timeout": {"type": "object", "description": "weeks, days, hours, minutes, seconds …: numbers."}}
_STEP = {"settings": _SETTINGS, "flatResults": {"type": "boolean"}, "expectedStep": {"type": "integer"}}

_BODIES: Mapping[str, Mapping[str, Any]] = {
    "run": {**_SELECTION, "settings": _SETTINGS},
    "execute": {},
    "equations": _SCENARIO,
    "agents": _SCENARIO,
    "start-instance": _TIMEOUT,
    "start-instances": {"instances": {"type": "integer"}, **_TIMEOUT},
    "begin-session": {
        **_SELECTION,
        "dt": {"type": "number"},
        "seed": {"type": "integer"},
        "settings": _SETTINGS,
    },
    "run-step": _STEP,
    "run-steps": {**_STEP, "numberSteps": {"type": "integer"}},
    "stream-steps": {"settings": _SETTINGS, "expectedStep": {"type": "integer"}},
}
"""The fields that a route's body may have; other routes take none."""

_KEYED = frozenset(
    {"start-instance", "start-instances", "begin-session", "run-step", "run-steps", "stream-steps"}
)
_STEPPING = frozenset({"run-step", "run-steps", "stream-steps"})


SCHEMAS: dict[str, Any] = {
    "BptkError": {
        "type": "object",
        "description": "What went wrong, in BPTK's shape.",
        "properties": {
            "error": {"type": "string"},
            "Unauthorized": {"type": "string", "description": "Instead, with a 401."},
        },
    }
}


def operation(name: str, method: str) -> dict[str, Any]:
    """Describe a route by the last part of its path."""
    headers = []
    if name in _KEYED:
        headers.append({"name": HEADER, "in": "header", "description": DESCRIPTION, "schema": HEADER_SCHEMA})
    if name in _STEPPING:
        text = "The number of the step that must be next, from 1 on."
        schema = {"type": "integer", "minimum": 1}
        headers.append({"name": "Expected-Step", "in": "header", "description": text, "schema": schema})
    error = json_content(reference("BptkError"))
    described: dict[str, Any] = {
        "operationId": f"bptk_{name.replace('-', '_')}_{method.lower()}",
        "responses": {
            "200": {"description": "Done.", "content": json_content({})},
            "4XX": {"description": "The request is wrong, or can't be answered now.", "content": error},
            "5XX": {"description": "Perdure, its store or the adapter failed.", "content": error},
        },
    }
    if headers:
        described["parameters"] = headers
    if name in _BODIES:
        body = {"type": "object", "properties": dict(_BODIES[name])}
        described["requestBody"] = {"content": json_content(body)}
    return described
