"""The declaration of an EventType: the catalogue's entry for one type and version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.documents.expressions import MapValue, check_map_reads
from server.documents.fields import CONTRADICTION, Field, Object
from server.documents.kinds import Kind, head_fields
from server.documents.nodes import ScalarNode, at, plain, whole
from server.documents.scalars import EventTypeName, Integer
from server.documents.schemas import compiled, violations
from server.documents.values import UNKNOWN_REFERENCE, FreeJson, JsonSchema
from server.events.envelope import from_json, to_json
from server.events.upcasting import PLACE
from server.kernel.errors import code
from server.mapping import PLACES, EvaluationError, ExpressionError, compile_map

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.documents.checking import Checker
    from server.documents.nodes import MappingNode, Node

EXAMPLE = code("EXAMPLE", "The example of an event type breaks the type's own schema.")
UPCAST = code("UPCAST", "The up-caster makes of the older version's example what the newer schema refuses.")

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


_EVENT: dict[str, Any] = {
    "id": "evt_example",
    "source": "example",
    "subject": None,
    "time": "2026-01-01T00:00:00Z",
    "recorded_at": "2026-01-01T00:00:00Z",
    "correlation_id": "cor_example",
    "causation_id": None,
    "schema_version": None,
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
    _check_example(root, checker)
    _check_upcast(root, checker)


def _check_upcast(root: MappingNode, checker: Checker) -> None:
    """Check an up-caster against the version before: its paths by that schema, its result of that example by this schema."""
    upcast, key = root.get("upcast"), root.key("upcast")
    version, name = root.get("version"), root.text("name")
    number = version.value if isinstance(version, ScalarNode) and isinstance(version.value, int) else 1
    if upcast is None or key is None or name is None:
        return
    if number == 1:
        checker.error(CONTRADICTION, key, "version 1 has no version before it to be made of")
        return
    before = next((body for body in checker.catalog.bodies("EventType", name) if _version(body) == number - 1), None)
    if before is None:
        message = f"there is no version {number - 1} of {name}; keep it as long as its events are kept"
        checker.error(UNKNOWN_REFERENCE, key, message)
    elif whole(upcast) and isinstance(before.get("schema"), dict) and compiled(before["schema"]) is not None:
        schemas = {"event": ENVELOPE_SCHEMA, "data": before["schema"]}
        errors = len(checker.findings)
        check_map_reads(upcast, PLACE, schemas, f"{name}@{number - 1}", checker)
        if len(checker.findings) == errors:
            _try_upcast(root, upcast, before, checker)


def _try_upcast(root: MappingNode, upcast: Node, before: Mapping[str, Any], checker: Checker) -> None:
    schema = root.get("schema")
    validator = compiled(plain(schema)) if schema is not None and whole(schema) else None
    if validator is None or "example" not in before:
        return
    try:
        step = compile_map(plain(upcast), PLACES[PLACE])
        made = step.run({"event": _EVENT | {"type": before["name"]}, "data": before["example"]})
    except ExpressionError:
        return  # the map's own check has said it, with its place
    except EvaluationError as error:
        pointer = error.failure.details.get("pointer") or ()
        checker.error(UPCAST, at(upcast, pointer), f"of the older version's example: {error.message}")
        return
    for violation in violations(validator, from_json(to_json(made))):
        checker.error(UPCAST, at(upcast, violation.pointer), f"of the older version's example: {violation.message}")


def _version(body: Mapping[str, Any]) -> int:
    version = body.get("version", 1)
    return version if isinstance(version, int) else 1


def _check_example(root: MappingNode, checker: Checker) -> None:
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
            Field(
                "upcast",
                MapValue(PLACE),
                "Makes the data of an event that was published under the version before: who reads the newest gets that.",
                example="{order_id: data.id, total: {from: data.total, default: 0}}",
            ),
        ),
        name="an EventType",
    ),
    check=_check,
    versioned=True,
)
