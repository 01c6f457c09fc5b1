"""The declaration of `emit`: one event, several, or one for each item of a list."""

from __future__ import annotations

from server.documents.expressions import ExpressionText, MapValue
from server.documents.fields import Field, Keyed, ListOf, Object, OneOf
from server.documents.scalars import EventTypeName, Integer
from server.webhooks.inbound.endpoint import PLACE

ITEM_PLACE = "inbound_webhook_item"
MOST = 20


def _fields(place: str) -> tuple[Field, ...]:
    return (
        Field("type", EventTypeName(ours=False), "The event's type: its name, no expression.", required=True),
        Field("schema_version", Integer(1, 1_000_000), "Which version of the type's schema it keeps; else the newest."),
        Field(
            "subject",
            ExpressionText(place),
            "What the event is about: orders and versions go by it. Numbers become text.",
        ),
        Field("data", MapValue(place), "The event's data; see the mapping language.", required=True),
        Field("when", ExpressionText(place), "Only where this holds is the event emitted."),
        Field("id", ExpressionText(place), "The event's id. Where nothing is said it is made of the request's own."),
        Field("time", ExpressionText(place), "When it happened, RFC 3339; the time of emission where nothing is said."),
        Field("source", ExpressionText(place), "The event's source; `webhook/{name}` where nothing is said."),
        Field("correlation", ExpressionText(place), "The event's correlation; the request's where nothing is said."),
    )


_ONE = Object(_fields(PLACE), name="emit")
_FOR_EACH = Object(
    (
        Field(
            "each", ExpressionText(PLACE), "A list: an event for each `item` of it, a thousand at most.", required=True
        ),
        *_fields(ITEM_PLACE),
    ),
    name="emit for each",
)
_ENTRY = OneOf((Keyed(("each",), _FOR_EACH), _ONE))
EMIT = OneOf((ListOf(_ENTRY, 1, MOST), Keyed(("each",), _FOR_EACH), _ONE))
