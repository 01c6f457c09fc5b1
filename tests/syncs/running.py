"""A product with a database to read from (SQLite) and one to write to (a schema of its own in PostgreSQL)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg

from server import bootstrap
from server.integrations.aggregate import Integration
from server.integrations.repository import INTEGRATIONS
from server.kernel.ids import new_uuid
from server.queue import claims
from server.store import Store
from server.syncs.aggregate import SyncJob
from server.syncs.drain import Runs
from server.syncs.repository import SYNC_JOBS
from server.syncs.runs import KIND, start_run

if TYPE_CHECKING:
    from pathlib import Path

    from server.integrations.breakers import Ticket
    from server.integrations.gates import Gate, Link, Wait
    from tests.support.product import Product

BODY: dict[str, Any] = {
    "source": {
        "call": "old.query.read",
        "sql": "SELECT * FROM customers",
        "primary_key": ["id"],
        "cursor": {"fields": ["updated_at", "id"]},
    },
    "map": {
        "external_id": "text(row.id)",
        "name": {"from": "row.name", "required": True},
        "email": "lower(row.email)",
        "credit": {"from": "row.credit", "type": "decimal", "round": 2, "default": "0.00"},
    },
    "target": {"call": "new.table.write", "schema": "shop", "table": "customers", "match_on": ["external_id"]},
    "batch": {"size": 10},
}


class Timed:
    """A gate that notes how long each call may take."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.seconds: list[float] = []

    def clear(self, link: Link) -> bool:
        return self.gate.clear(link)

    def wait(self, link: Link, ticket: Ticket) -> Wait | None:
        self.seconds.append(ticket.seconds)
        return self.gate.wait(link, ticket)

    def record(self, link: Link, ticket: Ticket, *, succeeded: bool | None) -> None:
        self.gate.record(link, ticket, succeeded=succeeded)


class Syncing:
    """Sync jobs of a product, their source and target."""

    def __init__(self, product: Product, folder: Path) -> None:
        self.product = product
        self.scope = product.scope
        self._file = folder / "default" / "default" / "old.db"
        self._file.parent.mkdir(parents=True)
        self._url = product.settings.database_url.replace("+psycopg", "")
        self.gate = Timed(product.core.gate)
        self.caller = bootstrap.caller_of(replace(product.core, gate=self.gate))  # type: ignore[arg-type]
        self.ledger = Store(product.settings.database_url, "crossdock_engine", pool=2, by_index=True)
        self.runs = Runs(
            product.core.engine, self.ledger, bootstrap.making_of(product.core), self.caller, product.core.admit
        )
        self.old("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, email TEXT, credit TEXT, updated_at TEXT)")
        self.new("CREATE SCHEMA shop")
        self.new(
            "CREATE TABLE shop.customers (external_id text PRIMARY KEY, name text, email text, credit numeric(12, 2))"
        )
        self.integration("old", "sqlite:///old.db")
        self.integration("new", self._url)

    def close(self) -> None:
        self.caller.close()
        self.ledger.close()
        self.product.close()
        self.new("DROP SCHEMA shop CASCADE")

    def integration(self, name: str, url: str) -> None:
        integration = Integration(new_uuid())
        integration.create(name, {"name": name, "plugin": "sql", "config": {"url": url}}, 1, {})
        integration.activate()
        with self.product.tx() as tx:
            INTEGRATIONS.add(tx, integration)

    def job(self, name: str = "customers", **body: Any) -> SyncJob:
        job = SyncJob(new_uuid())
        job.create(name, {"name": name, **BODY, **body}, 1, {})
        job.activate()
        with self.product.tx() as tx:
            SYNC_JOBS.add(tx, job)
        return job

    def change(self, job: SyncJob, **body: Any) -> None:
        with self.product.tx() as tx:
            found = SYNC_JOBS.get(tx, job.name)
            found.change({**found.body, **body}, found.definition_version + 1, {})
            SYNC_JOBS.save(tx, found)

    def old(self, sql: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(self._file)) as connection, connection:
            return connection.execute(sql, values).fetchall()

    def new(self, sql: str, *values: Any) -> list[Any]:
        with psycopg.connect(self._url) as connection:
            cursor = connection.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []

    def ours(self, sql: str) -> None:
        with self.product.core.engine.connect() as conn:
            conn.exec_driver_sql(sql)

    def put(self, number: int, *, second: int | None = None, **more: Any) -> None:
        row = {"name": f"n{number}", "email": f"E{number}@X", "credit": "1.5", **more}
        at = f"2026-01-01T00:{(number if second is None else second) // 60:02d}:{(number if second is None else second) % 60:02d}Z"
        self.old(
            "INSERT OR REPLACE INTO customers VALUES (?, ?, ?, ?, ?)",
            number,
            row["name"],
            row["email"],
            row["credit"],
            at,
        )

    def run(self, name: str = "customers", key: Any = None, slices: int = 30) -> Any:
        """Start a run and work on it until it rests; return its row."""
        with self.product.tx() as tx:
            run = start_run(tx, SYNC_JOBS.get(tx, name), "person", lambda: None, key)
        for _ in range(slices):
            if not self.slice():
                break
        return self.row(run)

    def slice(self) -> bool:
        """Do one slice of what is due; say whether there was anything."""
        with self.product.core.engine.connect() as conn:
            mine = claims.claim(conn, KIND, 1)
        for each in mine:
            self.runs.slice(each)
        return bool(mine)

    def row(self, run: Any) -> Any:
        return self.product.rows("SELECT * FROM sync_runs WHERE id = :id", id=run)[0]

    def customers(self) -> list[Any]:
        return [row[0] for row in self.new("SELECT name FROM shop.customers ORDER BY external_id::int")]
