"""A world for checks of sync jobs: a database to read from, an ERP to write to, and the example definition."""

# ruff: noqa: ARG002 - ends that are never called
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from server.authoring.check import CheckResult, check
from server.authoring.kinds import default_kinds
from server.documents.catalog import FixedCatalog, OperationFacts, PluginFacts
from server.documents.reading import File
from server.sdk.adapter import Operation
from server.sdk.sources import Page, ReadRequest, Source
from server.sdk.targets import Batch, Destination, Target, WriteResult

if TYPE_CHECKING:
    from collections.abc import Generator

    from server.sdk.context import Context

EXAMPLE = (Path(__file__).parents[1] / "authoring" / "examples" / "sync-job.yaml").read_text("utf-8")
KINDS = default_kinds()


def operation(verb: str, **properties: Any) -> Operation:
    schema = {"type": "object", "additionalProperties": False, "properties": properties, "required": [*properties][:1]}
    return Operation(name=verb, about="Played by a test.", input_schema=schema, output_schema={"type": "object"})


class Rows(Source):
    """A table: fields as cursors, key snapshots, one by one, in parts."""

    operation = operation("query.read", sql={"type": "string"}, limit={"type": "integer"})
    options_schema = operation.input_schema
    cursors = frozenset({"fields", "none"})
    partitioned = snapshots = fetches = True

    def read(self, request: ReadRequest, context: Context) -> Generator[Page, None, None]:
        yield from ()


class Feed(Rows):
    """A feed: a token of its own, and nothing else."""

    operation = operation("feed.read", path={"type": "string"})
    options_schema = operation.input_schema
    cursors = frozenset({"token"})
    partitioned = snapshots = fetches = False


class Customers(Target):
    """Customers of an ERP."""

    operation = operation(
        "customers.upsert",
        **{each: {"type": "string"} for each in ("external_id", "name", "email", "city", "credit_limit")},
    )
    modes = frozenset({"upsert", "insert_only", "update_only"})
    actions = frozenset({"archive"})

    def write(self, to: Destination, batch: Batch, context: Context) -> WriteResult:
        return WriteResult()


class Log(Customers):
    """Something that only grows."""

    operation = operation("lines.append", line={"type": "string"})
    modes = frozenset({"append"})
    actions = frozenset()

    def record_schema(self, options: Any) -> bool:
        return True


def facts(*ends: Source | Target) -> dict[str, OperationFacts]:
    return {
        each.operation.name: OperationFacts(
            each.operation.input_schema,
            {},
            each if isinstance(each, Source) else None,
            each if isinstance(each, Target) else None,
        )
        for each in ends
    }


PLUGINS = {
    "sql": PluginFacts("sql", {"type": "object"}, facts(Rows(), Feed())),
    "erp_sandbox": PluginFacts("erp_sandbox", {"type": "object"}, facts(Customers(), Log())),
}
EVENT = """
---
kind: EventType
name: legacy.customer.changed
schema: {type: object, additionalProperties: false, properties: {customer_id: {type: string}}}
"""


def catalog() -> FixedCatalog:
    return FixedCatalog(plugins=PLUGINS)


def checked(text: str = EXAMPLE) -> CheckResult:
    return check(
        [File("a.yaml", text.encode()), File("b.yaml", EVENT.removeprefix("\n---\n").encode())], catalog(), KINDS
    )


def body(text: str = EXAMPLE) -> dict[str, Any]:
    """Return the checked body of the sync job in a text."""
    result = checked(text)
    assert result.ok, result.findings
    return dict(next(each.body for each in result.documents if each.kind == "SyncJob"))
