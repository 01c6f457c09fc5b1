"""The table of replays: the aggregate and its progress, written under the lock of the row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.kernel.ids import first_uuid_of
from server.replays.aggregate import FINAL, WORKING, Replay
from server.replays.candidates import FIRST, Search
from server.replays.filters import Filter, Options
from server.store.values import write_json
from server.webhooks.outbound import webhook_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.engine import Row

    from server.replays.candidates import Position
    from server.store import Tx


@dataclass(slots=True)
class Job:
    """A replay with its progress. `done` deliveries were made of `total`, which is known once they are `counted`."""

    replay: Replay
    webhook_id: UUID | None
    before: UUID
    created_at: datetime
    now: datetime
    counted: int = 0
    counted_to: Position = FIRST
    total: int | None = None
    done_to: Position = FIRST
    done: int = 0
    skipped: int = 0
    paid_until: datetime | None = None
    error: dict[str, Any] | None = None

    @property
    def filter(self) -> Filter:
        """What is replayed."""
        return Filter.of_json(self.replay.filter)

    @property
    def options(self) -> Options:
        """How it is replayed."""
        return Options(**self.replay.options)


def moment(tx: Tx) -> datetime:
    """Return the database's time."""
    row = tx.one("SELECT now() AS now")
    now: datetime = row.now  # type: ignore[union-attr]  # this statement always has a row
    return now


def bound(asked_at: datetime) -> UUID:
    """Return the least id of events that were recorded after the replay was asked for."""
    return first_uuid_of(int(asked_at.timestamp() * 1000))


def add(tx: Tx, job: Job) -> None:
    """Keep a new one; the transaction tracks its aggregate."""
    tx.run(
        """INSERT INTO replays (workspace_id, id, version, state, filter, options, webhook_id, before, created_at, created_by,
                                correlation_id)
           VALUES (:workspace_id, :id, :version, :state, CAST(:filter AS jsonb), CAST(:options AS jsonb), :webhook, :before,
                   :created_at, :by, :correlation_id)""",
        id=job.replay.id,
        version=job.replay.version,
        state=job.replay.state,
        filter=write_json(job.replay.filter),
        options=write_json(job.replay.options),
        webhook=job.webhook_id,
        before=job.before,
        created_at=job.created_at,
        by=tx.cause.principal,
        correlation_id=tx.cause.correlation_id,
    )
    tx.track(job.replay)


def lock(tx: Tx, identity: UUID) -> Job | None:
    """Return one, and let nobody else change it until commit."""
    row = tx.one(
        "SELECT r.*, now() AS now FROM replays r WHERE workspace_id = :workspace_id AND id = :id FOR UPDATE",
        id=identity,
    )
    if row is None:
        return None
    replay = Replay(row.id)
    replay.version, replay.state, replay.filter, replay.options = row.version, row.state, row.filter, row.options
    return Job(
        replay,
        row.webhook_id,
        row.before,
        row.created_at,
        row.now,
        row.counted,
        _position(row.counted_to),
        row.total,
        _position(row.done_to),
        row.done,
        row.skipped,
        row.paid_until,
        row.error,
    )


def save(tx: Tx, job: Job) -> None:
    """Store state and progress of one that is locked; the transaction tracks its aggregate."""
    tx.run(
        """UPDATE replays SET version = :version, state = :state, counted = :counted, counted_to = :counted_to, total = :total,
             done_to = :done_to, done = :done, skipped = :skipped, paid_until = :paid_until, error = CAST(:error AS jsonb),
             finished_at = CASE WHEN :ended THEN coalesce(finished_at, now()) END
           WHERE workspace_id = :workspace_id AND id = :id""",
        id=job.replay.id,
        version=job.replay.version,
        state=job.replay.state,
        ended=job.replay.state in FINAL,
        counted=job.counted,
        counted_to=list(job.counted_to),
        total=job.total,
        done_to=list(job.done_to),
        done=job.done,
        skipped=job.skipped,
        paid_until=job.paid_until,
        error=None if job.error is None else write_json(job.error),
    )
    tx.track(job.replay)


def unfinished(tx: Tx) -> int:
    """Return how many of the workspace's are at work."""
    row = tx.one(
        "SELECT count(*) AS n FROM replays WHERE workspace_id = :workspace_id AND state = ANY(:states)",
        states=sorted(WORKING),
    )
    return 0 if row is None else int(row.n)


def search_of(tx: Tx, job: Job) -> Search:
    """Return what a job looks for; a webhook that is gone by now has no types left."""
    types: tuple[str, ...] = ()
    if job.options.backfill:
        row = tx.one(
            "SELECT body FROM webhooks WHERE workspace_id = :workspace_id AND id = :id AND deleted_at IS NULL",
            id=job.webhook_id,
        )
        types = () if row is None else webhook_of(row.body).events
    return Search(
        tx.scope.workspace_id,
        job.filter,
        job.webhook_id,
        job.before,
        job.created_at,
        job.options.backfill,
        types,
        inbound(tx, job),
    )


def inbound(tx: Tx, job: Job) -> bool:
    """Say whether requests are replayed: those that are named, or those of an inbound webhook."""
    if job.filter.requests or job.webhook_id is None:
        return bool(job.filter.requests)
    row = tx.one(
        "SELECT 1 FROM webhooks WHERE workspace_id = :workspace_id AND id = :id AND body ->> 'direction' = 'inbound'",
        id=job.webhook_id,
    )
    return row is not None


def page(tx: Tx, *, before: UUID | None, limit: int, state: str | None) -> Sequence[Row[Any]]:
    """Return replays newest first."""
    return tx.all(
        """SELECT * FROM replays WHERE workspace_id = :workspace_id AND (CAST(:before AS uuid) IS NULL OR id < :before)
           AND (CAST(:state AS text) IS NULL OR state = :state) ORDER BY id DESC LIMIT :limit""",
        before=before,
        state=state,
        limit=limit,
    )


def find(tx: Tx, identity: UUID) -> Row[Any] | None:
    """Return one as it is stored."""
    return tx.one("SELECT * FROM replays WHERE workspace_id = :workspace_id AND id = :id", id=identity)


def outcomes(tx: Tx, identity: UUID) -> dict[str, int]:
    """Return how many of the deliveries that it has made are in which state."""
    rows = tx.all(
        """SELECT state, count(*) AS n FROM deliveries WHERE workspace_id = :workspace_id AND replay_id = :id
           GROUP BY state ORDER BY state""",
        id=identity,
    )
    return {row.state: row.n for row in rows}


def _position(kept: list[UUID] | None) -> Position:
    return FIRST if kept is None else (kept[0], kept[1])
