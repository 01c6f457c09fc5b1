"""A workspace, and a hand that plans and applies texts of definitions in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from server.access.throttle import AuthenticationFailures
from server.app import create_app
from server.authoring import applying, planning
from server.authoring.api import blueprint
from server.authoring.check import check
from server.authoring.examining import World, catalog
from server.config import Settings
from server.documents.catalog import PluginFacts
from server.documents.reading import File
from server.events.catalogue import Catalogue
from server.events.publishing import Publisher
from server.kernel.clock import SystemClock
from server.store import Cause, Scope, Store
from server.transport.addresses import AddressPolicy
from server.web.permissions import TOKEN_ROLES
from server.web.principals import Principal
from tests.support.tenants import make_workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from flask import Flask
    from flask.testing import FlaskClient

    from server.authoring.applying import Applied
    from server.authoring.planning import Plan
    from server.documents.kinds import Definition
    from server.store import Tx

HTTP = PluginFacts("http", {"type": "object"}, endpoint=lambda config: config.get("base_url"))
TABLES = (
    "definitions",
    "definition_versions",
    "integrations",
    "webhooks",
    "journal",
    "events",
    "event_keys",
    "workspaces",
)


class Hand:
    """Does with texts what the admin does with files: each text is a file `f0.yaml`, `f1.yaml`, …"""

    def __init__(self, store: Store, scope: Scope) -> None:
        self.store = store
        self.scope = scope
        self.world = World(lambda: {"http": HTTP}, lambda _: AddressPolicy())

    def begin(self, by: str = "user:anna") -> AbstractContextManager[Tx]:
        return self.store.begin(self.scope, Cause(by, "cor_1"))

    def define(
        self, tx: Tx, texts: Sequence[str], origin: str = "folder:main", *, prune: bool = False
    ) -> list[Definition]:
        files = [File(f"f{number}.yaml", text.encode()) for number, text in enumerate(texts)]
        result = check(files, catalog(tx, self.world, without=origin if prune else None))
        assert result.ok, [str(each) for each in result.findings]
        return list(result.documents)

    def plan(self, *texts: str, origin: str = "folder:main", prune: bool = False) -> Plan:
        with self.begin() as tx:
            return planning.plan(tx, self.define(tx, texts, origin, prune=prune), origin, prune=prune)

    def apply(self, *texts: str, origin: str = "folder:main", prune: bool = False, base: str | None = None) -> Applied:
        with self.begin() as tx:
            return applying.apply(tx, self.define(tx, texts, origin, prune=prune), origin, prune=prune, base=base)

    def secret(self, name: str) -> None:
        with self.begin() as tx:
            tx.run(
                """INSERT INTO secrets (organization_id, workspace_id, name, version, key_id, ciphertext, created_by)
                   VALUES (:organization_id, :workspace_id, :name, 1, 'k1', '', 'user:anna')""",
                name=name,
            )

    def rows(self, sql: str, **values: Any) -> Sequence[Any]:
        with self.begin() as tx:
            return tx.all(sql, **values)

    def snapshot(self) -> dict[str, list[Any]]:
        """Every row of every table with the transaction that wrote it: equal when nothing at all was written."""
        with self.begin() as tx:
            return {
                table: [
                    tuple(row) for row in tx.all(f"SELECT xmin::text, ctid::text, t.* FROM {table} t ORDER BY ctid")
                ]
                for table in TABLES
            }

    def state(self, table: str, name: str) -> str | None:
        rows = self.rows(f"SELECT state FROM {table} WHERE name = :name", name=name)
        return rows[0].state if rows else None

    def types(self) -> list[str]:
        return [row.type for row in self.rows("SELECT type FROM journal ORDER BY at, event_uid")]

    def routes(self) -> int:
        return int(self.rows("SELECT routes_version FROM workspaces WHERE id = :workspace_id")[0].routes_version)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    publisher = Publisher(SystemClock(), Catalogue(), [])
    store = Store(database_url, "crossdock_api", before_commit=[publisher.publish_journal])
    yield store
    store.close()


@pytest.fixture
def hand(store: Store, database_url: str) -> Hand:
    return Hand(store, make_workspace(database_url))


@pytest.fixture
def neighbour(store: Store, database_url: str, hand: Hand) -> Hand:
    return Hand(store, make_workspace(database_url, "rival"))


@dataclass
class Frame:
    """What an application needs around its rooms; a token is the name of a role, or of a role in the other workspace."""

    settings: Settings
    store: Store
    blueprints: Sequence[Any]
    scopes: dict[str, Scope]
    failures: AuthenticationFailures = field(default_factory=lambda: AuthenticationFailures(None))
    observers: Sequence[Any] = ()
    directs: Sequence[Any] = ()
    doors: Sequence[Any] = ()

    def authenticate(self, credential: str | None) -> Principal | None:
        role, _, place = (credential or "").partition("@")
        scope = self.scopes[place or "main"]
        if role not in TOKEN_ROLES:
            return None
        return Principal(
            id=f"token:{role}",
            kind="token",
            organization_id=scope.organization_id,
            workspace_id=scope.workspace_id,
            organization=scope.organization,
            workspace=scope.workspace,
            role=role,
        )


class Client:
    """A client with a token, whose answers are JSON."""

    def __init__(self, client: FlaskClient, token: str) -> None:
        self.client = client
        self.token = token

    def __call__(
        self, method: str, path: str, body: Any = None, status: int = 200, match: str | None = None, **headers: str
    ) -> Any:
        sent = {"Authorization": f"Bearer {self.token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if match is not None:
            sent["If-Match"] = match
        data = None if body is None else orjson.dumps(body)
        answer = self.client.open(
            f"/api/v1{path}", method=method, data=data, headers=sent, content_type="application/json" if data else None
        )
        assert answer.status_code == status, answer.get_data(as_text=True)
        self.etag = answer.headers.get("ETag")
        self.headers = answer.headers
        return orjson.loads(answer.data) if answer.data else None

    def as_(self, token: str) -> Client:
        return Client(self.client, token)


@pytest.fixture
def app(hand: Hand, neighbour: Hand) -> Flask:
    scopes = {"main": hand.scope, "rival": neighbour.scope}
    return create_app(Frame(Settings(), hand.store, [blueprint(hand.store, hand.world)], scopes))


@pytest.fixture
def api(app: Flask) -> Client:
    return Client(app.test_client(), "admin")
