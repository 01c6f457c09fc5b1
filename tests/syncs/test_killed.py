"""kill -9 in the middle of a run: nothing is lost, and nothing is doubled."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from server.syncs.repository import SYNC_JOBS
from server.syncs.runs import start_run
from tests.support.product import Product, until
from tests.syncs.running import Syncing

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 3000


def test_a_run_whose_workers_are_killed_loses_and_doubles_nothing(database_url: str, tmp_path: Path) -> None:
    syncing = Syncing(Product(database_url, files=tmp_path), tmp_path)
    syncing.new("ALTER TABLE shop.customers ADD COLUMN written int DEFAULT 1")
    syncing.job(batch={"size": 5})
    syncing.old(
        f"""WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
            INSERT INTO customers SELECT i, 'n' || i, 'E@X', '1.5', strftime('%Y-%m-%dT%H:%M:%SZ', 1767225600 + i / 7, 'unixepoch')
            FROM n"""
    )
    with syncing.product.tx() as tx:
        run = start_run(tx, SYNC_JOBS.get(tx, "customers"), "person", lambda: None)
    command = [sys.executable, "-m", "tests.syncs.drained", syncing.product.settings.database_url, str(tmp_path)]
    kills = 0
    for _ in range(20):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            until(lambda: process.stdout and "at work" in process.stdout.readline(), what="the worker to begin")
            time.sleep(random.uniform(0.1, 0.5))
            ended = syncing.row(run).state == "succeeded"
            process.kill()
        kills += not ended
        syncing.ours("UPDATE due SET due_at = now() - interval '1 minute' WHERE kind = 'sync'")
        if ended or kills == 4:
            break
    while syncing.row(run).state != "succeeded":
        assert syncing.slice() or syncing.row(run).state == "succeeded"
    row = syncing.row(run)
    assert kills >= 2
    assert (row.read, row.refused) == (ROWS, 0)
    assert row.written + row.unchanged == ROWS
    assert syncing.new("SELECT count(*), count(DISTINCT external_id) FROM shop.customers") == [(ROWS, ROWS)]
    assert len(syncing.product.rows("SELECT key FROM sync_records")) == ROWS
    syncing.close()
    syncing.product.close()
    syncing.new("DROP SCHEMA shop CASCADE")
