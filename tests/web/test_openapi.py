"""The OpenAPI document is valid, complete and true, and the page made from it loads nothing."""

from __future__ import annotations

import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from server.kernel.errors import declared_codes

METHODS = ("get", "put", "post", "delete", "patch")


@pytest.fixture
def document(bare) -> dict:
    return bare.get("/openapi.json").json


def operations(document: dict):
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method} {path}", item[method]


def test_the_document_is_valid_openapi_3_1(document: dict):
    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"].startswith("3.1")


def test_every_operation_says_who_may_and_how_it_fails(document: dict):
    ids = set()
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["responses"]["500"] == {"$ref": "#/components/responses/Problem"}, name
        assert ("x-permission" in operation) != (operation.get("security") == []), name
        ids.add(operation["operationId"])
    assert len(ids) == len(list(operations(document)))


def test_writes_document_the_idempotency_key_and_reads_do_not(document: dict):
    for name, operation in operations(document):
        documented = any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", []))
        assert documented == (not name.startswith("get")), name


def test_problems_are_documented_as_problem_json(document: dict):
    assert list(document["components"]["responses"]["Problem"]["content"]) == ["application/problem+json"]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_the_reference_page_shows_every_operation_and_loads_nothing(bare, document: dict):
    answer = bare.get("/docs")
    assert answer.content_type == "text/html; charset=utf-8"
    for _, operation in operations(document):
        assert f'id="{operation["operationId"]}"' in answer.text
    assert not re.search(r"<(script|link|img|iframe|object|embed)|url\(|@import|https?://", answer.text)
    assert "style-src 'sha256-" in answer.headers["Content-Security-Policy"]
    anchors = set(re.findall(r'href="#([^"]+)"', answer.text))
    assert anchors <= set(re.findall(r'id="([^"]+)"', answer.text))


def test_the_page_of_codes_has_every_code(bare):
    page = bare.get("/docs/errors").text
    assert all(f'id="{code}"' in page for code in declared_codes())
