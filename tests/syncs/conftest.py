"""A database with a workspace and a neighbour, and jobs in it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from server.kernel.ids import new_uuid
from server.store import Cause, Scope, Store
from server.syncs import ticks
from server.syncs.aggregate import SyncJob
from server.syncs.repository import SYNC_JOBS
from tests.support.product import Product
from tests.support.tenants import make_workspace
from tests.syncs.running import Syncing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path
    from uuid import UUID

ANNA = Cause("user:anna", "cor_1", "evt_0")


class Jobs:
    """Sync jobs on a real database, and what became of their times."""

    def __init__(self, store: Store, scope: Scope) -> None:
        self.store = store
        self.scope = scope

    def add(self, now: datetime, name: str = "customers", *, active: bool = True, **schedule: Any) -> UUID:
        job = SyncJob(new_uuid())
        job.create(name, {"name": name, "schedule": {"cron": "*/10 * * * *", **schedule}}, 1, {})
        if active:
            job.activate()
        with self.store.begin(self.scope, ANNA) as tx:
            SYNC_JOBS.add(tx, job)
            ticks.reschedule(tx.conn, job.id, now)
        return job.id

    def act(self, action: Any, now: datetime, name: str = "customers") -> None:
        with self.store.begin(self.scope, ANNA) as tx:
            job = SYNC_JOBS.get(tx, name)
            job.act(action)
            SYNC_JOBS.save(tx, job)
            ticks.reschedule(tx.conn, job.id, now)

    def change(self, now: datetime | None, name: str = "customers", **schedule: Any) -> None:
        with self.store.begin(self.scope, ANNA) as tx:
            job = SYNC_JOBS.get(tx, name)
            job.change({"name": name, "schedule": schedule}, job.definition_version + 1, {})
            SYNC_JOBS.save(tx, job)
            if now is not None:
                ticks.reschedule(tx.conn, job.id, now)

    def tick(self, now: datetime) -> int:
        with self.store.connect() as conn:
            return ticks.tick_slice(conn, now)[1]

    def end(self) -> None:
        """Let every run end."""
        self.rows("UPDATE sync_runs SET state = 'succeeded', ended_at = now() RETURNING id")
        self.rows("DELETE FROM due WHERE kind = 'sync' RETURNING ref")

    def rows(self, sql: str) -> Sequence[Any]:
        with self.store.connect() as conn:
            return conn.exec_driver_sql(sql).all()

    def nominals(self, table: str = "sync_runs") -> list[datetime]:
        return [row.nominal for row in self.rows(f"SELECT nominal FROM {table} ORDER BY nominal")]

    def following(self) -> list[datetime]:
        return self.nominals("sync_schedules")


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = Store(database_url, "crossdock_engine")
    yield store
    store.close()


@pytest.fixture
def jobs(store: Store, database_url: str) -> Jobs:
    return Jobs(store, make_workspace(database_url))


@pytest.fixture
def neighbour(jobs: Jobs, database_url: str) -> Jobs:
    return Jobs(jobs.store, make_workspace(database_url, "rival"))


@pytest.fixture
def syncing(database_url: str, tmp_path: Path) -> Iterator[Syncing]:
    """Sync jobs that run, between a SQLite database in a folder and tables of the product's own."""
    with closing(Syncing(Product(database_url, files=tmp_path), tmp_path)) as made:
        yield made
