"""A definition as the body of a request: JSON without `kind`, its numbers with all their digits."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from server.authoring.kinds import default_kinds
from server.kernel.errors import INVALID, Invalid
from server.web import bodies

if TYPE_CHECKING:
    from server.documents.kinds import Kind


def body_of(kind: str) -> dict[str, Any]:
    """Return the definition that the request carries; the check of its content comes later.

    Raises:
        Malformed, TooLarge, Unsupported: it cannot be read.
        Invalid: no object, or of another kind.

    """
    raw = bodies.raw_body()
    bodies.content_type()
    value = bodies.parse_json(raw, number=Decimal)
    if not isinstance(value, dict):
        raise _invalid("", "a definition (an object) is needed")
    if value.pop("kind", kind) != kind:
        raise _invalid("/kind", f"{kind} is meant here; leave it out")
    return value


def _invalid(pointer: str, message: str) -> Invalid:
    return Invalid(message, source="authoring", errors=[{"pointer": pointer, "code": INVALID, "message": message}])


def document(kind: str) -> dict[str, Any]:
    """Return the OpenAPI request body of a kind: its fields; what may stand in them is in `definition.v1.json`."""
    variants = [each for each in default_kinds() if each.name == kind]
    fields = {field.name: field for each in variants for field in each.object.fields if not field.coming}
    del fields["kind"]
    needed = [name for name in fields if all(_needs(each, name) for each in variants)]
    schema = {
        "type": "object",
        "description": f"A definition of kind {kind} without `kind`, as a file holds it.",
        "required": needed,
        "properties": {name: {"description": field.about} for name, field in fields.items()},
        "additionalProperties": False,
    }
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _needs(kind: Kind, name: str) -> bool:
    return any(field.name == name and field.required for field in kind.object.fields)
