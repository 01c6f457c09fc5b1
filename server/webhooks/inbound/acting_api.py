"""What a person does with requests of inbound webhooks, over HTTP: map one once more, bring one by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from marshmallow import fields, validate

from server.events.admitting import Offered
from server.kernel.errors import NotFound
from server.web import current
from server.web.answers import answer
from server.web.idempotency import remember
from server.web.permissions import requires
from server.web.room import In, Room, Text
from server.webhooks.inbound import listing, reopening
from server.webhooks.inbound.schemas import InboundRequestDetailSchema

if TYPE_CHECKING:
    from uuid import UUID

    from flask import Response

    from server.queue.dead_letters import Reopen
    from server.store import Store, Tx


class ByHand(Protocol):
    """Stores a request that a person brings."""

    def by_hand(self, tx: Tx, webhook: str, offered: Offered) -> UUID:
        """Return its id."""
        ...


def _texts(about: str) -> fields.Dict:
    most = validate.Length(max=100)
    values = Text(most=8000, least=0)
    return fields.Dict(Text(most=200), values, load_default=dict, validate=most, metadata={"description": about})


class InboundRequestNew(In):
    """A request by hand: it counts as verified, and no dedupe key stops it."""

    payload = fields.Raw(required=True, metadata={"description": "Its body, any JSON."})
    headers = _texts("Its headers.")
    params = _texts("The parameters of the path.")
    query = Text(
        most=4000, least=0, load_default="", metadata={"description": "As it is sent, without the question mark."}
    )


def blueprint(store: Store, reopen: Reopen, admitting: ByHand) -> Room:
    """Make the room."""
    room = Room("inbound-actions", description="Inbound requests: map once more, bring by hand")

    @room.route("/api/v1/inbound-requests/<request_id>/retry", methods=["POST"])
    @requires("deliveries:retry")
    @room.response(202, InboundRequestDetailSchema)
    def retry_inbound_request(request_id: str) -> Response:
        """Map a request once more, by the present definition; its dead letter is resolved."""
        identity = listing.read_id(request_id)
        with store.begin(current.scope(), current.cause()) as tx:
            reopening.retry(tx, reopen, identity)
            return remember(tx, answer(InboundRequestDetailSchema, _shown(tx, identity), 202))

    @room.route("/api/v1/webhooks/<name>/requests", methods=["POST"])
    @requires("webhooks:operate")
    @room.arguments(InboundRequestNew)
    @room.response(202, InboundRequestDetailSchema)
    def create_inbound_request(body: dict[str, Any], name: str) -> Response:
        """Bring a request to an inbound webhook by hand: it is mapped as if its sender had sent it."""
        offered = Offered(body=body["payload"], headers=body["headers"], params=body["params"], query=body["query"])
        with store.begin(current.scope(), current.cause()) as tx:
            identity = admitting.by_hand(tx, name, offered)
            return remember(tx, answer(InboundRequestDetailSchema, _shown(tx, identity), 202))

    return room


def _shown(tx: Tx, identity: UUID) -> dict[str, Any]:
    row = listing.request(tx, identity)
    if row is None:
        raise NotFound("no such request here")
    return listing.shown_whole(row)
