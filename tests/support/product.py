"""The product in one process, on a real database: its core, its HTTP application, and a worker whose loop runs in a thread."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from server import bootstrap, reactions
from server.access.authentication import local_admin
from server.app import create_app
from server.config import Settings
from server.kernel.ids import new_uuid
from server.queue import claims
from server.sdk.signing import generate_secret
from server.store import Cause, Scope
from server.webhooks import fanouts
from server.webhooks.aggregate import Webhook
from tests.support.receipt import Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from flask import Flask
    from flask.testing import FlaskClient

    from tests.support.receipt import Answered


class Product:
    """Everything of one instance but its processes."""

    def __init__(self, database_url: str, redis_url: str = "", **settings: Any) -> None:
        self.settings = dataclasses.replace(
            Settings(),
            database_url=database_url,
            redis_url=redis_url,
            keys="k1:" + base64.b64encode(os.urandom(32)).decode(),
            allow_networks=("127.0.0.0/8", "::1/128"),
            **settings,
        )
        self.core = bootstrap.core(self.settings)
        self._apps: dict[str, Flask] = {}
        self._lock = threading.Lock()
        self._receipts: list[Receipt] = []
        self.cause = Cause("test", "cor_test")
        self.scope = self.workspace("default", "default")

    def close(self) -> None:
        for each in self._receipts:
            each.close()
        self.core.engine.close()
        self.core.tenant.close()

    def workspace(self, organization: str, workspace: str) -> Scope:
        """Make a workspace, or find it."""
        with self.core.engine.engine.begin() as conn:
            conn.execute(
                text("INSERT INTO organizations (name) VALUES (:name) ON CONFLICT DO NOTHING"), {"name": organization}
            )
            org = conn.execute(
                text("SELECT id FROM organizations WHERE name = :name"), {"name": organization}
            ).scalar_one()
            conn.execute(
                text("INSERT INTO workspaces (organization_id, name) VALUES (:org, :name) ON CONFLICT DO NOTHING"),
                {"org": org, "name": workspace},
            )
            identity = conn.execute(
                text("SELECT id FROM workspaces WHERE organization_id = :org AND name = :name"),
                {"org": org, "name": workspace},
            ).scalar_one()
        return Scope(org, identity, organization, workspace)

    def client(self, scope: Scope | None = None) -> FlaskClient:
        """Return a client that is the admin of a workspace."""
        name = str(scope or self.scope)
        with self._lock:  # one application per workspace; and two threads that make one trip over each other's parsers
            if name not in self._apps:
                principal = local_admin(self.core.engine, name)
                self._apps[name] = create_app(bootstrap.api(self.settings, principal=principal, built=self.core))
        return self._apps[name].test_client()

    def tx(self, scope: Scope | None = None) -> Any:
        """Open a transaction under the API's role."""
        return self.core.tenant.begin(scope or self.scope, self.cause)

    def webhook(self, name: str, url: str, scope: Scope | None = None, **body: Any) -> Webhook:
        """Make an active outbound webhook that is signed with a secret of its own."""
        webhook = Webhook(new_uuid())
        with self.tx(scope) as tx:
            secret = name.upper().replace("-", "_")
            self.core.secrets.set(tx, secret, generate_secret())
            full = {
                "name": name,
                "direction": "outbound",
                **({"url": url} if url else {}),
                "events": ["order.created"],
                "sign": {"scheme": "standard-webhooks", "key": {"secret": secret}},
                **body,
            }
            tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")
            webhook.create(name, full, 1, {})
            webhook.activate()
            self.core.webhooks.add(tx, webhook)
        return webhook

    def act(self, name: str, action: Any, scope: Scope | None = None) -> None:
        """Move a webhook to another state, as a person would."""
        with self.tx(scope) as tx:
            tx.run("UPDATE workspaces SET routes_version = routes_version + 1 WHERE id = :workspace_id")
            webhook = self.core.webhooks.get(tx, name)
            webhook.act(action)
            self.core.webhooks.save(tx, webhook)

    def secret_of(self, name: str, scope: Scope | None = None) -> str:
        """Return a webhook's signing secret."""
        with self.tx(scope) as tx:
            return str(self.core.secrets.resolve(tx, name.upper().replace("-", "_"))[0])

    def receipt(self) -> Receipt:
        """Return what receives inbound requests in one API process; each call makes another one."""
        direct = next(each for each in bootstrap.api(self.settings, built=self.core).directs if each.prefix == "/in/")
        self._receipts.append(Receipt(direct))
        return self._receipts[-1]

    def receive(
        self,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        *,
        scope: Scope | None = None,
        **more: Any,
    ) -> Answered:
        """Send one request to an inbound endpoint of a workspace, and wait for the answer; see `Receipt.send`."""
        receipt = self._receipts[0] if self._receipts else self.receipt()
        return receipt.send(f"/in/{scope or self.scope}/{path}", body, headers, **more)

    def publish(self, *data: Any, type_: str = "order.created", scope: Scope | None = None) -> list[str]:
        """Publish events over REST; return their ids."""
        items = [{"type": type_, "data": each} for each in data]
        answer = self.client(scope).post("/api/v1/events", data=json.dumps(items), content_type="application/json")
        assert answer.status_code == 202, answer.json
        return [each["id"] for each in answer.json["items"]]

    @contextmanager
    def worker(self) -> Iterator[bootstrap.Worker]:
        """Run a worker's delivery loop and chores until the block ends."""
        worker = bootstrap.worker(self.settings, built=self.core)
        stop = threading.Event()

        def chores() -> None:
            while not stop.is_set():
                for chore in worker.chores:
                    if chore():
                        worker.deliveries.wake()
                stop.wait(0.05)

        threads = [
            threading.Thread(target=lambda: asyncio.run(worker.deliveries.run()), daemon=True),
            threading.Thread(target=chores, daemon=True),
        ]
        for thread in threads:
            thread.start()
        waker = threading.Thread(target=_wake, args=(worker, stop), daemon=True)
        waker.start()
        try:
            yield worker
        finally:
            stop.set()
            worker.deliveries.stop()
            worker.flows.stop()
            for thread in threads:
                thread.join(20)
            assert not any(thread.is_alive() for thread in threads)
            worker.deliveries.store.close()

    def rows(self, sql: str, **values: Any) -> list[Any]:
        """Look into the database, over all workspaces."""
        with self.core.engine.engine.connect() as conn:
            return list(conn.execute(text(sql), values))

    def states(self) -> dict[str, int]:
        """Return how many deliveries are in which state."""
        return {row.state: row.n for row in self.rows("SELECT state, count(*) AS n FROM deliveries GROUP BY state")}

    def hurry(self) -> None:
        """Make every delivery that waits for its next try due now: time is the database's, so this is its only lever."""
        with self.core.engine.engine.begin() as conn:
            conn.execute(text("UPDATE due SET due_at = now() WHERE due_at < 'infinity' AND NOT leased"))

    def settle(self) -> None:
        """Run reactions and fan-outs that are due, without a worker."""
        services = reactions.Services(self.core.hint)
        while self.fan_out() + reactions.drain(self.core.engine, services):
            pass

    def fan_out(self, limit: int = 1000) -> int:
        """Write out the next deliveries of a fan-out, due at once for whoever claims them; return how many, 0 without a fan-out."""
        with self.core.engine.connect() as conn:
            before = conn.exec_driver_sql("SELECT count(*) FROM deliveries").scalar_one()
            taken = fanouts.take(conn, limit, self.core.clock.now())
            if taken:
                claims.postpone(conn, "delivery", taken, [self.core.clock.now()] * len(taken), uncount=True)
            return int(conn.exec_driver_sql("SELECT count(*) FROM deliveries").scalar_one() - before)


def until(condition: Callable[[], Any], seconds: float = 10.0, what: str = "") -> Any:
    """Wait for a condition; fail the test when it does not come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what or condition}")


def _wake(worker: bootstrap.Worker, stop: threading.Event) -> None:
    """Stand in for hints: tests of hints use a real Redis and real processes."""
    while not stop.wait(0.1):
        worker.deliveries.wake()
