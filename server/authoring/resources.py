"""What definitions declare, as REST resources: integrations, webhooks, event types. Bodies are definitions without `kind`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import request
from marshmallow import INCLUDE

from server.authoring import crud, folding, queries, schemas
from server.authoring.applying import REPOSITORIES
from server.authoring.bodies import body_of, document
from server.authoring.versions import live
from server.kernel.errors import NotFound
from server.store.values import read_json
from server.web import current, paging, problems
from server.web.answers import answer
from server.web.idempotency import remember
from server.web.permissions import requires
from server.web.preconditions import expect_version, maybe_versioned, versioned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from flask import Response
    from marshmallow import Schema

    from server.authoring.examining import World
    from server.authoring.queries import Held
    from server.kernel.lifecycle import Action
    from server.store import Store, Tx
    from server.store.repository import Stored
    from server.web.room import Room

_LONGEST_VALUE = 200
_METADATA = "metadata."
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?")
_ACTIONS: dict[str, tuple[Action, str]] = {
    "pause": ("pause", "Pause: it stands still until it is resumed; nothing that it owes is lost."),
    "resume": ("resume", "Go on after a pause; what was held goes out, oldest first."),
    "activate": ("activate", "Make a draft or a disabled one active."),
    "disable": ("disable", "Stop until a person activates it."),
}


@dataclass(frozen=True, slots=True)
class Noun:
    """One kind as a resource: its path, its kind, and what reading and moving it needs."""

    path: str
    kind: str
    reads: str
    operates: str | None
    item: type[Schema]
    page: type[Schema]

    @property
    def word(self) -> str:
        """The name in operation ids: `event_type`."""
        return self.path.removesuffix("s").replace("-", "_")


NOUNS = (
    Noun(
        "integrations",
        "Integration",
        "definitions:read",
        "integrations:operate",
        schemas.ResourceSchema,
        schemas.ResourcePage,
    ),
    Noun("webhooks", "Webhook", "definitions:read", "webhooks:operate", schemas.ResourceSchema, schemas.ResourcePage),
    Noun("sync-jobs", "SyncJob", "definitions:read", "syncs:operate", schemas.ResourceSchema, schemas.ResourcePage),
    Noun("flows", "Flow", "definitions:read", "flows:operate", schemas.ResourceSchema, schemas.ResourcePage),
    Noun("event-types", "EventType", "events:read", None, schemas.EventTypeSchema, schemas.EventTypePage),
)


def resources(room: Room, store: Store, world: World) -> None:
    """Add the routes of every kind."""
    for noun in NOUNS:
        _reading(room, store, noun)
        _writing(room, store, world, noun)
        _changing(room, store, world, noun)
        if noun.operates is not None:
            _history(room, store, noun)
            folding.add(room, store, noun)
            for path, (action, about) in _ACTIONS.items():
                _moving(room, store, noun, (path, action, about))


def _reading(room: Room, store: Store, noun: Noun) -> None:
    query_of = schemas.TypeQuery if noun.operates is None else schemas.ResourceQuery

    @room.route(f"/api/v1/{noun.path}", endpoint=f"list_{noun.word}s")
    @requires(noun.reads)
    @room.arguments(query_of, location="query", unknown=INCLUDE)
    @room.response(200, noun.page)
    def list_resources(query: dict[str, Any]) -> dict[str, Any]:
        """List by name; filter by `metadata.KEY=VALUE`, where true, false and numbers are those, and quotes make a text.

        What was removed is listed by its state alone: `archived`.
        """
        position = paging.after(query, noun.path, str) or [""]
        metadata = _metadata(query)
        with _begin(store) as tx:
            rows = _page(tx, noun, str(position[0]), query["limit"] + 1, metadata, query.get("state"))
        return paging.page(rows, query["limit"], noun.path, lambda each: [each["name"]])

    @room.route(f"/api/v1/{noun.path}/<name>", endpoint=f"get_{noun.word}")
    @requires(noun.reads)
    @room.response(200, noun.item)
    def get_resource(name: str) -> Response:
        """Read one; its ETag goes into If-Match of what changes it."""
        with _begin(store) as tx:
            return _one(tx, noun, name)


def _writing(room: Room, store: Store, world: World, noun: Noun) -> None:
    @room.route(f"/api/v1/{noun.path}", methods=["POST"], endpoint=f"create_{noun.word}")
    @requires("definitions:apply")
    @room.response(201, noun.item)
    @room.doc(requestBody=document(noun.kind))
    def create_resource() -> Response:
        """Create one; it is active unless it says `active: false`."""
        body = body_of(noun.kind)
        with _begin(store) as tx:
            name = crud.create(tx, world, noun.kind, body).name
            return remember(tx, _one(tx, noun, name, status=201))

    @room.route(f"/api/v1/{noun.path}/<name>", methods=["PUT"], endpoint=f"replace_{noun.word}")
    @requires("definitions:apply")
    @room.arguments(schemas.ForceQuery, location="query")
    @room.response(200, noun.item)
    @room.doc(requestBody=document(noun.kind))
    @versioned
    def replace_resource(query: dict[str, Any], name: str) -> Response:
        """Replace one by a whole definition; needs If-Match. The same definition again changes nothing."""
        body = body_of(noun.kind)
        with _begin(store) as tx:
            crud.replace(tx, world, noun.kind, name, body, expect_version, force=query["force"])
            return remember(tx, _one(tx, noun, name))

    @room.route(f"/api/v1/{noun.path}/<name>", methods=["DELETE"], endpoint=f"delete_{noun.word}")
    @requires("definitions:apply")
    @room.arguments(schemas.ForceQuery, location="query")
    @room.response(204)
    @versioned
    def delete_resource(query: dict[str, Any], name: str) -> Response:
        """Remove one softly; needs If-Match. It can be restored."""
        with _begin(store) as tx:
            crud.remove(tx, noun.kind, name, expect_version, force=query["force"])
            return remember(tx, answer(None, None, 204))


def _changing(room: Room, store: Store, world: World, noun: Noun) -> None:
    @room.route(f"/api/v1/{noun.path}/<name>/restore", methods=["POST"], endpoint=f"restore_{noun.word}")
    @requires("definitions:apply")
    @room.response(200, noun.item)
    def restore_resource(name: str) -> Response:
        """Bring a removed one back with its history; what has states comes back as a draft."""
        with _begin(store) as tx:
            crud.restore(tx, world, noun.kind, name)
            return remember(tx, _one(tx, noun, name))


def _moving(room: Room, store: Store, noun: Noun, move: tuple[str, Action, str]) -> None:
    path, action, about = move

    def move_resource(body: dict[str, Any], name: str) -> Response:
        with _begin(store) as tx:
            crud.act(tx, noun.kind, name, action, _optional, body["reason"])
            return remember(tx, _one(tx, noun, name))

    move_resource.__doc__ = about
    view = room.response(200, noun.item)(maybe_versioned(move_resource))
    view = room.arguments(schemas.ReasonSchema, required=False)(view)
    view = requires(noun.operates or "")(view)
    room.route(f"/api/v1/{noun.path}/<name>/{path}", methods=["POST"], endpoint=f"{path}_{noun.word}")(view)


def _history(room: Room, store: Store, noun: Noun) -> None:
    @room.route(f"/api/v1/{noun.path}/<name>/history", endpoint=f"list_{noun.word}_history")
    @requires(noun.reads)
    @room.arguments(paging.PageQuery, location="query")
    @room.response(200, schemas.EntryPage)
    def list_history(query: dict[str, Any], name: str) -> dict[str, Any]:
        """List the domain events of one, oldest first, also of a removed one; folding them gives its state."""
        position = paging.after(query, "history", int)
        after = int(position[0]) if position else 0
        with _begin(store) as tx:
            found = REPOSITORIES[noun.kind].find(tx, name) or REPOSITORIES[noun.kind].find(tx, name, deleted=True)
            if found is None:
                raise NotFound(f"no {noun.word.replace('_', ' ')} {name} in {tx.scope}")
            rows = queries.journal_page(tx, found.aggregate.id, after=after, limit=query["limit"] + 1)
        return paging.page(rows, query["limit"], "history", lambda row: [row.version])


def _begin(store: Store) -> AbstractContextManager[Tx]:
    return store.begin(current.scope(), current.cause())


def _optional(version: int) -> None:
    expect_version(version, required=False)


def _metadata(query: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata filters of a query; any other parameter that no schema declares is refused."""
    declared = {"limit", "cursor", "state"}
    found = {}
    for key in query.keys() - declared:
        values = request.args.getlist(key)
        if not key.startswith(_METADATA) or key == _METADATA:
            raise problems.by_location({"query": {key: ["Unknown field."]}})
        if len(values) != 1 or len(values[0]) > _LONGEST_VALUE:
            raise problems.by_location({"query": {key: [f"One value of up to {_LONGEST_VALUE} characters is taken."]}})
        found[key.removeprefix(_METADATA)] = _fact(values[0])
    return found


def _fact(text: str) -> Any:
    """Read a metadata value as a file would: numbers and booleans are those, quotes make a text."""
    if text in ("true", "false"):
        return text == "true"
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1]
    return read_json(text) if _NUMBER.fullmatch(text) else text


def _page(
    tx: Tx, noun: Noun, after: str, limit: int, metadata: Mapping[str, Any], state: str | None
) -> list[dict[str, Any]]:
    repository = REPOSITORIES.get(noun.kind)
    if repository is None:
        held = queries.page(tx, after=(noun.kind, after), limit=limit, kind=noun.kind, metadata=metadata)
        born = queries.born(tx, noun.kind, [each.name for each in held])
        return [_type(each, born[each.name]) for each in held]
    rows: Sequence[Stored[Any]] = repository.page(tx, after=after, limit=limit, metadata=metadata, state=state)
    names = [each.aggregate.name for each in rows]
    definitions = queries.several(tx, noun.kind, names, removed=state == "archived")
    return [_declared(each, definitions[each.aggregate.name]) for each in rows if each.aggregate.name in definitions]


def _one(tx: Tx, noun: Noun, name: str, *, status: int = 200) -> Response:
    held = live(tx, noun.kind, name)
    repository = REPOSITORIES.get(noun.kind)
    found = None if repository is None else repository.find(tx, name)
    if found is None:
        shown = _type(held, queries.born(tx, noun.kind, [name])[name])
        version = held.version
    else:
        shown, version = _declared(found, held), found.aggregate.version
    headers = {"Location": f"/api/v1/{noun.path}/{name}"} if status == 201 else {}  # noqa: PLR2004 - HTTP's Created
    return answer(noun.item, shown, status, version=version, headers=headers)


def _stamped(held: Held) -> dict[str, Any]:
    return {
        "name": held.name,
        "version": held.version,
        "origin": held.origin,
        "drifted": held.last_origin != held.origin,
        "metadata": held.body.get("metadata", {}),
        "definition": {key: value for key, value in held.body.items() if key != "kind"},
    }


def _type(held: Held, born: tuple[datetime, str]) -> dict[str, Any]:
    stamp = {
        "created_at": born[0],
        "created_by": born[1],
        "updated_at": held.updated_at,
        "updated_by": held.updated_by,
    }
    return _stamped(held) | stamp


def _declared(stored: Stored[Any], held: Held) -> dict[str, Any]:
    stamp = stored.stamp
    return _stamped(held) | {
        "state": stored.aggregate.state,
        "allowed": stored.aggregate.allowed(),
        "created_at": stamp.created_at,
        "created_by": stamp.created_by,
        "updated_at": stamp.updated_at,
        "updated_by": stamp.updated_by,
    }
