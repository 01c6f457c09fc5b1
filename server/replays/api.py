"""Replays over HTTP: count, start, see, pause, resume, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from server.kernel import ids
from server.kernel.errors import NotFound
from server.replays import filters, jobs, schemas, usecases
from server.web import current, paging
from server.web.answers import answer
from server.web.idempotency import remember
from server.web.permissions import requires
from server.web.room import Room

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Response

    from server.store import Store, Tx

_LISTING = "replays"


def blueprint(store: Store, hint: Callable[[], None]) -> Room:
    """Make the room of replays."""
    room = Room("replays", description="Replays: make deliveries again, one or millions of them")
    _start(room, store, hint)
    _reading(room, store)
    for action, about in _ACTIONS.items():
        _act(room, store, hint, action, about)
    return room


_ACTIONS = {
    "pause": "Stop a replay; what it has made goes out all the same, and it can be resumed.",
    "resume": "Let a replay go on where it was, after a pause or a failure; what is left is counted anew.",
    "cancel": "End a replay for good; the deliveries that it has made stay.",
}


def _start(room: Room, store: Store, hint: Callable[[], None]) -> None:
    @room.route("/api/v1/replays", methods=["POST"])
    @requires("deliveries:retry")
    @room.arguments(schemas.ReplayNew)
    @room.response(202, schemas.ReplaySchema)
    @room.alt_response(200, schema=schemas.DryRunSchema, description="With `dry_run`: what it would make.")  # type: ignore[untyped-decorator]
    def start_replay(body: dict[str, Any]) -> Response:
        """Replay deliveries: named ones, or all that a filter means.

        Each gets a new delivery with the same `webhook-id`, a fresh round of tries and no place in any order. Of one event and
        webhook only the newest delivery is replayed, and only when it has ended. Dead letters of what is replayed are resolved.
        With `dry_run` everything is counted, and nothing is written.
        """
        filter_, options = filters.read(body)
        with store.begin(current.scope(), current.cause()) as tx:
            if body["dry_run"]:
                return remember(tx, answer(schemas.DryRunSchema, _found(usecases.dry_run(tx, filter_, options))))
            identity = usecases.start(tx, filter_, options, hint)
            return remember(tx, answer(schemas.ReplaySchema, _replay(tx, identity), 202))


def _reading(room: Room, store: Store) -> None:
    @room.route("/api/v1/replays")
    @requires("deliveries:read")
    @room.arguments(schemas.ReplayQuery, location="query")
    @room.response(200, schemas.ReplayPage)
    def list_replays(query: dict[str, Any]) -> dict[str, Any]:
        """List replays, newest first."""
        position = paging.after(query, _LISTING, UUID)
        with store.begin(current.scope(), current.cause()) as tx:
            rows = jobs.page(
                tx, before=position[0] if position else None, limit=query["limit"] + 1, state=query["state"]
            )
        return paging.page(rows, query["limit"], _LISTING, lambda row: [str(row.id)], schemas.show_replay)

    @room.route("/api/v1/replays/<replay_id>")
    @requires("deliveries:read")
    @room.response(200, schemas.ReplayDetail)
    def get_replay(replay_id: str) -> dict[str, Any]:
        """Read one replay: how far it has got, and what became of its deliveries."""
        identity = _id(replay_id)
        with store.begin(current.scope(), current.cause()) as tx:
            return {**_replay(tx, identity), "deliveries": jobs.outcomes(tx, identity)}


def _act(room: Room, store: Store, hint: Callable[[], None], action: str, about: str) -> None:
    def view(replay_id: str) -> Response:
        identity = _id(replay_id)
        with store.begin(current.scope(), current.cause()) as tx:
            usecases.act(tx, identity, action, hint)
            return remember(tx, answer(schemas.ReplaySchema, _replay(tx, identity)))

    view.__name__, view.__doc__ = f"{action}_replay", about
    declared = requires("deliveries:retry")(room.response(200, schemas.ReplaySchema)(view))
    room.route(f"/api/v1/replays/<replay_id>/{action}", methods=["POST"])(declared)


def _found(found: usecases.Found) -> dict[str, Any]:
    return {"dry_run": True, "count": found.count, "samples": [schemas.show_sample(each) for each in found.samples]}


def _replay(tx: Tx, identity: UUID) -> dict[str, Any]:
    row = jobs.find(tx, identity)
    if row is None:
        raise NotFound("no such replay here")
    return schemas.show_replay(row)


def _id(text: str) -> UUID:
    """Read an id from a path; one that cannot exist is one that is not here."""
    try:
        return ids.read("rpl", text)
    except ValueError as error:
        raise NotFound("no such replay here") from error
