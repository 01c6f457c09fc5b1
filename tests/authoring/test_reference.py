"""The committed schema and reference page are what the declarations say, and the schema is never stricter than `check`."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from server.authoring import reference, schema
from server.authoring.generated import FILES
from server.authoring.kinds import default_kinds
from server.documents.nodes import plain
from server.documents.reading import File, gather, read, read_file

from .test_check import ACCEPTED, FULL
from .worlds import INBOUND, ORDER_CREATED, ORDERS, ROOT, WAREHOUSE

SCHEMA = json.loads(schema.schema_text())
VALIDATOR = Draft202012Validator(SCHEMA)


@pytest.mark.parametrize("name", FILES)
def test_a_committed_file_is_the_generated_one(name: str) -> None:
    assert (ROOT / name).read_text("utf-8") == FILES[name](), "run: python -m server.authoring.generated"


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def _json(text: str) -> list[object]:
    documents = read_file(File("a.yaml", text.encode())).documents
    return [json.loads(json.dumps(plain(each), default=float)) for each in documents]


@pytest.mark.parametrize("text", [*ACCEPTED, ORDER_CREATED, WAREHOUSE, FULL])
def test_the_schema_accepts_what_check_accepts(text: str) -> None:
    for document in _json(text):
        assert [error.message for error in VALIDATOR.iter_errors(document)] == []


def test_the_schema_accepts_the_shipped_definitions() -> None:
    for document in read(gather(ROOT / "definitions").files).documents:
        assert VALIDATOR.is_valid(json.loads(json.dumps(plain(document), default=float)))


@pytest.mark.parametrize(
    "text",
    [
        ORDERS + "zzz: 1\n",
        ORDERS.replace("events: [order.created]\n", ""),
        ORDERS.replace("integration: warehouse\n", ""),
        ORDERS + "url: https://x.example.com\n",
        ORDERS + "timeout: 5\n",
        ORDERS + "retry: {schedule: [5 s]}\n",
        ORDERS + "map: {a: {from: data.x, typ: text}}\n",
        ORDERS + "sign: {scheme: strype, key: {secret: A}}\n",
        ORDERS + "priority: hihg\n",
        ORDERS + "tests: [{name: x, given: {event: a.b, data: 1}, expects: {}}]\n",
        WAREHOUSE + "policy: erp-sytem\n",
        ORDER_CREATED + "version: x\n",
        "kind: Flow\nname: x\n",
        "kind: Webhook\nname: x\ndirection: inbound\n",
        INBOUND + "methods: [DELETE]\n",
    ],
)
def test_an_editor_sees_the_faults_of_form(text: str) -> None:
    assert not all(VALIDATOR.is_valid(document) for document in _json(text))


def test_every_field_stands_on_the_page() -> None:
    page = reference.reference_page()
    for kind in default_kinds():
        assert kind.title in page
        for path, declared in kind.object.below():
            assert f"| `{path.lstrip('.')}` |" in page
            assert declared.about
