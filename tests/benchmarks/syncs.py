"""Rows a second of a sync run, SQL to SQL on PostgreSQL, 10 columns mapped: `python -m tests.benchmarks.syncs [ROWS] [BATCH]`.

Prints a line each for: without the ledger, with two parts, with the ledger, and with the ledger when every row has changed.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import structlog

from server.runtime.embedded import FAST, EmbeddedPostgres
from server.store.migrate import upgrade
from tests.support.product import Product
from tests.syncs.running import Syncing

COLUMNS = "(id int PRIMARY KEY, a text, b text, c text, d numeric(12,2), e numeric(12,2), f timestamptz, g timestamptz, h bool, i int)"
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


def main(rows: int = 100_000, batch: int = 500) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(prefix="crossdock-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres", FAST)
        server.start()
        url = server.url_of("postgres")
        upgrade(url)
        product = Product(url, files=Path(folder) / "files")
        syncing = Syncing(product, Path(folder) / "files")
        syncing.new(f"CREATE TABLE shop.src {COLUMNS}")
        syncing.new(f"CREATE TABLE shop.dst {COLUMNS}")
        syncing.new(
            f"""INSERT INTO shop.src SELECT i, 'name ' || i, 'X@y.z', 'city', i * 1.5, 10.25, now() - interval '9 days'
                + i * interval '1s', now(), true, i FROM generate_series(1, {rows}) i"""
        )
        syncing.new("CREATE INDEX ON shop.src (f, id)")
        syncing.new("ANALYZE shop.src")
        for name, ledger, parts in (("plain", False, 1), ("two-parts", False, 2), ("ledger", True, 1)):
            syncing.new("TRUNCATE shop.dst")
            declare(syncing, name, batch, ledger=ledger, parts=parts)
            measure(syncing, name, rows)
        syncing.new("UPDATE shop.src SET i = i + 1, f = f + interval '10 days'")
        measure(syncing, "ledger", rows)
        syncing.close()
        product.close()
        server.stop()


def declare(syncing: Syncing, name: str, batch: int, *, ledger: bool, parts: int) -> None:
    source: dict[str, Any] = {"call": "new.query.read", "sql": "SELECT * FROM shop.src", "primary_key": ["id"]}
    target = {"call": "new.table.write", "schema": "shop", "table": "dst", "match_on": ["id"], "skip_unchanged": ledger}
    cursor = {"fields": ["f", "id"]}
    syncing.job(
        name, source={**source, "cursor": cursor, "partitions": parts}, map=MAP, target=target, batch={"size": batch}
    )


def measure(syncing: Syncing, name: str, rows: int) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    row = syncing.run(name, slices=10_000)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert (row.state, row.read, row.refused) == ("succeeded", rows, 0), row.error
    memory = psutil.Process().memory_info().rss / 2**20
    print(f"{name}: {rows / seconds:,.0f} rows/s, {cpu / rows * 1e6:.0f} µs of our CPU a row, {memory:.0f} MB")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
