"""Over HTTP: what came of what, and what happened to a subject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from flask import Response

from server.events import queries
from server.events.history import history
from server.events.schemas import EventTreeSchema, HistoryQuery, OneEventQuery, SubjectEventPage
from server.events.searching import Search
from server.events.showing import shown
from server.events.tree import tree_of
from server.events.wanted import read_pattern
from server.store.values import write_json
from server.web import current, paging
from server.web.permissions import requires

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.events.tree import Branch
    from server.store import Store
    from server.web.room import Room

_LISTING = "history"


def add(room: Room, store: Store, branches: Sequence[Branch]) -> None:
    """Add the routes."""

    @room.route("/api/v1/events/<event_id>/tree")
    @requires("events:read")
    @room.arguments(OneEventQuery, location="query")
    @room.response(200, EventTreeSchema)
    def get_event_tree(query: dict[str, Any], event_id: str) -> Response:
        """Read what an event came of and what came of it: requests, events, deliveries with their tries, and so on."""
        with store.begin(current.scope(), current.cause()) as tx:
            tree = tree_of(tx, branches, queries.one(tx, event_id, query["source"]))
        return Response(write_json(tree.view()), content_type="application/json")

    @room.route("/api/v1/subjects/history")
    @requires("events:read")
    @room.arguments(HistoryQuery, location="query")
    @room.response(200, SubjectEventPage)
    def get_subject_history(query: dict[str, Any]) -> Response:
        """Read all events of a subject, oldest first, each with what it changed of the data before it."""
        position = paging.after(query, _LISTING, UUID)
        search = Search(
            type=query["type"] and read_pattern(query["type"]),
            subject=query["subject"],
            after=position[0] if position else None,
            oldest_first=True,
        )
        with store.begin(current.scope(), current.cause()) as tx:
            told = history(tx, search, query["limit"] + 1)
        page = paging.page(told, query["limit"], _LISTING, lambda each: [str(each[0].uid)])
        items = b",".join(
            shown(event, changes=orjson.Fragment(write_json(changes)), more_changes=more)
            for event, changes, more in page["items"]
        )
        body = b'{"items":[' + items + b'],"next":' + orjson.dumps(page["next"]) + b"}"
        return Response(body, content_type="application/json")
