"""What the OpenAPI document says of this dialect."""

from typing import Any

from perdure.web.idempotency import DESCRIPTION, HEADER, HEADER_SCHEMA
from perdure.web.openapi import json_content, reference

__all__ = ["SCHEMAS", "START", "STATUS", "TERMINATE"]

_TEXTS = {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}

SCHEMAS: dict[str, Any] = {
    "StableConfigsTask": {
        "type": "object",
        "description": "What is asked; other fields are ignored.",
        "required": ["monomers"],
        "properties": {
            "monomers": {**_TEXTS, "description": "Each a list of sites and perhaps >name."},
            "constraints": {**_TEXTS, "description": "Each a keyword and names."},
            "gen": {"type": "integer", "minimum": 1, "default": 1},
            "init_k": {"type": "integer", "minimum": 0, "default": 0},
        },
    },
    "StableConfigsAnswer": {
        "type": "object",
        "description": "An answer of this dialect: its status says which one.",
        "properties": {
            "status": {"type": "string"},
            "task_id": {"type": "string"},
            "message": {"type": "string"},
            "field": {"type": "string"},
            "configs": {"type": "array", "items": {"type": "object"}},
            "count": {"type": "integer"},
            "k": {"type": "integer"},
        },
    },
}


def _responses(statuses: dict[int, str]) -> dict[str, Any]:
    content = json_content(reference("StableConfigsAnswer"))
    found = {str(status): {"description": text, "content": content} for status, text in statuses.items()}
    return {
        **found,
        "4XX": {"description": "The request is wrong or not allowed.", "content": content},
        "5XX": {"description": "Perdure or its store failed.", "content": content},
    }


START = {
    "parameters": [{"name": HEADER, "in": "header", "description": DESCRIPTION, "schema": HEADER_SCHEMA}],
    "requestBody": {"required": True, "content": json_content(reference("StableConfigsTask"))},
    "responses": _responses({202: "It is queued."}),
}
STATUS = {
    "responses": _responses(
        {
            200: "COMPLETE: the configurations.",
            202: "Progress: it waits or is worked on.",
            203: "Progress: it is being terminated.",
            400: "TimedOut: time is up; the best configuration so far.",
            401: "TBNException: the network is wrong, or it was terminated; or no token.",
            402: "Exception: something else failed.",
            404: "NotFound: there is no such task, or its result has expired.",
        }
    )
}
TERMINATE = {"responses": _responses({200: "It has ended."})}
