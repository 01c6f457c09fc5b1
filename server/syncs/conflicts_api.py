"""Conflicts of two-way jobs over HTTP: list, see, resolve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from marshmallow import fields, validate

from server.kernel import ids
from server.kernel.errors import NotFound
from server.syncs import conflicts
from server.web import current, paging
from server.web.answers import answer
from server.web.idempotency import remember
from server.web.paging import PageQuery, page_of
from server.web.permissions import requires
from server.web.room import In, Moment, Out, Room

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Response

    from server.store import Store

_LISTING = "sync-conflicts"
_MOST_FIELDS = 200


class ConflictQuery(PageQuery):
    """Which conflicts."""

    job = fields.String(validate=validate.Length(max=200), metadata={"description": "Of this sync job."})
    state = fields.String(
        load_default="open",
        validate=validate.OneOf(("open", "resolved")),
        metadata={"description": "Those that wait, or those that are over."},
    )


class ContestedSchema(Out):
    """A field that both sides have changed."""

    field = fields.String(required=True)
    base = fields.Raw(required=True, allow_none=True, metadata={"description": "What both had when they last agreed."})
    source = fields.Raw(required=True, allow_none=True)
    target = fields.Raw(required=True, allow_none=True)
    decision = fields.Raw(
        required=True, allow_none=True, metadata={"description": "`{side}` or `{value}`, while its run is under way."}
    )


class SyncConflictSchema(Out):
    """A record of a two-way sync job of which fields wait for a person."""

    id = fields.String(required=True)
    job = fields.String(required=True)
    key = fields.Raw(required=True, metadata={"description": "The primary key of the source's row."})
    state = fields.String(required=True, metadata={"description": "open or resolved."})
    fields_ = fields.List(fields.Nested(ContestedSchema), required=True, data_key="fields", attribute="fields")
    decided_by = fields.String(required=True, allow_none=True)
    created_at = Moment(required=True)
    updated_at = Moment(required=True)
    resolved_at = Moment(required=True, allow_none=True)


class ResolveSchema(In):
    """What becomes of fields."""

    fields_ = fields.Dict(
        keys=fields.String(validate=validate.Length(1, 200)),
        values=fields.Raw(),
        required=True,
        data_key="fields",
        validate=validate.Length(1, _MOST_FIELDS),
        metadata={"description": 'By name: `"source"`, `"target"`, or `{"value": …}`.'},
    )


class ResolvedSchema(SyncConflictSchema):
    """The conflict after the decision."""

    run = fields.String(required=True, metadata={"description": "The run that carries it out."})


ConflictPage = page_of(SyncConflictSchema)


def blueprint(store: Store, hint: Callable[[], None]) -> Room:
    """Make the room of conflicts."""
    room = Room("sync-conflicts", description="Fields that both sides of a two-way sync job have changed.")

    @room.route("/api/v1/sync-conflicts")
    @requires("deliveries:read")
    @room.arguments(ConflictQuery, location="query")
    @room.response(200, ConflictPage)
    def list_sync_conflicts(query: dict[str, Any]) -> dict[str, Any]:
        """List conflicts, newest first."""
        position = paging.after(query, _LISTING, UUID)
        with store.begin(current.scope(), current.cause()) as tx:
            before = position[0] if position else None
            rows = conflicts.page(
                tx, before=before, limit=query["limit"] + 1, job=query.get("job"), state=query["state"]
            )
        return paging.page(rows, query["limit"], _LISTING, lambda row: [str(row.id)], conflicts.shown)

    @room.route("/api/v1/sync-conflicts/<conflict_id>")
    @requires("deliveries:read")
    @room.response(200, SyncConflictSchema)
    def get_sync_conflict(conflict_id: str) -> dict[str, Any]:
        """Read one conflict."""
        with store.begin(current.scope(), current.cause()) as tx:
            return conflicts.shown(conflicts.find(tx, identity(conflict_id)))

    @room.route("/api/v1/sync-conflicts/<conflict_id>/resolve", methods=["POST"])
    @requires("syncs:operate")
    @room.arguments(ResolveSchema)
    @room.response(202, ResolvedSchema)
    def resolve_sync_conflict(body: dict[str, Any], conflict_id: str) -> Response:
        """Say what fields are to be, and start a run of the record; values that changed meanwhile wait again."""
        with store.begin(current.scope(), current.cause()) as tx:
            done = conflicts.resolve(tx, identity(conflict_id), body["fields_"], hint)
            return remember(tx, answer(ResolvedSchema, {**done.conflict, "run": done.run}, 202))

    return room


def identity(text: str) -> UUID:
    """Read an id from a path; one that cannot exist is one that is not here."""
    try:
        return ids.read(conflicts.PREFIX, text)
    except ValueError as error:
        raise NotFound("no such conflict here") from error
