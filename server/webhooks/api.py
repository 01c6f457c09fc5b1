"""Deliveries, attempts, dead letters and the trigger, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from server.kernel import ids
from server.kernel.errors import Invalid, NotFound
from server.queue import dead_letters
from server.store.repository import insist
from server.web import current, paging
from server.web.answers import answer
from server.web.idempotency import remember
from server.web.permissions import requires
from server.web.problems import place
from server.web.room import Room
from server.webhooks import reading, schemas, usecases

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Response

    from server.events.publishing import Publisher
    from server.store import Store, Tx
    from server.store.repository import Repository
    from server.webhooks.aggregate import Webhook
    from server.webhooks.owing import Owing
    from server.webhooks.owners import Owners
    from server.webhooks.usecases import Reopening

_AT_ONCE = 10_000


def blueprint(
    store: Store,
    webhooks: Repository[Webhook],
    publisher: Publisher,
    owing: Owing,
    reopening: Reopening,
    reopens: Mapping[str, dead_letters.Reopen],
    owners: Owners,
) -> Room:
    """Make the room of deliveries."""
    room = Room("deliveries", description="Deliveries, attempts and dead letters: see, retry, discard")
    _triggers(room, store, webhooks, publisher, owing)
    _deliveries(room, store, webhooks, reopening)
    _dead_letters(room, store, dict(reopens), owners)
    return room


def _triggers(room: Room, store: Store, webhooks: Repository[Webhook], publisher: Publisher, owing: Owing) -> None:
    @room.route("/api/v1/webhooks/<name>/trigger", methods=["POST"])
    @requires("webhooks:operate")
    @room.arguments(schemas.TriggerSchema)
    @room.response(202, schemas.TriggeredSchema)
    def trigger_webhook(body: dict[str, Any], name: str) -> Response:
        """Make one real signed delivery of a payload through this webhook only."""
        with store.begin(current.scope(), current.cause()) as tx:
            made = usecases.trigger(tx, webhooks, publisher, owing, name, body["payload"])
            shown = {
                "event_id": made.event_id,
                "delivery_id": ids.show("dlv", made.delivery_id),
                "message_id": made.message_id,
            }
            return remember(tx, answer(schemas.TriggeredSchema, shown, 202))


def _deliveries(room: Room, store: Store, webhooks: Repository[Webhook], reopening: Reopening) -> None:
    @room.route("/api/v1/deliveries")
    @requires("deliveries:read")
    @room.arguments(schemas.DeliveryQuery, location="query")
    @room.response(200, schemas.DeliveryPage)
    def list_deliveries(query: dict[str, Any]) -> dict[str, Any]:
        """List deliveries, newest first."""
        position = paging.after(query, "deliveries", UUID)
        with store.begin(current.scope(), current.cause()) as tx:
            if query["webhook"] is not None:
                insist(tx, webhooks, query["webhook"])
            rows = reading.deliveries(
                tx,
                before=position[0] if position else None,
                limit=query["limit"] + 1,
                webhook=query["webhook"],
                state=query["state"],
                event=query["event"],
                replay=_replay(query["replay"]),
            )
        return paging.page(rows, query["limit"], "deliveries", lambda row: [str(row.id)], reading.show_delivery)

    @room.route("/api/v1/deliveries/<delivery_id>")
    @requires("deliveries:read")
    @room.response(200, schemas.DeliverySchema)
    def get_delivery(delivery_id: str) -> dict[str, Any]:
        """Read one delivery."""
        with store.begin(current.scope(), current.cause()) as tx:
            return _delivery(tx, delivery_id)

    @room.route("/api/v1/deliveries/<delivery_id>/attempts")
    @requires("deliveries:read")
    @room.arguments(paging.PageQuery, location="query")
    @room.response(200, schemas.AttemptPage)
    def list_attempts(query: dict[str, Any], delivery_id: str) -> dict[str, Any]:
        """List the attempts of a delivery, first try first."""
        position = paging.after(query, "attempts", int)
        with store.begin(current.scope(), current.cause()) as tx:
            _delivery(tx, delivery_id)
            after = int(position[0]) if position else 0
            rows = reading.attempts(tx, _id("dlv", delivery_id), after=after, limit=query["limit"] + 1)
        return paging.page(rows, query["limit"], "attempts", lambda row: [row.no], reading.show_attempt)

    @room.route("/api/v1/deliveries/<delivery_id>/retry", methods=["POST"])
    @requires("deliveries:retry")
    @room.response(202, schemas.DeliverySchema)
    def retry_delivery(delivery_id: str) -> Response:
        """Try a delivery again now: the same `webhook-id`, a new round of the schedule.

        With an order, a dead one waits for its turn, and one that has ended otherwise goes out beside it.
        """
        with store.begin(current.scope(), current.cause()) as tx:
            usecases.retry(tx, reopening, _id("dlv", delivery_id))
            return remember(tx, answer(schemas.DeliverySchema, _delivery(tx, delivery_id), 202))


def _dead_letters(room: Room, store: Store, reopens: dict[str, dead_letters.Reopen], owners: Owners) -> None:
    @room.route("/api/v1/dead-letters")
    @requires("deliveries:read")
    @room.arguments(schemas.DeadLetterQuery, location="query")
    @room.response(200, schemas.DeadLetterPage)
    def list_dead_letters(query: dict[str, Any]) -> dict[str, Any]:
        """List dead letters, newest first: the open ones, or with `resolved` those that were replayed or discarded."""
        position = paging.after(query, "dead-letters", UUID)
        with store.begin(current.scope(), current.cause()) as tx:
            owner = query["owner"] and owners.named(tx, query["owner"], "query")
            rows = dead_letters.page(
                tx,
                before=position[0] if position else None,
                limit=query["limit"] + 1,
                owner=owner,
                kind=query["kind"],
                resolved=query["resolved"],
            )
        return paging.page(rows, query["limit"], "dead-letters", lambda row: [str(row.id)], reading.show_letter)

    @room.route("/api/v1/dead-letters/<letter_id>")
    @requires("deliveries:read")
    @room.response(200, schemas.DeadLetterSchema)
    def get_dead_letter(letter_id: str) -> dict[str, Any]:
        """Read one dead letter."""
        with store.begin(current.scope(), current.cause()) as tx:
            return _letter(tx, letter_id)

    @room.route("/api/v1/dead-letters/<letter_id>/retry", methods=["POST"])
    @requires("deliveries:retry")
    @room.response(202, schemas.DeadLetterSchema)
    def retry_dead_letter(letter_id: str) -> Response:
        """Try what died again; doing it twice does it once."""
        with store.begin(current.scope(), current.cause()) as tx:
            _letter(tx, letter_id)
            usecases.retry_dead_letters(tx, [_id("dead", letter_id)], reopens)
            return remember(tx, answer(schemas.DeadLetterSchema, _letter(tx, letter_id), 202))

    @room.route("/api/v1/dead-letters/<letter_id>/discard", methods=["POST"])
    @requires("deliveries:retry")
    @room.response(200, schemas.DeadLetterSchema)
    def discard_dead_letter(letter_id: str) -> Response:
        """Give it up for good; what waited for it in order goes on."""
        with store.begin(current.scope(), current.cause()) as tx:
            _letter(tx, letter_id)
            usecases.discard_dead_letters(tx, [_id("dead", letter_id)], reopens)
            return remember(tx, answer(schemas.DeadLetterSchema, _letter(tx, letter_id)))

    @room.route("/api/v1/dead-letters/retry", methods=["POST"])
    @requires("deliveries:retry")
    @room.arguments(schemas.OwnerSchema)
    @room.response(202, schemas.CountSchema)
    def retry_all(body: dict[str, Any]) -> Response:
        """Try all open dead letters of a definition again, the oldest 10,000 at a time; repeat until it answers 0."""
        with store.begin(current.scope(), current.cause()) as tx:
            letters = reading.open_letters(tx, owners.named(tx, body["owner"]), _AT_ONCE)
            count = usecases.retry_dead_letters(tx, letters, reopens)
            return remember(tx, answer(schemas.CountSchema, {"count": count}, 202))


def _delivery(tx: Tx, delivery_id: str) -> dict[str, Any]:
    row = reading.delivery(tx, _id("dlv", delivery_id))
    if row is None:
        raise NotFound("no such delivery here")
    return reading.show_delivery(row)


def _letter(tx: Tx, letter_id: str) -> dict[str, Any]:
    row = dead_letters.find(tx, _id("dead", letter_id))
    if row is None:
        raise NotFound("no such dead letter here")
    return reading.show_letter(row)


def _replay(text: str | None) -> UUID | None:
    """Read the id of a replay from a query."""
    try:
        return None if text is None else ids.read("rpl", text)
    except ValueError as error:
        problem = place("/replay", "not the id of a replay: rpl_…", location="query")
        raise Invalid("this is not the id of a replay", source="web", errors=[problem]) from error


def _id(prefix: str, text: str) -> UUID:
    """Read an id from a path; one that cannot exist is one that is not here."""
    try:
        return ids.read(prefix, text)
    except ValueError as error:
        raise NotFound(f"no such id here: {prefix}_…") from error
