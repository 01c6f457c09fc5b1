"""A small application on the real frame: one versioned thing per workspace, kept in a table of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from marshmallow import fields, validate

from server.app import create_app
from server.config import Settings
from server.kernel.errors import NotFound, Retryable
from server.web import current
from server.web.answers import answer
from server.web.bodies import read_json
from server.web.idempotency import remember, secret_answer
from server.web.paging import PageQuery, after, page, page_of
from server.web.permissions import public, requires
from server.web.preconditions import etag, expect_version, versioned
from server.web.principals import Principal
from server.web.room import In, Moment, Out, Room, Text, Whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flask import Blueprint, Flask

    from server.store import Store
    from server.web.frame import Served


class ToyIn(In):
    name = Text(required=True, most=40, least=1)
    size = Whole(load_default=1, validate=validate.Range(0, 1000))
    tags = fields.List(Text(most=20), load_default=list, validate=validate.Length(max=5))


class ToyOut(Out):
    name = Text(required=True)
    size = fields.Integer(required=True)
    version = fields.Integer(required=True)
    created_at = Moment(required=True)


class Many(PageQuery):
    size = fields.Integer(load_default=None)


def toy_room(store: Store) -> Room:
    room = Room("toys", description="Toys for tests.")
    _toys(room, store)
    _changes(room, store)
    _oddities(room)
    return room


def _toys(room: Room, store: Store) -> None:
    @room.route("/api/v1/toys", methods=["POST"])
    @requires("events:publish")
    @room.arguments(ToyIn)
    @room.response(201, ToyOut)
    def make_toy(body: dict[str, Any]):
        """Make a toy."""
        with store.begin(current.scope(), current.cause()) as tx:
            row = tx.one(
                """INSERT INTO toys (workspace_id, name, size) VALUES (:workspace_id, :name, :size)
                   ON CONFLICT (workspace_id, name) DO UPDATE SET made = toys.made + 1 RETURNING *""",
                name=body["name"],
                size=body["size"],
            )
            if body["name"] == "slow":
                time.sleep(0.3)
            return remember(tx, answer(ToyOut, row, 201, version=row.version))

    @room.route("/api/v1/toys", methods=["GET"])
    @requires("events:read")
    @room.arguments(Many, location="query")
    @room.response(200, page_of(ToyOut))
    def list_toys(query: dict[str, Any]):
        """List toys."""
        start = after(query, "toys", str) or [""]
        with store.begin(current.scope(), current.cause()) as tx:
            rows = tx.all(
                "SELECT * FROM toys WHERE workspace_id = :workspace_id AND name > :start ORDER BY name LIMIT :most",
                start=start[0],
                most=query["limit"] + 1,
            )
        return page(rows, query["limit"], "toys", lambda row: [row.name])

    @room.route("/api/v1/toys/<string:name>", methods=["GET"])
    @requires("events:read")
    @room.response(200, ToyOut)
    def show_toy(name: str):
        """Show one toy."""
        row = find(store, name)
        return row, 200, {"ETag": etag(row.version)}


def _changes(room: Room, store: Store) -> None:
    @room.route("/api/v1/toys/<string:name>", methods=["PUT"])
    @requires("definitions:apply")
    @room.arguments(ToyIn)
    @room.response(200, ToyOut)
    @versioned
    def change_toy(body: dict[str, Any], name: str):
        """Change one toy."""
        with store.begin(current.scope(), current.cause()) as tx:
            row = tx.one("SELECT * FROM toys WHERE workspace_id = :workspace_id AND name = :name FOR UPDATE", name=name)
            if row is None:
                raise NotFound(f"no toy {name}")
            expect_version(row.version)
            row = tx.one(
                "UPDATE toys SET size = :size, version = version + 1 WHERE name = :name RETURNING *",
                name=name,
                size=body["size"],
            )
            return remember(tx, answer(ToyOut, row, version=row.version))

    @room.route("/api/v1/toys/<string:name>/secret", methods=["POST"])
    @requires("secrets:write")
    @room.response(200)
    @secret_answer
    def toy_secret(name: str):
        """Show a secret once."""
        with store.begin(current.scope(), current.cause()) as tx:
            tx.run("UPDATE toys SET made = made + 1 WHERE name = :name", name=name)
            return remember(tx, answer(None, {"secret": f"hidden-{name}"}))


def _oddities(room: Room) -> None:
    @room.route("/api/v1/echo", methods=["POST"])
    @requires("events:publish")
    @room.doc(requestBody={"content": {"application/json": {"schema": {}}}})
    def echo():
        """Echo the body."""
        return answer(None, {"body": read_json()})

    @room.route("/api/v1/broken", methods=["POST"])
    @requires("events:publish")
    @room.arguments(ToyIn)
    def broken(body: dict[str, Any]):
        """Break, or fail like another system."""
        if body["name"] == "upstream":
            raise Retryable("the other system is busy", source="http", after=7)
        raise RuntimeError(f"boom {body['name']}")

    @room.route("/api/v1/open", methods=["GET"])
    @public
    @room.response(200)
    def anybody():
        """Answer anybody."""
        return {"ok": True}


def find(store: Store, name: str):
    with store.begin(current.scope(), current.cause()) as tx:
        row = tx.one("SELECT * FROM toys WHERE workspace_id = :workspace_id AND name = :name", name=name)
    if row is None:
        raise NotFound(f"no toy {name[:40]}")
    return row


@dataclass
class CountedFailures:
    """Counts in memory, for one test."""

    most: int = 20
    counts: dict[str, int] = field(default_factory=dict)

    def failed(self, address: str) -> float | None:
        self.counts[address] = self.counts.get(address, 0) + 1
        return 30.0 if self.counts[address] > self.most else None


@dataclass
class ToyServices:
    settings: Settings
    store: Store
    authenticate: Callable[[str | None], Principal | None]
    blueprints: Sequence[Blueprint]
    failures: CountedFailures = field(default_factory=CountedFailures)
    observers: list[Callable[[Served], None]] = field(default_factory=list)
    directs: tuple[()] = ()
    doors: tuple[()] = ()


def principal_of(token: str | None) -> Principal | None:
    """Tokens of the toy app are `role` or `role@workspace_id`, workspaces 1 and 2 of organization 1."""
    role, _, workspace = (token or "").partition("@")
    if role not in ("viewer", "operator", "editor", "admin") or workspace not in ("", "1", "2"):
        return None
    number = int(workspace or "1")
    return Principal(
        id=f"token:{role}",
        kind="token",
        organization_id=1,
        workspace_id=number,
        organization="default",
        workspace=f"w{number}",
        role=role,
    )


def make_tenants(engine: Store) -> None:
    """Make two workspaces."""
    with engine.connect() as connection:
        connection.exec_driver_sql("INSERT INTO organizations (name) VALUES ('default')")
        connection.exec_driver_sql("INSERT INTO workspaces (organization_id, name) VALUES (1, 'w1'), (1, 'w2')")


def make_table(engine: Store) -> None:
    """Make the table of toys, fenced like all others."""
    with engine.connect() as connection:
        connection.exec_driver_sql(
            """RESET ROLE;
               CREATE TABLE toys (workspace_id bigint NOT NULL, name text NOT NULL, size int NOT NULL,
                 version int NOT NULL DEFAULT 1, made int NOT NULL DEFAULT 1, created_at timestamptz NOT NULL DEFAULT now(),
                 PRIMARY KEY (workspace_id, name));
               ALTER TABLE toys ENABLE ROW LEVEL SECURITY;
               CREATE POLICY tenant ON toys TO crossdock_api
                 USING (workspace_id = nullif(current_setting('crossdock.workspace', true), '')::bigint);
               GRANT SELECT, INSERT, UPDATE, DELETE ON toys TO crossdock_api;
               SET ROLE crossdock_engine"""
        )


def toy_app(store: Store, *, rooms: Sequence[Blueprint] = (), **settings: Any) -> Flask:
    return create_app(ToyServices(Settings(**settings), store, principal_of, [toy_room(store), *rooms]))


def as_role(role: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {role}"}
