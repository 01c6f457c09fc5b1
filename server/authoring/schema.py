"""`schema`: the JSON Schema of all kinds, for editors; made of the field declarations and committed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from server.authoring.kinds import default_kinds
from server.documents.expressions import DEFINITIONS
from server.documents.kinds import json_default
from server.documents.reading import SCHEMA_FILE
from server.flows.step_fields import step_definition
from server.syncs.reference_fields import DEFINITIONS as RECORD_MAPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.documents.kinds import Kind

FILE = f"definitions/{SCHEMA_FILE}"


def definition_schema(kinds: Sequence[Kind] | None = None) -> dict[str, Any]:
    """Return the schema (draft 2020-12) of one document. It is never stricter than `check`, which sees more."""
    built = default_kinds() if kinds is None else kinds
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:crossdock:definition:v1",
        "title": "Crossdock definition",
        "type": "object",
        "required": ["kind", "name"],
        "properties": {"kind": {"enum": list(dict.fromkeys(kind.name for kind in built))}},
        "allOf": [{"if": _condition(kind, built), "then": {"$ref": f"#/$defs/{_key(kind)}"}} for kind in built],
        "$defs": {
            **{_key(kind): {**kind.object.schema(), "description": kind.about} for kind in built},
            **DEFINITIONS,
            **RECORD_MAPS,
            **step_definition(),
        },
    }


def schema_text(kinds: Sequence[Kind] | None = None) -> str:
    """Return the schema as the committed file holds it."""
    schema = definition_schema(kinds)
    return orjson.dumps(schema, default=json_default, option=orjson.OPT_INDENT_2).decode() + "\n"


def _key(kind: Kind) -> str:
    return kind.name + (kind.variant[1].capitalize() if kind.variant else "")


def _condition(kind: Kind, built: Sequence[Kind]) -> dict[str, Any]:
    """Return what tells a document of this kind: its name, and where several variants are built, its variant too."""
    told = {"kind": {"const": kind.name}}
    if kind.variant is not None and sum(each.name == kind.name for each in built) > 1:
        told[kind.variant[0]] = {"const": kind.variant[1]}
        if _first(kind, built):  # without a variant it is read as the first: so an editor asks for what is missing
            return {
                "properties": {"kind": told["kind"], kind.variant[0]: {"not": {"enum": _others(kind, built)}}},
                "required": ["kind"],
            }
    return {"properties": told, "required": list(told)}


def _first(kind: Kind, built: Sequence[Kind]) -> bool:
    return next(each for each in built if each.name == kind.name) is kind


def _others(kind: Kind, built: Sequence[Kind]) -> list[str]:
    return [each.variant[1] for each in built if each.name == kind.name and each.variant and each is not kind]
