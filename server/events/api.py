"""Events over HTTP: publish one, many, or CloudEvents; read them back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from flask import Response, request

from server.events import asyncapi_api, chains_api, hops, intake, queries, searching, stream_api
from server.events.schemas import EventPage, EventQuery, EventSchema, OneEventQuery, PublishedManySchema
from server.events.showing import shown
from server.events.taking import PATH, PERMISSION, STATUS, shown_of
from server.events.wanted import read_pattern
from server.web import bodies, current, paging
from server.web.answers import answer
from server.web.idempotency import remember
from server.web.permissions import requires
from server.web.room import Room

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.events.envelope import Published
    from server.events.publishing import Publisher
    from server.events.together import Together
    from server.events.tree import Branch
    from server.store import Store, Tx

_LISTING = "events"


def blueprint(store: Store, publisher: Publisher, together: Together, branches: Sequence[Branch] = ()) -> Room:
    """Make the room of events; `branches` are what other rooms add to the tree of one. Plain requests to publish take the door."""
    room = Room("events", description="Business events: publish and read")

    @room.route(PATH, methods=["POST"])
    @requires(PERMISSION)
    @room.response(202, PublishedManySchema)
    @room.doc(requestBody=_BODY, responses=_ANSWERS)
    def publish() -> Response:
        """Publish events.

        Takes our JSON (one object, or a list of up to 1,000: all or none), the envelope with `metadata`, and CloudEvents 1.0
        structured, binary and batch. The same (source, id) again with the same content is answered `duplicate: true`.
        Whoever publishes because of a delivery of ours passes its `Crossdock-` headers on: then it is part of the same chain,
        and a loop is seen.
        """
        media = bodies.content_type(intake.TYPES)
        taken = intake.read(media, dict(request.headers.items()), bodies.raw_body())
        hop = _hop()

        def finish(tx: Tx, published: list[Published]) -> Response:
            return remember(tx, answer(None, shown_of(taken, published), STATUS))

        return together.publish(
            current.scope(),
            current.cause(),
            lambda tx: hops.carried_on(tx, hop, taken.events),
            finish,
            len(taken.events),
        )

    @room.route("/api/v1/events")
    @requires("events:read")
    @room.arguments(EventQuery, location="query")
    @room.response(200, EventPage)
    def list_events(query: dict[str, Any]) -> Response:
        """List events, newest first."""
        position = paging.after(query, _LISTING, UUID)
        with store.begin(current.scope(), current.cause()) as tx:
            search = searching.Search(
                type=query["type"] and read_pattern(query["type"]),
                subject=query["subject"],
                source=query["source"],
                correlation_id=query["correlation_id"],
                since=query["since"],
                until=query["until"],
                before=position[0] if position else None,
            )
            events = searching.page(tx, search, query["limit"] + 1)
            if query["upcast"]:
                events = [publisher.catalogue.newest(tx, each) for each in events]
        page = paging.page(events, query["limit"], _LISTING, lambda event: [str(event.uid)])
        body = b",".join(shown(event) for event in page["items"])
        return _json(b'{"items":[' + body + b'],"next":' + orjson.dumps(page["next"]) + b"}")

    @room.route("/api/v1/events/<event_id>")
    @requires("events:read")
    @room.arguments(OneEventQuery, location="query")
    @room.response(200, EventSchema)
    def get_event(query: dict[str, Any], event_id: str) -> Response:
        """Read one event by its id."""
        with store.begin(current.scope(), current.cause()) as tx:
            event = queries.one(tx, event_id, query["source"])
            return _json(shown(publisher.catalogue.newest(tx, event) if query["upcast"] else event))

    chains_api.add(room, store, branches)
    stream_api.add(room, store)
    asyncapi_api.add(room, store)
    return room


def _hop() -> hops.Hop:
    if hops.HOPS_HEADER not in request.headers:
        return hops.FIRST
    hop = hops.hop_of({name: request.headers.get(name, "") for name in hops.HEADERS})
    hops.refuse(hop)
    return hop


def _json(body: bytes) -> Response:
    return Response(body, content_type="application/json")


_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["type", "data"],
    "additionalProperties": False,
    "properties": {
        "type": {"type": "string", "pattern": r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", "maxLength": 255},
        "data": {},
        "id": {"type": "string", "pattern": r"^[\x21-\x7e]{1,256}$"},
        "source": {"type": "string", "minLength": 1, "maxLength": 512},
        "subject": {"type": "string", "minLength": 1, "maxLength": 512},
        "time": {"type": "string", "format": "date-time"},
        "correlation_id": {"type": "string", "pattern": r"^[A-Za-z0-9_.:-]{1,128}$"},
        "causation_id": {"type": "string", "pattern": r"^[\x21-\x7e]{1,256}$"},
        "schema_version": {"type": "integer", "minimum": 1},
    },
}
_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        intake.JSON: {
            "schema": {"oneOf": [_EVENT, {"type": "array", "minItems": 1, "maxItems": 1000, "items": _EVENT}]},
            "example": {"type": "order.created", "data": {"order_id": "SO-1"}},
        },
        intake.STRUCTURED: {"schema": {"type": "object", "required": ["specversion", "id", "source", "type"]}},
        intake.BATCH: {"schema": {"type": "array", "items": {"type": "object"}}},
    },
}
_ANSWERS: dict[str, Any] = {
    "202": {
        "description": "Stored. A list is answered with `items`.",
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        {"$ref": "#/components/schemas/Published"},
                        {"$ref": "#/components/schemas/PublishedMany"},
                    ]
                }
            }
        },
    }
}
