"""The shapes that the ports are written in: money, quantities, days, closed inputs and open answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Shape = dict[str, Any]

ID: Shape = {"type": "string", "minLength": 1, "maxLength": 64}
EXTERNAL_ID: Shape = {"type": "string", "minLength": 1, "maxLength": 200}
MONEY: Shape = {"type": "string", "pattern": r"^(0|[1-9][0-9]{0,13})(\.[0-9]{1,2})?$"}
"""What is said to an ERP: not negative, up to two places."""
POSITIVE: Shape = {
    "type": "string",
    "pattern": r"^([1-9][0-9]{0,13}(\.[0-9]{1,2})?|0\.(0[1-9]|[1-9][0-9]?))$",
}
"""More than nothing."""
AMOUNT: Shape = {"type": "string", "pattern": r"^-?[0-9]+\.[0-9]{2}$"}
"""What an ERP says: two places, negative where something is owed the other way."""
SIGNED: Shape = {"type": "string", "pattern": r"^-?(0|[1-9][0-9]{0,13})(\.[0-9]{1,2})?$"}
QUANTITY: Shape = {"type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000_000, "multipleOf": 0.0001}
"""More than nothing, up to four places."""
AMOUNT_OF_GOODS: Shape = {"type": "number"}
"""A quantity in an answer: whole ones as integers; it may be 0."""
PERCENT: Shape = {"type": "string", "pattern": r"^(100(\.0{1,2})?|[1-9]?[0-9](\.[0-9]{1,2})?)$"}
SHARE: Shape = {"type": "number", "minimum": 0, "maximum": 1}
COUNT: Shape = {"type": "integer", "minimum": 0}
DAY: Shape = {"type": "string", "format": "date"}
MOMENT: Shape = {"type": "string", "format": "date-time"}
FLAG: Shape = {"type": "boolean"}
CHANGE: Shape = {"enum": ["created", "updated", "none"]}
REVISION: Shape = {"type": "integer", "minimum": 1}
LIMIT: Shape = {"type": "integer", "minimum": 1, "maximum": 200}
CURSOR: Shape = {"type": "string", "maxLength": 500, "description": "`next` of the page before."}
NEXT: Shape = {"type": ["string", "null"]}
PRIORITY: Shape = {"enum": ["low", "normal", "high", "urgent"]}


def text(most: int, least: int = 1) -> Shape:
    """Return the shape of a text that is given."""
    return {"type": "string", "minLength": least, "maxLength": most}


def words(most: int) -> Shape:
    """Return the shape of a text that may be null."""
    return {"type": ["string", "null"], "maxLength": most}


def choice(*names: str) -> Shape:
    """Return the shape of one of some words."""
    return {"enum": list(names)}


def or_null(shape: Mapping[str, Any]) -> Shape:
    """Return the shape of what may be missing."""
    return {"anyOf": [dict(shape), {"type": "null"}]}


def listed(shape: Mapping[str, Any], least: int = 0, most: int = 500) -> Shape:
    """Return the shape of a list with an end."""
    return {"type": "array", "items": dict(shape), "minItems": least, "maxItems": most}


def given(properties: Mapping[str, Any], needs: Iterable[str] = ()) -> Shape:
    """Return the closed shape of an input."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(needs),
        "properties": dict(properties),
    }


def one_of(properties: Mapping[str, Any], also: Mapping[str, Any] | None = None) -> Shape:
    """Return the closed shape of an input that names its thing by exactly one of some fields."""
    shape = given({**properties, **(also or {})})
    return {**shape, "oneOf": [{"required": [name]} for name in properties]}


def answer(properties: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> Shape:
    """Return the open shape of an answer: what every ERP gives, and what it may leave out."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": {**properties, **(optional or {})},
    }


def page(name: str, shape: Mapping[str, Any]) -> Shape:
    """Return the shape of a page of a list."""
    return answer({name: listed(shape), "next": NEXT})
