"""A lease says which of many processes does a chore; its epoch rises with every new owner. Times are the database's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.engine import Connection

_HOLD = """
INSERT INTO leases (name, owner, epoch, until) VALUES (%(name)s, %(owner)s, 1, now() + %(seconds)s * interval '1 second')
ON CONFLICT (name) DO UPDATE
SET owner = excluded.owner, until = excluded.until,
    epoch = leases.epoch + CASE WHEN leases.owner = excluded.owner THEN 0 ELSE 1 END
WHERE leases.owner = excluded.owner OR leases.until < now()
RETURNING epoch
"""


def hold(conn: Connection, name: str, owner: UUID, seconds: float) -> int | None:
    """Take or renew a lease; return its epoch, or None while another process has it."""
    row = conn.exec_driver_sql(_HOLD, {"name": name, "owner": owner, "seconds": seconds}).first()
    return None if row is None else int(row.epoch)


def release(conn: Connection, name: str, owner: UUID) -> None:
    """Give a lease back before its time, so that the next process need not wait."""
    conn.exec_driver_sql(
        "UPDATE leases SET until = now() WHERE name = %(name)s AND owner = %(owner)s", {"name": name, "owner": owner}
    )
