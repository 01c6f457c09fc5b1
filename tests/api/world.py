"""The whole application on a real database, with workspaces that hold something of everything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from server import bootstrap
from server.access import tokens
from server.access.authentication import local_admin
from server.app import create_app
from server.kernel.ids import read, show
from server.sdk.signing import generate_secret
from server.web.permissions import TOKEN_ROLES
from tests.support.product import Product, until
from tests.support.receiver import Answer, Hit, Receiver

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from server.store import Scope
    from tests.api.routes import Route

_FOLDER = """\
kind: Integration
name: {word}-shop
plugin: http
config:
  base_url: {url}/api
  auth: {{scheme: bearer, token: {{secret: {upper}_TOKEN}}}}
---
kind: EventType
name: {word}.created
version: 1
schema: {{type: object, required: [order_id], properties: {{order_id: {{type: string}}}}}}
---
kind: Webhook
name: {word}-orders
direction: outbound
integration: {word}-shop
request: {{path: /orders}}
events: [{word}.created]
metadata: {{owner: {word}-people}}
sign:
  scheme: standard-webhooks
  key: {{secret: {upper}_HOOK}}
---
kind: Webhook
name: {word}-broken
direction: outbound
url: {url}/gone
events: [{word}.created]
---
kind: Webhook
name: {word}-paused
direction: outbound
url: {url}/later
events: [{word}.created]
"""
_SYNC_JOB = """\
---
kind: SyncJob
name: {word}-sync
schedule: {{cron: "0 3 1 1 *"}}
source: {{call: {word}-shop.resource.list, path: /things, primary_key: [id]}}
target: {{call: {word}-shop.resource.write, path: /things, match_on: [id]}}
"""
_FLOW = """\
---
kind: Flow
name: {word}-saga
steps:
  - id: allowed
    approve: {{message: "May {word} go on?"}}
"""


@dataclass
class Place:
    """A workspace with something of everything in it; all that it holds has `word` in its name."""

    scope: Scope
    word: str
    headers: dict[str, dict[str, str]]
    """What presents a token of each role."""
    deliveries: list[str] = field(default_factory=list)
    delivered: str = ""
    """The one of its deliveries that was delivered."""
    letters: list[str] = field(default_factory=list)
    replays: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    """What came to its inbound webhook."""
    token_ids: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    """Of its sync job."""
    flow_runs: list[str] = field(default_factory=list)
    """Of its flow: three that wait for a person, two that failed."""
    conflicts: list[str] = field(default_factory=list)

    @property
    def admin(self) -> dict[str, str]:
        return self.headers["admin"]

    @property
    def email(self) -> str:
        return f"{self.word}-person@example.com"

    def values(self, route: Route) -> list[dict[str, str]]:
        """Return what the variables of a route can be, so that it names things of this workspace."""
        word, upper = self.word, self.word.upper()
        names = {
            "secrets": [f"{upper}_HOOK", f"{upper}_TOKEN"],
            "webhooks": [f"{word}-orders", f"{word}-broken", f"{word}-paused", f"{word}-spare", f"{word}-removed"],
            "integrations": [f"{word}-shop", f"{word}-removed"],
            "event-types": [f"{word}.created@1", f"{word}.removed@1"],
            "sync-jobs": [f"{word}-sync"],
            "flows": [f"{word}-saga"],
        }
        values: dict[str, list[dict[str, str]]] = {
            "deliveries": [{"delivery_id": each} for each in self.deliveries],
            "dead-letters": [{"letter_id": each} for each in self.letters],
            "replays": [{"replay_id": each} for each in self.replays],
            "inbound-requests": [{"request_id": each} for each in self.requests],
            "sync-runs": [{"run_id": each} for each in self.runs],
            "flow-runs": [{"run_id": each, "path": "allowed"} for each in self.flow_runs],
            "sync-conflicts": [{"conflict_id": each} for each in self.conflicts],
            "tokens": [{"token_id": each} for each in self.token_ids],
            "members": [{"email": self.email}],
            "events": [{"event_id": f"{word}-evt-1"}],
            "plugins": [{"name": "http"}],
            "definitions": [
                {"kind": kind, "name": name}
                for kind, room in (
                    ("webhook", "webhooks"),
                    ("integration", "integrations"),
                    ("event-type", "event-types"),
                    ("sync-job", "sync-jobs"),
                    ("flow", "flows"),
                )
                for name in names[room]
            ],
        }
        found = values.get(route.room) or [{"name": each, "key": "1"} for each in names.get(route.room, [])]
        return found if route.variables else [{}]


class World:
    """The application, its database, and a receiver that all deliveries go to: `/gone` is gone, `/bad` refuses."""

    def __init__(self, database_url: str, redis_url: str = "") -> None:
        self.product = Product(database_url, redis_url)
        self.app = create_app(bootstrap.api(self.product.settings, built=self.product.core))
        self.receiver = Receiver()
        self.receiver.answer = self._answer

    def open(self) -> None:
        self.receiver.__enter__()

    def close(self) -> None:
        self.receiver.__exit__()
        self.product.close()

    @staticmethod
    def _answer(hit: Hit) -> Answer:
        status = {"/gone": 410, "/bad": 400}.get(hit.path, 200)
        return Answer(status, {"Content-Type": "application/json"}, b"{}")

    @property
    def client(self) -> FlaskClient:
        """A client that presents nothing by itself."""
        return self.app.test_client()

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> TestResponse:
        """Send JSON; `headers` present a token."""
        if body is not None:
            options |= {"data": orjson.dumps(body), "content_type": "application/json"}
        return self.client.open(path, method=method, **options)

    def token(self, scope: Scope, role: str, **options: Any) -> tuple[dict[str, str], str]:
        """Make a token; return the header that presents it, and its id."""
        with self.product.tx(scope) as tx:
            maker = local_admin(self.product.core.engine, str(scope))
            row, token = tokens.create(tx, maker, name=f"{scope.workspace} {role}", role=role, **options)  # type: ignore[arg-type]
        return {"Authorization": f"Bearer {token}"}, tokens.show(tokens.PREFIX, row.id)

    def place(self, organization: str, workspace: str) -> Place:
        """Make a workspace with something of everything; its word is its name."""
        scope = self.product.workspace(organization, workspace)
        made = {role: self.token(scope, role) for role in TOKEN_ROLES}
        place = Place(scope, workspace, {role: headers for role, (headers, _) in made.items()})
        place.token_ids = [self.token(scope, "viewer")[1]]
        self._declare(place)
        self._deliver(place)
        return place

    def _declare(self, place: Place) -> None:
        word, upper = place.word, place.word.upper()
        spare = {"direction": "outbound", "url": f"{self.receiver.url}/spare", "events": [f"{word}.spare"]}
        inbound = {
            "direction": "inbound",
            "path": f"{word}/in",
            "verify": {"scheme": "none"},
            "emit": {"type": f"{word}.arrived", "data": "body"},
        }
        text = (_FOLDER + _SYNC_JOB + _FLOW).format(word=word, upper=upper, url=self.receiver.url)
        apply = {"files": [{"path": f"{word}.yaml", "text": text}], "origin": f"folder:{word}"}
        removed = {"name": f"{word}.removed", "version": 1, "schema": {"type": "object"}}
        for method, path, body in (
            ("PUT", f"secrets/{upper}_HOOK", {"value": generate_secret()}),
            ("PUT", f"secrets/{upper}_TOKEN", {"value": f"{word} token one"}),
            ("POST", f"secrets/{upper}_TOKEN/rotate", {"value": f"{word} token two"}),
            ("PUT", f"members/{place.email}", {"role": "viewer", "name": f"{word} person"}),
            ("POST", "definitions/apply", apply),
            ("POST", "webhooks", {"name": f"{word}-spare", **spare}),
            ("POST", "webhooks", {"name": f"{word}-removed", **spare}),
            (
                "POST",
                "integrations",
                {"name": f"{word}-removed", "plugin": "http", "config": {"base_url": self.receiver.url}},
            ),
            ("POST", "webhooks", {"name": f"{word}-in", **inbound}),
            ("POST", f"webhooks/{word}-in/pause", {"reason": "what comes is kept as it is"}),
            ("POST", "event-types", removed),
            ("DELETE", f"webhooks/{word}-removed", None),
            ("DELETE", f"integrations/{word}-removed", None),
            ("DELETE", f"event-types/{word}.removed@1", None),
            ("POST", f"webhooks/{word}-paused/pause", {"reason": "a test"}),
        ):
            answer = self.call(method, f"/api/v1/{path}", body, headers=place.admin | {"If-Match": "*"})
            assert answer.status_code < 300, (method, path, answer.text)

    def _deliver(self, place: Place) -> None:
        event = {"type": f"{place.word}.created", "data": {"order_id": f"{place.word}-1"}, "id": f"{place.word}-evt-1"}
        answer = self.call("POST", "/api/v1/events", event, headers=place.admin)
        assert answer.status_code == 202, answer.text
        with self.product.worker():
            until(lambda: self._states(place) == {"delivered", "dead", "held"}, what="deliveries of every kind")
        for path, ids in (("deliveries", place.deliveries), ("dead-letters", place.letters)):
            listed = self.call("GET", f"/api/v1/{path}", headers=place.admin)
            ids += [each["id"] for each in listed.json["items"]]
            place.delivered = next(
                (each["id"] for each in listed.json["items"] if each.get("state") == "delivered"), place.delivered
            )
        assert (len(place.deliveries), len(place.letters)) == (3, 1)
        sent = self.product.receive(f"{place.word}/in", b"{}", {"content-type": "application/json"}, scope=place.scope)
        place.requests = [sent.json["id"]]
        replay = self.call("POST", "/api/v1/replays", {"filter": {"subject": place.word}}, headers=place.admin)
        place.replays = [replay.json["id"]]
        run = self.call("POST", f"/api/v1/sync-jobs/{place.word}-sync/runs", {}, headers=place.admin)
        place.runs = [run.json["id"]]
        place.flow_runs = self._flow_runs(place)
        place.conflicts = [self._conflict(place)]

    def _flow_runs(self, place: Place) -> list[str]:
        """Start runs of its flow, and bring them to where the engine would have brought them."""
        path = f"/api/v1/flows/{place.word}-saga/runs"
        runs = [self.call("POST", path, {}, headers=place.admin).json["id"] for _ in range(5)]
        with self.product.core.engine.connect() as conn:
            for number, run in enumerate(runs):
                values = (place.scope.workspace_id, read("run", run))
                state = "waiting" if number < 3 else "failed"
                conn.exec_driver_sql(
                    "UPDATE flow_runs SET state = %s, started_at = now() WHERE workspace_id = %s AND id = %s",
                    (state, *values),
                )
                conn.exec_driver_sql(
                    "UPDATE due SET due_at = 'infinity' WHERE kind = 'flow' AND workspace_id = %s AND ref = %s", values
                )
                conn.exec_driver_sql(
                    """INSERT INTO flow_steps (workspace_id, run_id, path, state, number, note) VALUES (%s, %s, 'allowed', %s, 0,
                       '{"message": "May it go on?", "until": "2100-01-01T00:00:00Z"}')""",
                    (*values, state),
                )
        return runs

    def _conflict(self, place: Place) -> str:
        """Make a conflict of its sync job, as a run of a two-way one does."""
        with self.product.core.engine.connect() as conn:
            row = conn.exec_driver_sql(
                """INSERT INTO sync_conflicts (id, workspace_id, job_id, key, source_key, fields)
                   SELECT gen_random_uuid(), workspace_id, id, '["1"]', '[1]', '{"name": {"base": 1, "source": 2, "target": 3}}'
                   FROM sync_jobs WHERE workspace_id = %s AND name = %s RETURNING id""",
                (place.scope.workspace_id, f"{place.word}-sync"),
            ).one()
        return show("cfl", row.id)

    def _states(self, place: Place) -> set[str]:
        rows = self.product.rows("SELECT state FROM deliveries WHERE workspace_id = :id", id=place.scope.workspace_id)
        return {row.state for row in rows}

    def tables(self) -> dict[str, list[str]]:
        """Return the columns of every table by its name; partitions are part of their table."""
        rows = self.product.rows(
            """SELECT c.relname AS name, array_agg(a.attname::text) AS columns
               FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
               WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
               GROUP BY 1 ORDER BY 1"""
        )
        return {each.name: each.columns for each in rows}

    def rows_of(self, place: Place) -> dict[str, list[str]]:
        """Return every row that belongs to a workspace, with the transaction that wrote it: equal when nothing was written."""
        return {
            table: [
                each.line
                for each in self.product.rows(
                    f'SELECT t.xmin::text || t::text AS line FROM "{table}" t WHERE workspace_id = :id ORDER BY 1',
                    id=place.scope.workspace_id,
                )
            ]
            for table, columns in self.tables().items()
            if "workspace_id" in columns
        }

    def dump(self) -> str:
        """Return every row of every table as text, bytes in hexadecimal."""
        rows = [
            each.line
            for table in self.tables()
            for each in self.product.rows(f'SELECT t::text AS line FROM "{table}" t')
        ]
        return "\n".join(rows)
