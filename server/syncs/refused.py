"""Records that were refused: kept whole but for credentials, each with a dead letter, replayable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from server.kernel.ids import new_uuid
from server.queue import dead_letters
from server.queue.dead_letters import DeadLetter
from server.sdk.positions import as_json
from server.telemetry.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.kernel.errors import CrossdockError
    from server.sdk.sources import Row

KIND = "record"
_PUT = """
INSERT INTO sync_refused (id, workspace_id, job_id, run_id, key, row, record, error)
SELECT id, %(workspace)s, %(job)s, %(run)s, key, row, record, error
FROM json_to_recordset(%(rows)s::json) AS r(id uuid, key text, row json, record json, error jsonb)
"""


@dataclass(frozen=True, slots=True)
class Refused:
    """A row of which no record was written, and why; `reason` is `mapping`, `refused`, `schema` or `reference`."""

    key: str | None
    row: Row
    record: Any
    error: CrossdockError
    reason: str

    def __post_init__(self) -> None:
        """Let go of how the error came about: its frames would hold all of the page until the collector looks."""
        self.error.__traceback__ = self.error.__context__ = self.error.__cause__ = None


class Owner(Protocol):
    """Whose they are: a run."""

    workspace_id: int
    job_id: UUID
    run: UUID
    job_name: str
    correlation_id: str


def put(conn: Connection, progress: Owner, refused: Sequence[Refused], adapter: str, now: datetime) -> None:
    """Keep them, with a dead letter each."""
    if not refused:
        return
    rows = [
        {
            "id": new_uuid(),
            "key": each.key,
            "row": redact(as_json(each.row)),
            "record": redact(as_json(each.record)),
            "error": redact(each.error.failure.as_dict()),
        }
        for each in refused
    ]
    values = {
        "workspace": progress.workspace_id,
        "job": progress.job_id,
        "run": progress.run,
        "rows": orjson.dumps(rows, default=as_json).decode(),
    }
    conn.exec_driver_sql(_PUT, values)
    letters = [
        DeadLetter(
            workspace_id=progress.workspace_id,
            kind=KIND,
            ref=row["id"],
            owner=f"sync/{progress.job_name}",
            owner_id=progress.job_id,
            reason=each.reason,
            error=each.error.failure,
            correlation_id=progress.correlation_id,
            attempts=1,
            first_attempt_at=now,
            last_attempt_at=now,
            adapter=adapter,
        )
        for row, each in zip(rows, refused, strict=True)
    ]
    dead_letters.add(conn, letters)
