"""Tables of ten columns, a job from one to the other, and one run of it measured: what every measurement of syncs begins with."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from server.integrations.aggregate import Integration
from server.integrations.repository import INTEGRATIONS
from server.kernel.ids import new_uuid
from server.runtime.embedded import DURABLE, EmbeddedPostgres
from server.store.migrate import upgrade
from tests.support.product import Product
from tests.syncs.running import Syncing

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH = 2000
COLUMNS = "(id int PRIMARY KEY, a text, b text, c text, d numeric(12,2), e numeric(12,2), f timestamptz, g timestamptz, h bool, i int)"
PLAIN_COLUMNS = "(id INTEGER PRIMARY KEY, a TEXT, b TEXT, c TEXT, d TEXT, e TEXT, f TEXT, g TEXT, h INTEGER, i INTEGER)"
MAP = {
    "id": "row.id",
    "a": {"from": "row.a", "required": True},
    "b": "lower(row.b)",
    "c": {"from": "row.c", "default": "unknown"},
    "d": {"from": "row.d", "type": "decimal", "round": 2},
    "e": {"from": "row.e", "type": "decimal", "round": 2, "default": "0.00"},
    "f": "row.f",
    "g": "row.g",
    "h": "row.h",
    "i": "row.i",
}
"""Ten fields; five of them are checked, converted or filled in, and a row without `a` is refused."""
_FILL = """
INSERT INTO shop.src SELECT i, 'name ' || i, 'X@y.z', 'city', i * 1.5, 10.25,
  timestamptz '2026-01-01T00:00:00Z' + i * interval '1s', timestamptz '2026-02-01T00:00:00Z', true, i
FROM generate_series(1, %s) i
"""
_FILL_PLAIN = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO src SELECT i, 'name ' || i, 'X@y.z', 'city', i || '.5', '10.25',
  strftime('%Y-%m-%dT%H:%M:%SZ', 1767225600 + i, 'unixepoch'), '2026-02-01T00:00:00Z', 1, i FROM n
"""


@contextmanager
def world() -> Iterator[Syncing]:
    """Open a product on a database as durable as a real one, with integrations `old` (SQLite) and `new` (PostgreSQL)."""
    with tempfile.TemporaryDirectory(prefix="crossdock-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres", DURABLE)
        server.start()
        try:
            url = server.url_of("postgres")
            upgrade(url)
            product = Product(url, files=Path(folder) / "files")
            syncing = Syncing(product, Path(folder) / "files")
            gc.collect()
            gc.freeze()  # as a worker does when it begins
            yield syncing
            syncing.close()
        finally:
            server.stop()


def postgres_tables(syncing: Syncing, rows: int) -> None:
    """Make source and target in PostgreSQL."""
    for name in ("src", "dst"):
        syncing.new(f"CREATE TABLE shop.{name} {COLUMNS}")
    syncing.new(_FILL, rows)
    syncing.new("CREATE INDEX ON shop.src (f, id)")
    syncing.new("ANALYZE shop.src")


def sqlite_tables(syncing: Syncing, rows: int) -> None:
    """Make source and target in SQLite, in files of their own."""
    syncing.old(f"CREATE TABLE src {PLAIN_COLUMNS}")
    syncing.old(_FILL_PLAIN, rows)
    syncing.old("CREATE INDEX src_f ON src (f, id)")
    other = syncing.product.settings.files / "default" / "default" / "lite.db"
    subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sqlite3; sqlite3.connect({str(other)!r}).execute('CREATE TABLE dst {PLAIN_COLUMNS}')",
        ],
        check=True,
    )
    syncing.integration("lite", "sqlite:///lite.db")


def http_integration(syncing: Syncing, name: str, base_url: str) -> None:
    """Switch an integration with a REST API on."""
    integration = Integration(new_uuid())
    integration.create(name, {"name": name, "plugin": "http", "config": {"base_url": base_url}}, 1, {})
    integration.activate()
    with syncing.product.tx() as tx:
        INTEGRATIONS.add(tx, integration)


def declare(
    syncing: Syncing, name: str, *, ledger: bool = False, parts: int = 1, lite: bool = False, **source: Any
) -> None:
    """Declare a job that upserts; without the ledger nothing is kept of single records."""
    call, table = ("old.query.read", "src") if lite else ("new.query.read", "shop.src")
    from_ = {"call": call, "sql": f"SELECT * FROM {table}", "cursor": {"fields": ["f", "id"]}, "partitions": parts}
    to: dict[str, Any] = {"call": "new.table.write", "schema": "shop", "table": "dst"}
    if lite:
        to = {"call": "lite.table.write", "table": "dst"}
    kept = {"match_on": ["id"], "skip_unchanged": ledger, "revertible": "0s"}
    syncing.job(
        name,
        source={"primary_key": ["id"], **(source or from_)},
        map=MAP,
        target={**to, **kept},
        batch={"size": BATCH},
    )


class _Memory(threading.Thread):
    """Looks at our memory, twenty times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process()
        self.base = self._process.memory_info().rss / 1e6
        self.seen: list[float] = []
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.05):
            self.seen.append(self._process.memory_info().rss / 1e6)

    def stop(self) -> dict[str, float]:
        """Return what there was before the run (a server with a test's own tools), and what was used above that."""
        self._ended.set()
        self.join()
        seen = [each - self.base for each in self.seen] or [0.0]
        quarter = max(1, len(seen) // 4)
        return {
            "base": self.base,
            "over_base": max(seen),
            "second_quarter": sum(seen[quarter : 2 * quarter]) / max(1, len(seen[quarter : 2 * quarter])),
            "last_quarter": sum(seen[-quarter:]) / quarter,
        }


def measured(syncing: Syncing, name: str, rows: int, refused: int = 0) -> dict[str, Any]:
    """Run a job to its end; stop when it lost or refused anything that it should not."""
    memory = _Memory()
    memory.start()
    began, cpu, load = time.perf_counter(), time.process_time(), os.getloadavg()[0]
    row = syncing.run(name, slices=100_000)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    memory_mb = memory.stop()
    if (row.state, row.read, row.refused) != ("succeeded", rows, refused):
        raise SystemExit(f"{name}: {row.state}, {row.read} read, {row.refused} refused: {row.error}")
    return {
        "per_second": rows / seconds,
        "our_cpu_us_a_row": cpu / rows * 1e6,
        "memory_mb": memory_mb,
        "lost": rows - row.written - row.unchanged - row.refused,
        "load": load,
    }
