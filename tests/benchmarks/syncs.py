"""Sync runs measured: 100,000 rows of ten columns from one place to another, beside dlt and a Singer tap and target.

All in this process but the databases, the API and the others; each figure tells the load average when it was taken.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.benchmarks import sync_others, ticks
from tests.benchmarks.sync_worlds import (
    BATCH,
    declare,
    http_integration,
    measured,
    postgres_tables,
    sqlite_tables,
    world,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.measuring import Sizes

ROWS = 100_000
BAD = 1000
"""Of so many rows one is bad."""


def sync_sql(_: Sizes) -> dict[str, Any]:
    """Rows a second from SQL to SQL: upserts with and without the ledger, with bad rows, and the same by others.

    A worker lives on, so the first run of a process stands apart as `first_run`.
    """
    found: dict[str, Any] = {"rows": ROWS, "columns": 10, "batch": BATCH}
    with world() as syncing:
        postgres_tables(syncing, ROWS)
        sqlite_tables(syncing, ROWS)
        for name, options in (
            ("first-run", {}),
            ("postgresql", {}),
            ("sqlite", {"lite": True}),
            ("two_parts", {"parts": 2}),
            ("ledger", {"ledger": True}),
        ):
            syncing.new("TRUNCATE shop.dst")
            declare(syncing, name, **options)
            found[name.replace("-", "_")] = measured(syncing, name, ROWS)
        syncing.new("UPDATE shop.src SET i = i + 1, f = f + interval '10 days'")
        found["ledger_all_changed"] = measured(syncing, "ledger", ROWS)
        syncing.new(f"UPDATE shop.src SET a = NULL WHERE id % {BAD} = 0")
        syncing.new("TRUNCATE shop.dst")
        declare(syncing, "bad-rows")
        found["bad_rows"] = measured(syncing, "bad-rows", ROWS, refused=ROWS // BAD)
        syncing.new("UPDATE shop.src SET a = 'name' WHERE a IS NULL")
        found |= sync_others.measured(syncing.product.settings.database_url, ROWS)
    ours = found["postgresql"]["per_second"]
    found |= {f"of_{name}": ours / found[name]["per_second"] for name in ("dlt", "singer")}
    return found | {"lost": sum(each.get("lost", 0) for each in found.values() if isinstance(each, dict))}


def sync_rest(_: Sizes) -> dict[str, Any]:
    """Rows a second from a REST API, pages of 1,000, to SQL."""
    with world() as syncing, _api(ROWS, 1000) as url:
        postgres_tables(syncing, 1)
        http_integration(syncing, "api", url)
        paging = {"kind": "page", "param": "page", "first": 1}
        declare(syncing, "rest", call="api.resource.list", path="/rows", records="items", pagination=paging)
        return {"rows": ROWS, **measured(syncing, "rest", ROWS)}


def sync_memory(sizes: Sizes) -> dict[str, Any]:
    """Memory of a long run: as flat at its end as in its second quarter."""
    rows = sizes.sync_rows
    with world() as syncing:
        postgres_tables(syncing, rows)
        declare(syncing, "long")
        found = measured(syncing, "long", rows)
    memory = found["memory_mb"]
    return {"rows": rows, **found, "grown_mb": memory["last_quarter"] - memory["second_quarter"]}


def sync_schedules(_: Sizes) -> dict[str, Any]:
    """What a tick costs with 10,000 jobs that have a schedule."""
    with world() as syncing:
        return ticks.measure(syncing.product.settings.database_url)


@contextmanager
def _api(rows: int, size: int) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.benchmarks.sync_api", str(rows), str(size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()
