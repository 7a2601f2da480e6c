"""The page of all routes: made of the OpenAPI document on the server, with dialects, without scripts."""

import html
import re
from typing import Any

import httpx
import pytest
from tests.integration.api.test_start_page import Elements, check_policy, links

from perdure.api.app import create_app
from perdure.bptk import BptkServer
from perdure.dialects.bptk.handlers import FIXED, OF_INSTANCE
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.memory import MemoryStore
from perdure.web.openapi_page import openapi_page

METHODS = {"get", "put", "post", "patch", "delete"}

NRP = {
    ("post", "/simulation"),
    ("get", "/simulation"),
    ("get", "/simulation/{number}"),
    ("get", "/simulation/{number}/state"),
    ("put", "/simulation/{number}/state"),
    ("get", "/version"),
}
STABLECONFIGS = {("post", "/task"), ("get", "/status/{task_id}"), ("delete", "/terminate/{task_id}")}
BPTK = {
    *((method.lower(), f"/{name}") for name, methods in FIXED.items() for method in methods),
    *(
        (method.lower(), f"/{{instance}}/{name}")
        for name, methods in OF_INSTANCE.items()
        for method in methods
    ),
}


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def tagged(document: dict[str, Any], tag: str) -> set[tuple[str, str]]:
    return {place for place, operation in operations(document).items() if operation["tags"] == [tag]}


def test_it_shows_every_operation_of_the_document_under_its_tag(client: httpx.Client) -> None:
    answer = client.get("/docs")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    check_policy(answer)
    document = client.get("/openapi.json").json()
    shown = re.findall(r'<span class="method (\w+)">[A-Z]+</span>\s*<code>([^<]+)</code>', answer.text)
    assert sorted((method, html.unescape(path)) for method, path in shown) == sorted(operations(document))
    names = [tag["name"] for tag in document["tags"]]
    assert re.findall(r'<h2 id="[^"]+">([^<]+)</h2>', answer.text) == [*names, "schemas"]
    assert {operation["tags"][0] for operation in operations(document).values()} == set(names)
    assert str(client.base_url).rstrip("/") in answer.text


def test_the_routes_of_the_dialects_are_in_the_document(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert tagged(document, "BPTK") == BPTK
    assert tagged(document, "Neurorobotics Platform") == NRP
    assert tagged(document, "StableConfigs") == STABLECONFIGS


def test_the_server_has_every_route_of_the_dialects_that_the_document_names(client: httpx.Client) -> None:
    for method, path in BPTK | NRP | STABLECONFIGS:
        place = path.format(instance="none", number=10**6, task_id="none")
        answer = client.request(method, place, json={})
        assert answer.status_code != 405, (method, path)
        text = answer.text
        assert "route_not_found" not in text and "There is nothing at" not in text, (method, path)


def test_its_links_lead_to_what_is_there(client: httpx.Client) -> None:
    page = client.get("/docs").text
    anchors = {f"#{anchor}" for anchor in re.findall(r'id="([^"]+)"', page)}
    found = links(page)
    assert {link for link in found if link.startswith("#")} <= anchors
    others = {link for link in found if not link.startswith("#")}
    assert {link: client.get(link).status_code for link in others} == dict.fromkeys(others, 200)


def test_a_bptk_servers_page_has_its_routes_alone() -> None:
    with BptkServer("x").test_client() as client:
        page = client.get("/docs").data.decode()
    assert "/{instance}/run-step" in page
    assert "/runs" not in page and "/simulation" not in page


def test_texts_of_the_document_are_escaped() -> None:
    hostile = "</code><script>x()</script> `<b>`"
    document = {
        "info": {"title": hostile, "version": hostile, "description": hostile},
        "tags": [{"name": hostile, "description": hostile}],
        "paths": {
            f"/{hostile}": {
                "get": {
                    "tags": [hostile],
                    "operationId": hostile,
                    "description": f"{hostile}\n\n{hostile}",
                    "parameters": [
                        {"name": hostile, "in": hostile, "description": hostile, "schema": {"type": hostile}}
                    ],
                    "requestBody": {
                        "content": {hostile: {"schema": {"enum": [hostile], "default": hostile}}}
                    },
                    "responses": {hostile: {"description": hostile, "content": {hostile: {"schema": {}}}}},
                }
            }
        },
        "components": {
            "schemas": {
                hostile: {
                    "description": hostile,
                    "properties": {hostile: {"const": hostile, "description": hostile}},
                    "required": [hostile],
                },
                "reference": {"anyOf": [{"$ref": f"#/components/schemas/{hostile}"}, {"pattern": hostile}]},
            }
        },
    }
    names = Elements(openapi_page(document, hostile)).names
    assert "script" not in names and "b" not in names


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({}, "anything"),
        ({"type": "integer", "minimum": 0, "maximum": 9}, "integer, at least 0, at most 9"),
        ({"type": ["string", "null"]}, "string or null"),
        (
            {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
            "number or null, by default null",
        ),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Row"}}, "list of Row"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "object of number"),
        ({"type": "object", "properties": {"a": {"const": 1}}}, "object with a: 1"),
        ({"enum": ["a", "b"]}, "a or b"),
    ],
)
def test_a_schema_is_said_in_words(schema: dict[str, Any], words: str) -> None:
    operation = {"responses": {"200": {"content": {"application/json": {"schema": schema}}}}}
    document = {"info": {"title": "", "version": ""}, "paths": {"/": {"get": operation}}}
    assert f"application/json {words}\n" in Elements(openapi_page(document, "")).text


def test_tokens_are_asked_for_where_they_are_needed() -> None:
    settings = Settings.model_validate({"tokens": {"ada": ("a-token",)}})
    document = create_app(MemoryStore(), Catalogue(), settings).openapi()
    open_to_all = {place for place, each in operations(document).items() if "security" not in each}
    public = {"/", "/docs", "/healthy", "/login", "/logout", "/ready", "/version"}
    assert {path for _, path in open_to_all} == public
