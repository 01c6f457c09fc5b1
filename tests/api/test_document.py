"""The OpenAPI document of the whole application: valid, complete, and true to the routes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from server import bootstrap
from server.app import create_app
from server.web.permissions import KNOWN, PUBLIC
from tests.api.routes import BODIES, NO_BODY, Route, routes

if TYPE_CHECKING:
    from tests.api.world import World

LISTS_WITHOUT_PAGES = {
    "GET /api/v1/metrics",
    "GET /api/v1/sync-jobs/<name>/schedule",
    "GET /api/v1/me",
    "GET /api/v1/networks",
    "GET /api/v1/definitions/export",
    "GET /api/v1/stream",
    "GET /api/v1/events/<event_id>/tree",
    "GET /api/v1/asyncapi.json",
    "GET /api/v1/flows/<name>/graph",
    "GET /api/v1/flow-runs/<run_id>/graph",
}


@pytest.fixture(scope="module")
def document(world: World) -> dict:
    return world.client.get("/openapi.json").json


def operation(document: dict, route: Route) -> dict:
    return document["paths"][route.template][route.method.lower()]


def parameters(document: dict, route: Route) -> dict[str, dict]:
    path = document["paths"][route.template]
    return {
        each["name"]: each for each in [*path.get("parameters", []), *operation(document, route).get("parameters", [])]
    }


def test_it_is_valid_and_made_without_a_warning(world: World, document: dict):
    create_app(bootstrap.api(world.product.settings, built=world.product.core))  # a warning is an error here
    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"].startswith("3.1")


def test_it_has_every_route_and_no_other(world: World, document: dict):
    methods = ("get", "put", "post", "delete", "patch")
    documented = {
        f"{method.upper()} {path}" for path, item in document["paths"].items() for method in methods if method in item
    }
    served = {f"{each.method} {each.template}" for each in routes(world.app)}
    assert {each for each in documented if "/api/" in each} == served
    assert documented - served == {"GET /health", "GET /health/live", "GET /health/ready", "GET /metrics"}


def test_every_operation_is_told(world: World, document: dict):
    tags = {each["name"] for each in document["tags"] if each["description"]}
    ids = set()
    for route in routes(world.app):
        told = operation(document, route)
        assert told["summary"].endswith((".", ";", "!")), route.name
        assert set(told["tags"]) <= tags, route.name
        assert len(told["tags"]) == 1, route.name
        ids.add(told["operationId"])
    assert len(ids) == len(routes(world.app))


def test_every_operation_says_who_may(world: World, document: dict):
    assert document["security"] == [{"bearer": []}]
    for route in routes(world.app):
        told = operation(document, route)
        assert ("security" in told) == (route.needs == PUBLIC), route.name
        assert told.get("x-permission", route.needs) == route.needs, route.name
        assert ("403" in told["responses"]) == (route.needs not in (PUBLIC, KNOWN)), route.name


def test_every_error_is_a_problem(world: World, document: dict):
    problem = document["components"]["responses"]["Problem"]
    assert list(problem["content"]) == ["application/problem+json"]
    for route in routes(world.app):
        answers = operation(document, route)["responses"]
        assert any(status.startswith("2") for status in answers), route.name
        for status, answer in answers.items():
            assert (answer == {"$ref": "#/components/responses/Problem"}) == (status >= "400"), (route.name, status)


def test_every_success_with_content_has_a_schema(world: World, document: dict):
    for route in routes(world.app):
        for status, answer in operation(document, route)["responses"].items():
            if status.startswith("2"):
                assert answer["description"], route.name
                content = answer.get("content", {})
                told = content.get("application/json") or content.get("text/event-stream", {})
                assert ("schema" in told) == (status != "204"), (route.name, status)


def test_every_list_has_pages(world: World, document: dict):
    for route in routes(world.app):
        one = route.rule.endswith((">", "/history/state"))
        if route.method != "GET" or one or route.name in LISTS_WITHOUT_PAGES:
            continue
        assert {"limit", "cursor"} <= parameters(document, route).keys(), route.name
        schema = operation(document, route)["responses"]["200"]["content"]["application/json"]["schema"]
        page = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        assert page["required"] == ["items", "next"], route.name


def test_every_write_has_its_key_and_its_body(world: World, document: dict):
    for route in routes(world.app):
        told = operation(document, route)
        assert ("Idempotency-Key" in parameters(document, route)) == route.writes, route.name
        assert ("requestBody" in told) == (route.view in BODIES), route.name
        assert (route.view in BODIES or route.view in NO_BODY) == route.writes, route.name


def test_what_has_versions_says_if_match(world: World, document: dict):
    for route in routes(world.app):
        told = parameters(document, route).get("If-Match")
        kind, _, noun = route.view.partition("_")
        resource = noun in ("webhook", "integration", "sync_job", "flow", "event_type")
        if resource and kind in ("replace", "delete"):
            assert told, route.name
            assert told["required"], route.name
        elif (resource and kind in ("pause", "resume", "activate", "disable")) or route.view == "rollback_definition":
            assert told, route.name
            assert not told["required"], route.name
        else:
            assert told is None, route.name
        answers = operation(document, route)["responses"].keys()
        assert ("412" in answers) == (told is not None), route.name
        assert ("428" in answers) == (told is not None and told["required"]), route.name


def test_patterns_are_written_as_json_schema_reads_them(document: dict):
    patterns = set(re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', json.dumps(document)))
    assert len(patterns) > 5
    for pattern in patterns:
        assert pattern.startswith("^"), pattern
        assert pattern.endswith("$"), pattern
        assert "\\Z" not in pattern, pattern
