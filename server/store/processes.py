"""Who is at work: every process says so each few seconds, and health reads it."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from server.kernel.ids import new_uuid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.engine import Connection, Row

ALIVE_SECONDS = 10
_SEEN = """
INSERT INTO processes (id, role, host, pid) VALUES (%(id)s, %(role)s, %(host)s, %(pid)s)
ON CONFLICT (id) DO UPDATE SET seen_at = now() RETURNING clock_timestamp()
"""


@dataclass(frozen=True, slots=True)
class Process:
    """This process, in one role."""

    role: str
    id: UUID = field(default_factory=new_uuid)
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)

    @property
    def name(self) -> str:
        """A name for logs, queues and attempts: unique over hosts and restarts."""
        return f"{self.host}-{self.pid}-{self.id.hex[-6:]}"


def seen(conn: Connection, process: Process) -> datetime:
    """Say that this process is at work; return the database's time."""
    values = {"id": process.id, "role": process.role, "host": process.host, "pid": process.pid}
    moment: datetime = conn.exec_driver_sql(_SEEN, values).scalar_one()
    return moment


def gone(conn: Connection, process: Process) -> None:
    """Say that this process has ended well."""
    conn.exec_driver_sql("DELETE FROM processes WHERE id = %(id)s", {"id": process.id})


def alive(conn: Connection) -> Sequence[Row[Any]]:
    """Return role, host, pid, started_at and seen_at of the processes that were seen in the last ten seconds."""
    return conn.exec_driver_sql(
        f"""SELECT role, host, pid, started_at, seen_at FROM processes
            WHERE seen_at > now() - interval '{ALIVE_SECONDS} seconds' ORDER BY role, host, pid LIMIT 1000"""
    ).all()
