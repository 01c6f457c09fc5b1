"""A job that goes both ways, between a SQLite database and a PostgreSQL one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from server.syncs.aggregate import SyncJob
    from tests.syncs.running import Syncing

TIMES = {"source": "row.updated_at", "target": "row.changed_at"}


def prepare(syncing: Syncing) -> None:
    syncing.new("ALTER TABLE shop.customers ADD COLUMN changed_at timestamptz")


def pair(
    syncing: Syncing, name: str = "customers", *, cursors: bool = False, deletes: Any = None, **conflicts: Any
) -> SyncJob:
    source = {"call": "old.query.read", "sql": "SELECT * FROM customers", "primary_key": ["id"]}
    back = {"call": "new.query.read", "sql": "SELECT * FROM shop.customers", "primary_key": ["external_id"]}
    if cursors:
        source["cursor"] = {"fields": ["updated_at", "id"]}
        back["cursor"] = {"fields": ["changed_at", "external_id"]}
    return syncing.job(
        name,
        source=source,
        map={"external_id": "text(row.id)", "name": "row.name", "email": "row.email", "credit": "row.credit"},
        two_way={
            "source": back,
            "map": {
                "id": {"from": "row.external_id", "type": "integer"},
                "name": "row.name",
                "email": "row.email",
                "credit": {"from": "row.credit", "type": "decimal", "round": 2},
            },
            "target": {"call": "old.table.write", "table": "customers", "match_on": ["id"]},
            "conflicts": conflicts,
            "updated": TIMES,
            **({"deletes": deletes} if deletes else {}),
        },
    )


class Sides:
    """What people do on both sides; each edit has a later time than all before."""

    def __init__(self, syncing: Syncing) -> None:
        self.syncing = syncing
        self.clock = 0

    def edit(self, side: str, number: int, **fields: Any) -> None:
        self.clock += 1
        at = f"2026-01-01T{self.clock // 3600:02d}:{self.clock // 60 % 60:02d}:{self.clock % 60:02d}Z"
        row = {"name": "n", "email": "e", "credit": "1.00", **(self.rows(side).get(number) or {}), **fields}
        if side == "source":
            self.syncing.old("INSERT OR REPLACE INTO customers VALUES (?, ?, ?, ?, ?)", number, *_values(row), at)
            return
        self.syncing.new(
            """INSERT INTO shop.customers (external_id, name, email, credit, changed_at) VALUES (%s, %s, %s, %s, %s)
               ON CONFLICT (external_id) DO UPDATE SET name = excluded.name, email = excluded.email, credit = excluded.credit,
                 changed_at = excluded.changed_at""",
            str(number),
            *_values(row),
            at,
        )

    def rows(self, side: str) -> dict[int, dict[str, Any]]:
        if side == "source":
            found = self.syncing.old("SELECT id, name, email, credit, updated_at FROM customers")
        else:
            found = self.syncing.new("SELECT external_id, name, email, credit, changed_at FROM shop.customers")
        return {int(row[0]): {"name": row[1], "email": row[2], "credit": f"{float(row[3]):.2f}"} for row in found}

    def times(self, side: str) -> dict[int, Any]:
        if side == "source":
            return {row[0]: row[1] or "" for row in self.syncing.old("SELECT id, updated_at FROM customers")}
        found = self.syncing.new(
            """SELECT external_id, coalesce(to_char(changed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), '')
               FROM shop.customers"""
        )
        return {int(row[0]): row[1] for row in found}


def _values(row: dict[str, Any]) -> tuple[Any, Any, Any]:
    return row["name"], row["email"], row["credit"]
