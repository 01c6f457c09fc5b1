"""The stream over the application itself, where nothing stays open: what there is by now, and where to go on.

The server in front answers this path on its event loop (see `stream`) and never gets here. The command line in its own process does,
and asks again as any reader of server-sent events does whose connection has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Response

from server.events import tail
from server.events.catalogue import Catalogue
from server.events.hub import Frame
from server.events.position import Position
from server.events.schemas import LastSchema, StreamQuery
from server.events.stream import PATH, written, written_place
from server.events.wanted import Wanted, read_patterns
from server.web import current
from server.web.permissions import requires

if TYPE_CHECKING:
    from server.store import Store
    from server.web.room import Room

_PAGE = 500
_AGAIN_MILLISECONDS = 500


def add(room: Room, store: Store) -> None:
    """Add the route."""
    catalogue = Catalogue()

    @room.route(PATH)
    @requires("events:read")
    @room.arguments(StreamQuery, location="query")
    @room.arguments(LastSchema, location="headers")
    @room.response(200)
    @room.doc(responses=_ANSWERS)
    def stream_events(query: dict[str, Any], headers: dict[str, Any]) -> Response:
        """Listen to events as they are stored, as server-sent events.

        Each `data` is an event, each `id` a place to go on from: `Last-Event-ID` misses nothing and repeats nothing, in whatever
        order transactions commit. A comment and an `id` without data come at least every 15 seconds. A stream ends with its token,
        when its reader is too slow (`event: end` says why) and after some megabytes; go on from the last id. The same over a
        websocket: `/api/v1/stream/ws`.
        """
        wanted = Wanted(read_patterns(query["types"]), query["subject"])
        last = headers["last"]
        position = Position.read(last) if last else None
        with store.begin(current.scope(), current.cause()) as tx:
            position = position or tail.here(tx.conn, tx.scope.workspace_id, query["since"])
            page = tail.page(tx.conn, [tx.scope.workspace_id], position, _PAGE)
            frames = [Frame.of(told) for told in page.told if wanted(told.event)]
            if query["upcast"]:
                frames = [Frame.lifted(each, catalogue.newest(tx, each.event)) for each in frames]
        again = b"retry: %d\n\n" % (_AGAIN_MILLISECONDS if page.ended else 0)
        body = again + written(frames) + written_place(str(page.rest))
        return Response(body, content_type="text/event-stream")


_ANSWERS: dict[str, Any] = {
    "200": {
        "description": "Server-sent events.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    "409": {"$ref": "#/components/responses/Problem"},
}
