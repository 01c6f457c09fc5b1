"""The declaration of an EventType: the catalogue's entry for one type and version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.documents.fields import Field, Object
from server.documents.kinds import Kind, head_fields
from server.documents.nodes import at, plain, whole
from server.documents.scalars import EventTypeName, Integer
from server.documents.schemas import compiled, violations
from server.documents.values import FreeJson, JsonSchema
from server.kernel.errors import code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.documents.checking import Checker
    from server.documents.nodes import MappingNode

EXAMPLE = code("EXAMPLE", "The example of an event type breaks the type's own schema.")

# What an expression sees as `event`: the attributes of the envelope, as `Event.view` writes them.
ENVELOPE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id", "source", "type", "time", "recorded_at", "correlation_id"],
    "properties": {
        "id": {"type": "string"},
        "source": {"type": "string"},
        "type": {"type": "string"},
        "subject": {"type": ["string", "null"]},
        "time": {"type": "string"},
        "recorded_at": {"type": "string"},
        "correlation_id": {"type": "string"},
        "causation_id": {"type": ["string", "null"]},
        "schema_version": {"type": ["integer", "null"]},
    },
}


@dataclass(frozen=True, slots=True)
class EventType:
    """A catalogue entry as the code sees it."""

    name: str
    version: int
    schema: Mapping[str, Any] | None
    example: Any


def event_type_of(body: Mapping[str, Any]) -> EventType:
    """Return the typed view of a checked body."""
    return EventType(body["name"], int(body.get("version", 1)), body.get("schema"), body.get("example"))


def _check(root: MappingNode, checker: Checker) -> None:
    schema, example = root.get("schema"), root.get("example")
    if schema is None or example is None or not (whole(schema) and whole(example)):
        return
    validator = compiled(plain(schema))
    for violation in violations(validator, plain(example)) if validator else ():
        checker.error(EXAMPLE, at(example, violation.pointer), violation.message)


_TYPE = Field(
    "name",
    EventTypeName(ours=False, strict=True),
    "The dotted type: `entity.action` or `module.entity.action`; unique with its version.",
    required=True,
)
EVENT_TYPE = Kind(
    "EventType",
    "A catalogue entry: what an event of this type carries. Events that break the schema are refused when published.",
    Object(
        (
            *head_fields("EventType", _TYPE),
            Field("version", Integer(1, 1_000_000), "Raised when the schema changes so that readers break.", default=1),
            Field("schema", JsonSchema(), "JSON Schema (draft 2020-12) of `data`.", required=True),
            Field("example", FreeJson(), "Data of one event; must keep the schema."),
        ),
        name="an EventType",
    ),
    check=_check,
    versioned=True,
)
