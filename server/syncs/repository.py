"""Where sync jobs are kept."""

from __future__ import annotations

from server.store.repository import SqlRepository
from server.syncs.aggregate import SyncJob

SYNC_JOBS: SqlRepository[SyncJob] = SqlRepository("sync_jobs", SyncJob)
