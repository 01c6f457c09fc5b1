"""A lease says which of many processes does a chore, and when it is due again. Times are the database's.

`until` is the moment from which anybody may take it: while a chore is done, the end of the hold; after it, its next time. So
nobody owns a chore for long, a process that dies is not waited for, and of any number of processes one does it per period.
The epoch rises with every take: who held it too long changes nothing any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.engine import Connection

HOLD_SECONDS = 60.0
"""What a chore has: when its process has died in it, the next one begins after that time."""

_DUE = """
SELECT name FROM unnest(%(names)s::text[]) WITH ORDINALITY AS wanted(name, place)
WHERE NOT EXISTS (SELECT FROM leases WHERE leases.name = wanted.name AND until > now()) ORDER BY place
"""
_TAKE = f"""
INSERT INTO leases (name, owner, epoch, until) VALUES (%(name)s, %(owner)s, 1, now() + interval '{HOLD_SECONDS} seconds')
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until, epoch = leases.epoch + 1
WHERE leases.until <= now()
RETURNING epoch
"""
_DONE = f"""
UPDATE leases SET until = until + (%(every)s - {HOLD_SECONDS}) * interval '1 second'
WHERE name = %(name)s AND owner = %(owner)s AND epoch = %(epoch)s RETURNING epoch
"""


def due(conn: Connection, names: Sequence[str]) -> list[str]:
    """Return those that may be taken now, in the given order: one statement, however many there are."""
    return [str(row.name) for row in conn.exec_driver_sql(_DUE, {"names": list(names)})]


def take(conn: Connection, name: str, owner: UUID) -> int | None:
    """Take a lease for `HOLD_SECONDS`; return its epoch, or None when it is not due or another process was faster."""
    row = conn.exec_driver_sql(_TAKE, {"name": name, "owner": owner}).first()
    return None if row is None else int(row.epoch)


def done(conn: Connection, name: str, owner: UUID, epoch: int, every: float) -> bool:
    """Make it due again `every` seconds after it was taken; return whether it was still ours."""
    values = {"name": name, "owner": owner, "epoch": epoch, "every": every}
    return conn.exec_driver_sql(_DONE, values).first() is not None
