"""The OpenAPI document: FastAPI's own, with the operations on msgspec Structs and those of dialects added."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.routing import BaseRoute

from perdure.web.errors import ErrorBody, error_responses
from perdure.web.idempotency import DESCRIPTION, HEADER, HEADER_SCHEMA
from perdure.web.operations import RUN_ID_PATTERN, Operation, operation_of

__all__ = ["Described", "add_dialects", "add_errors", "add_operations", "add_tokens", "json_content"]

_REFERENCE = "#/components/schemas/{name}"
_OF_RUNS = "runs"  # the tag of operations, each of which is on a run
_METHODS = frozenset({"get", "put", "post", "patch", "delete"})


@dataclass(frozen=True, kw_only=True)
class Described:
    """A dialect's part of the OpenAPI document.

    Attributes
    ----------
    tag
        The name of the dialect, which its operations are tagged with.
    description
        What it is.
    paths, schemas
        Its paths and schemas, as in the document.
    """

    tag: str
    description: str
    paths: Mapping[str, Mapping[str, Any]]
    schemas: Mapping[str, Any]


def json_content(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a body or an answer in JSON."""
    return {"application/json": {"schema": dict(schema)}}


def add_dialects(document: dict[str, Any], dialects: Iterable[Described]) -> None:
    """Add the parts of dialects to an OpenAPI document, after its own tags and paths."""
    tags = document.setdefault("tags", [])
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for dialect in dialects:
        tags.append({"name": dialect.tag, "description": dialect.description})
        for path, item in dialect.paths.items():
            document["paths"][path] = {
                method: {"tags": [dialect.tag], **operation} for method, operation in item.items()
            }
        schemas.update(dialect.schemas)


def add_operations(document: dict[str, Any], routes: Iterable[BaseRoute]) -> None:
    """Describe all operations among the routes in an OpenAPI document."""
    operations = [operation for route in routes if (operation := operation_of(route)) is not None]
    types = [
        kind
        for operation in operations
        for kind in (operation.body, operation.query, operation.answer)
        if kind is not None
    ]
    _, schemas = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    for operation in operations:
        described = _describe(operation, schemas)
        document["paths"].setdefault(operation.path, {})[operation.method.lower()] = described
    queries = {operation.query.__name__ for operation in operations if operation.query is not None}
    known = document.setdefault("components", {}).setdefault("schemas", {})
    known.update({name: schema for name, schema in schemas.items() if name not in queries})


def add_errors(document: dict[str, Any]) -> None:
    """Describe in an OpenAPI document how errors are answered."""
    schema = ErrorBody.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(schema.pop("$defs"))
    schemas[ErrorBody.__name__] = schema


def add_tokens(document: dict[str, Any], public: Collection[str]) -> None:
    """Say in an OpenAPI document that all paths but the public ones need a bearer token."""
    document.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, item in document["paths"].items():
        if path not in public:
            for method in _METHODS & item.keys():
                item[method]["security"] = [{"token": []}]


def _describe(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {kind: {"schema": dict(schema)} for kind, schema in operation.media.items()}
    if operation.answer is not None:
        content["application/json"] = {"schema": _reference(operation.answer)}
    described: dict[str, Any] = {
        "tags": [_OF_RUNS],
        "summary": operation.summary,
        "description": operation.handler.__doc__ or "",
        "operationId": operation.handler.__name__,
        "parameters": _parameters(operation, schemas),
        "responses": {
            "200": {"description": "Done.", "content": content},
            **({} if operation.empty is None else {"204": {"description": operation.empty}}),
            **{str(status): response for status, response in error_responses(*operation.errors).items()},
        },
    }
    if operation.body is not None:
        described["requestBody"] = {"content": {"application/json": {"schema": _reference(operation.body)}}}
    return described


def _parameters(operation: Operation, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {
            "name": "run_id",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": RUN_ID_PATTERN},
        }
    ]
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


def _reference(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(name=kind.__name__)}
