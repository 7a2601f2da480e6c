"""The page of an OpenAPI document: all its operations, by tag, and its schemas, as HTML."""

import json
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any
from urllib.parse import quote

__all__ = ["openapi_page"]

Json = Mapping[str, Any]

_METHODS = ("get", "post", "put", "patch", "delete")
_OTHER = "other"

_LIMITS = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "above {}"),
    ("maximum", "at most {}"),
    ("exclusiveMaximum", "below {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("pattern", "matches {}"),
    ("format", "{}"),
    ("contentMediaType", "{}"),
    ("default", "by default {}"),
)


def openapi_page(document: Json, address: str) -> str:
    """Return the page's body.

    Parameters
    ----------
    document
        The OpenAPI document.
    address
        Where the server answers.
    """
    info = document["info"]
    groups = _by_tag(document)
    known = {tag["name"]: tag.get("description", "") for tag in document.get("tags", ())}
    schemas = document.get("components", {}).get("schemas", {})
    links = [f'<a href="#{_anchor(tag)}">{escape(tag)}</a>' for tag in groups]
    parts = [
        f"<header>\n<h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>",
        f'<p class="address"><code>{escape(address)}</code></p>',
        f"<p>{escape(info.get('description', ''))}</p>",
        '<nav><a href="./">start page</a><a href="openapi.json">OpenAPI document</a><br>',
        "\n".join(links),
        '<a href="#schemas">schemas</a></nav>\n</header>\n<main>' if schemas else "</nav>\n</header>\n<main>",
    ]
    for tag, operations in groups.items():
        parts.append(f'<h2 id="{_anchor(tag)}">{escape(tag)}</h2>')
        if known.get(tag):
            parts.append(f"<p>{escape(known[tag])}</p>")
        parts += [_operation(path, method, operation) for path, method, operation in operations]
    if schemas:
        parts.append('<h2 id="schemas">schemas</h2>')
        parts += [_schema(name, schema) for name, schema in sorted(schemas.items())]
    parts.append("</main>")
    return "\n".join(parts)


def _by_tag(document: Json) -> dict[str, list[tuple[str, str, Json]]]:
    """Return the operations by the first of their tags, tags in the document's order."""
    groups: dict[str, list[tuple[str, str, Json]]] = {tag["name"]: [] for tag in document.get("tags", ())}
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                tag = next(iter(item[method].get("tags", ())), _OTHER)
                groups.setdefault(tag, []).append((path, method, item[method]))
    return {tag: operations for tag, operations in groups.items() if operations}


def _operation(path: str, method: str, operation: Json) -> str:
    description = operation.get("description", "")
    first = description.strip().split("\n")[0]
    parts = [
        f'<details id="{_anchor(operation.get("operationId", method + path))}"><summary>'
        f'<span class="method {method}">{method.upper()}</span> <code>{escape(path)}</code>'
        f'<span class="faint">{_prose(first or operation.get("summary", ""))}</span></summary>\n<div>'
    ]
    if description.strip() != first:
        parts += [f"<p>{_prose(text)}</p>" for text in description.split("\n\n")[1:]]
    if operation.get("security"):
        parts.append("<p>Needs a token: <code>Authorization: Bearer TOKEN</code></p>")
    parameters = operation.get("parameters", ())
    if parameters:
        parts.append(f"<h3>Parameters</h3>\n{_list(_parameter(each) for each in parameters)}")
    if "requestBody" in operation:
        parts.append(f"<h3>Body</h3>\n{_list(_content(operation['requestBody'].get('content', {})))}")
    parts.append(
        "<h3>Answers</h3>\n"
        + _list(_response(status, response) for status, response in sorted(operation["responses"].items()))
    )
    return "\n".join(parts) + "\n</div></details>"


def _parameter(parameter: Json) -> tuple[str, str]:
    schema = parameter.get("schema", {})
    required = ", required" if parameter.get("required") else ""
    text = _prose(parameter.get("description", schema.get("description", "")))
    where = f'<code>{escape(parameter["name"])}</code> <span class="faint">{escape(parameter["in"])}</span>'
    return where, f"{_type(schema)}{required}<br>{text}" if text else f"{_type(schema)}{required}"


def _content(content: Json) -> list[tuple[str, str]]:
    return [
        (f"<code>{escape(kind)}</code>", _type(media.get("schema", {}))) for kind, media in content.items()
    ]


def _response(status: str, response: Json) -> tuple[str, str]:
    media = "".join(
        f'<br><span class="faint">{escape(kind)}</span> {_type(each.get("schema", {}))}'
        for kind, each in response.get("content", {}).items()
    )
    return f"<code>{escape(status)}</code>", f"{_prose(response.get('description', ''))}{media}"


def _schema(name: str, schema: Json) -> str:
    required = frozenset(schema.get("required", ()))
    fields = [
        (
            f"<code>{escape(field)}</code>",
            _type(each)
            + (", required" if field in required else "")
            + (f"<br>{_prose(each['description'])}" if each.get("description") else ""),
        )
        for field, each in schema.get("properties", {}).items()
    ]
    body = _list(fields) if fields else f"<p>{_type(schema)}</p>"
    text = f"<p>{_prose(schema['description'])}</p>" if schema.get("description") else ""
    return (
        f'<details id="{_anchor("schema-" + name)}"><summary><code>{escape(name)}</code></summary>\n'
        f"<div>{text}{body}</div></details>"
    )


def _type(schema: Json | bool) -> str:
    """Return in words, as HTML, what a schema takes."""
    if isinstance(schema, bool) or not schema:
        return "anything"
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{_anchor("schema-" + name)}">{escape(name)}</a>'
    for key in "anyOf", "oneOf", "allOf":
        if key in schema:
            words = (" and " if key == "allOf" else " or ").join(map(_type, schema[key]))
            return words + _limits(schema)
    if "const" in schema:
        return f"<code>{_value(schema['const'])}</code>"
    if "enum" in schema:
        return " or ".join(f"<code>{_value(each)}</code>" for each in schema["enum"]) + _limits(schema)
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return " or ".join(_type({**schema, "type": each}) for each in kind)
    if kind == "array":
        if "prefixItems" in schema:
            return f"list of {', '.join(map(_type, schema['prefixItems']))}{_limits(schema)}"
        return f"list of {_type(schema.get('items', {}))}{_limits(schema)}"
    if kind == "object":
        return _object(schema)
    return escape(kind) + _limits(schema)


def _object(schema: Json) -> str:
    if "properties" in schema:
        fields = (
            f"<code>{escape(name)}</code>: {_type(each)}" for name, each in schema["properties"].items()
        )
        return f"object with {'; '.join(fields)}"
    values = schema.get("additionalProperties", True)
    return "object" if isinstance(values, bool) else f"object of {_type(values)}"


def _limits(schema: Json) -> str:
    found = [words.format(f"<code>{_value(schema[key])}</code>") for key, words in _LIMITS if key in schema]
    return f", {', '.join(found)}" if found else ""


def _value(value: Any) -> str:
    return escape(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _prose(text: str) -> str:
    return re.sub("`+([^`]+)`+", r"<code>\1</code>", escape(text))


def _list(rows: Iterable[tuple[str, str]]) -> str:
    return "<dl>\n" + "\n".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in rows) + "\n</dl>"


def _anchor(text: str) -> str:
    return quote(text.replace(" ", "-"), safe="", errors="replace")
