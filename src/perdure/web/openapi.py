"""The OpenAPI document: FastAPI's own, with the routes of dialects and operations added."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from perdure.web.dialect import Dialect, Route
from perdure.web.errors import ErrorBody, error_responses
from perdure.web.idempotency import DESCRIPTION, HEADER, HEADER_SCHEMA
from perdure.web.operations import RUN_ID_PATTERN, Operation

__all__ = ["add_api", "add_errors", "add_tokens", "describe", "json_content", "reference"]

_REFERENCE = "#/components/schemas/{name}"
_METHODS = frozenset({"get", "put", "post", "patch", "delete"})


def json_content(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a body or an answer in JSON."""
    return {"application/json": {"schema": dict(schema)}}


def reference(name: str) -> dict[str, str]:
    """Return what refers to a schema of the document."""
    return {"$ref": _REFERENCE.format(name=name)}


def add_api(document: dict[str, Any], api: Dialect[Any]) -> None:
    """Add the routes and schemas of an API to an OpenAPI document, behind those that it has."""
    tags = document.setdefault("tags", [])
    if api.name not in [tag["name"] for tag in tags]:
        tags.append({"name": api.name, "description": api.description})
    for route in api.routes:
        document["paths"].setdefault(route.path, {})[route.method.lower()] = _operation(api, route)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name, schema in api.schemas.items():
        schemas.setdefault(name, schema)


def describe(operations: Sequence[Operation]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return what the document says of operations on Structs, and the schemas that it refers to there."""
    types = [kind for one in operations for kind in (one.body, one.query, one.answer) if kind is not None]
    _, schemas = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    queries = {one.query.__name__ for one in operations if one.query is not None}
    described = [_describe(one, schemas) for one in operations]
    return described, {name: schema for name, schema in schemas.items() if name not in queries}


def add_errors(document: dict[str, Any]) -> None:
    """Describe in an OpenAPI document how errors are answered."""
    schema = ErrorBody.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(schema.pop("$defs"))
    schemas[ErrorBody.__name__] = schema


def add_tokens(document: dict[str, Any], public: Collection[str], apis: Sequence[Dialect[Any]]) -> None:
    """Say in an OpenAPI document which routes need a bearer token: all but public ones and public paths."""
    routes = {(route.method.lower(), route.path) for api in apis for route in api.routes if route.public}
    document.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, item in document["paths"].items():
        for method in _METHODS & item.keys():
            if path not in public and (method, path) not in routes:
                item[method]["security"] = [{"token": []}]


def _operation(api: Dialect[Any], route: Route[Any]) -> dict[str, Any]:
    """Describe a route: what it says itself, and else what its handler and its path say."""
    handler = route.handler
    described = {
        "tags": [api.name],
        "operationId": f"{api.name}_{getattr(handler, '__name__', route.method)}".lower().replace(" ", "_"),
        "description": handler.__doc__ or "",
        "responses": {"default": {"description": "What it answers.", "content": json_content({})}},
        **route.operation,
    }
    known = {one["name"] for one in described.get("parameters", ()) if one["in"] == "path"}
    given = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in route.names
        if name not in known
    ]
    if given:
        described["parameters"] = [*given, *described.get("parameters", ())]
    return described


def _describe(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {kind: {"schema": dict(schema)} for kind, schema in operation.media.items()}
    if operation.answer is not None:
        content |= json_content(reference(operation.answer.__name__))
    described: dict[str, Any] = {
        "summary": operation.summary,
        "description": operation.handler.__doc__ or "",
        "operationId": getattr(operation.handler, "__name__", operation.path),
        "parameters": _parameters(operation, schemas),
        "responses": {
            "200": {"description": "Done.", "content": content},
            **({} if operation.empty is None else {"204": {"description": operation.empty}}),
            **{str(status): response for status, response in error_responses(*operation.errors).items()},
        },
    }
    if operation.body is not None:
        described["requestBody"] = {"content": json_content(reference(operation.body.__name__))}
    return described


def _parameters(operation: Operation, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    run_id = {"type": "string", "pattern": RUN_ID_PATTERN}
    parameters: list[dict[str, Any]] = (
        [{"name": "run_id", "in": "path", "required": True, "schema": run_id}]
        if "{run_id}" in operation.path
        else []
    )
    if operation.query is not None:
        properties = schemas[operation.query.__name__]["properties"]
        parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]
    parameters += [
        {"name": name, "in": "header", "description": meaning, "schema": {"type": "string"}}
        for name, meaning in operation.headers.items()
    ]
    if operation.keyed:
        parameters.append(
            {"name": HEADER, "in": "header", "description": DESCRIPTION, "schema": HEADER_SCHEMA}
        )
    return parameters
