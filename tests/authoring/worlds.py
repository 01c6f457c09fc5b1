"""What the tests of checks know of the world: the real plugins, and short ways to check a text."""

from __future__ import annotations

import functools
from pathlib import Path

from server.authoring.check import CheckResult, check
from server.documents.catalog import FixedCatalog
from server.documents.reading import File
from server.integrations.plugins import discover
from server.integrations.spec import plugin_facts
from server.transport.addresses import AddressPolicy

ROOT = Path(__file__).parents[2]

ORDER_CREATED = """\
kind: EventType
name: order.created
schema:
  type: object
  additionalProperties: false
  required: [order_id, total]
  properties:
    order_id: {type: string}
    total: {type: string}
    lines: {type: array, items: {type: object, additionalProperties: false, properties: {sku: {type: string}}}}
"""
INBOUND = """
kind: Webhook
name: x
direction: inbound
path: a/b
verify: {scheme: github, key: {secret: SENDER}}
emit: {type: thing.changed, data: {id: body.id}}
""".lstrip()
WAREHOUSE = """\
kind: Integration
name: warehouse
plugin: http
config:
  base_url: https://warehouse.example.com/api
  auth: {scheme: bearer, token: {secret: WAREHOUSE_TOKEN}}
"""
ORDERS = """\
kind: Webhook
name: orders
direction: outbound
integration: warehouse
events: [order.created]
"""


@functools.cache
def catalog() -> FixedCatalog:
    return FixedCatalog(plugins=plugin_facts(discover()), addresses=AddressPolicy(own=frozenset()))


def checked(*texts: str) -> CheckResult:
    """Check the texts as the documents of one file, after the event type and the integration of above."""
    return check(
        [File("world.yaml", f"{ORDER_CREATED}---\n{WAREHOUSE}".encode()), File("a.yaml", "---\n".join(texts).encode())],
        catalog(),
    )


def lines(result: CheckResult) -> list[str]:
    return [str(finding) for finding in result.findings]


def codes(result: CheckResult) -> list[str]:
    return [finding.code for finding in result.findings]


def at(text: str, needle: str) -> tuple[int, int]:
    """Return the line and column of a piece of text."""
    before = text[: text.index(needle)].split("\n")
    return len(before), len(before[-1]) + 1
