"""What an aggregate was at any time: its journal, folded up to a moment or a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marshmallow import fields, validate

from server.authoring.applying import REPOSITORIES
from server.kernel.errors import Invalid, NotFound
from server.store import journal
from server.web import current
from server.web.permissions import requires
from server.web.room import In, Instant, Json, Moment, Out

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from server.authoring.resources import Noun
    from server.store import Store, Tx
    from server.web.room import Room


class AsOfQuery(In):
    """Up to when."""

    at = Instant(load_default=None, metadata={"description": "As it was at this time."})
    version = fields.Integer(
        load_default=None,
        validate=validate.Range(1, 2**31 - 1),
        metadata={"description": "As this version of it was, which the history names."},
    )


class AsOfSchema(Out):
    """An aggregate as it was."""

    name = fields.String(required=True)
    state = fields.String(required=True)
    version = fields.Integer(required=True, metadata={"description": "How many domain events had made it."})
    definition_version = fields.Integer(required=True)
    definition = Json(required=True)
    metadata = Json(required=True)
    at = Moment(required=True, metadata={"description": "When the last of these events happened."})
    by = fields.String(required=True)


def add(room: Room, store: Store, noun: Noun) -> None:
    """Add the route of one kind."""

    @room.route(f"/api/v1/{noun.path}/<name>/history/state", endpoint=f"get_{noun.word}_as_of")
    @requires(noun.reads)
    @room.arguments(AsOfQuery, location="query")
    @room.response(200, AsOfSchema)
    def get_as_of(query: dict[str, Any], name: str) -> dict[str, Any]:
        """Read what one was at a time or in a version, also a removed one: its journal folded so far; without either, now."""
        if query["at"] is not None and query["version"] is not None:
            raise Invalid("a time or a version, not both", source="web")
        with store.begin(current.scope(), current.cause()) as tx:
            identity, rows = _rows(tx, noun, name, query)
        kind = REPOSITORIES[noun.kind].kind
        was = kind.fold(identity, (kind.event_of(row.type, row.data) for row in rows))
        return {
            "name": was.name,
            "state": was.state,
            "version": was.version,
            "definition_version": was.definition_version,
            "definition": {key: value for key, value in was.body.items() if key != "kind"},
            "metadata": was.metadata,
            "at": rows[-1].at,
            "by": rows[-1].by,
        }


def _rows(tx: Tx, noun: Noun, name: str, query: dict[str, Any]) -> tuple[UUID, Sequence[Any]]:
    """Return the id of one and its journal up to then.

    Raises:
        NotFound: there was none then.

    """
    repository = REPOSITORIES[noun.kind]
    found = repository.find(tx, name) or repository.find(tx, name, deleted=True)
    rows = journal.history(tx, found.aggregate.id, query["at"]) if found else []
    kept = [row for row in rows if query["version"] is None or row.version <= query["version"]]
    if found is None or not kept or (query["version"] or 0) > kept[-1].version:
        raise NotFound(f"there was no {noun.word.replace('_', ' ')} {name} then in {tx.scope}")
    return found.aggregate.id, kept
