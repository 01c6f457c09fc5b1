"""Stored requests of inbound webhooks, over HTTP; they are replayed as deliveries are, by dead letter or by a replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from server.kernel.errors import NotFound
from server.store.repository import insist
from server.web import current, paging
from server.web.permissions import requires
from server.web.room import Room
from server.webhooks.inbound import listing, schemas
from server.webhooks.repository import WEBHOOKS

if TYPE_CHECKING:
    from server.store import Store


def blueprint(store: Store) -> Room:
    """Make the room of inbound requests."""
    room = Room("inbound-requests", description="Inbound requests: what senders sent, and what became of it")

    @room.route("/api/v1/inbound-requests")
    @requires("deliveries:read")
    @room.arguments(schemas.InboundRequestQuery, location="query")
    @room.response(200, schemas.InboundRequestPage)
    def list_inbound_requests(query: dict[str, Any]) -> dict[str, Any]:
        """List stored requests, newest first."""
        position = paging.after(query, "inbound-requests", UUID)
        with store.begin(current.scope(), current.cause()) as tx:
            if query["webhook"] is not None:
                insist(tx, WEBHOOKS, query["webhook"])
            rows = listing.requests(
                tx,
                before=position[0] if position else None,
                limit=query["limit"] + 1,
                webhook=query["webhook"],
                state=query["state"],
                since=query["since"],
                until=query["until"],
            )
        return paging.page(rows, query["limit"], "inbound-requests", lambda row: [str(row.id)], listing.shown)

    @room.route("/api/v1/inbound-requests/<request_id>")
    @requires("deliveries:read")
    @room.response(200, schemas.InboundRequestDetailSchema)
    def get_inbound_request(request_id: str) -> dict[str, Any]:
        """Read one request with its headers and body."""
        with store.begin(current.scope(), current.cause()) as tx:
            row = listing.request(tx, listing.read_id(request_id))
        if row is None:
            raise NotFound("no such request here")
        return listing.shown_whole(row)

    return room
