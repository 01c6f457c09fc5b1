"""What became of a claimed delivery, and how that is stored: one statement per batch, guarded by the epoch."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from server.events.matching import is_ours
from server.kernel.errors import Failure
from server.kernel.ids import new_uuid
from server.kernel.policies import RetrySchedule
from server.queue import dead_letters
from server.queue.dead_letters import DeadLetter
from server.telemetry.redaction import redact, redact_text
from server.webhooks import fallbacks, ordering, outcomes, queries
from server.webhooks.outcomes import DELIVERY_EXPIRED, DELIVERY_POISON, WEBHOOK_REMOVED
from server.webhooks.queries import Attempt, Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.store import Store
    from server.webhooks.job import Job

HOLDING = frozenset({"paused", "disabled", "draft"})
_INFINITY = "infinity"


def without_trying(job: Job, now: datetime) -> Outcome | None:
    """Return the outcome of a delivery that is not to be tried, or None."""
    row = job.row
    if row.webhook_state == "archived":
        return dead(job, "removed", Failure(WEBHOOK_REMOVED, "the webhook was removed", "delivery"))
    if row.webhook_state in HOLDING or row.integration_state in HOLDING:
        return held(job)
    if row.expires_at <= now:
        return dead(job, "expired", Failure(DELIVERY_EXPIRED, "the delivery's time was over", "delivery"))
    if _unfinished(job) > outcomes.POISON_CLAIMS:
        return dead(job, "poison", Failure(DELIVERY_POISON, "claimed again and again without an outcome", "delivery"))
    return None


def suspect(job: Job) -> bool:
    """Tell whether workers have died or stalled on it, or beside it, more often than it happens."""
    return _unfinished(job) > outcomes.SUSPECT_CLAIMS


def _unfinished(job: Job) -> int:
    """Return how often it was claimed, this time included, without an outcome."""
    unfinished: int = job.claim.claims - job.row.attempts + job.row.attempts_before
    return unfinished


def delivered(job: Job, attempt: Attempt) -> Outcome:
    """Return: it got through."""
    return Outcome(job.claim, "delivered", None, attempt.no, attempt, order_key=job.row.order_key)


def skipped(job: Job, reason: str = "when") -> Outcome:
    """Return: its `when` was false."""
    return Outcome(job.claim, "skipped", None, job.row.attempts, reason=reason, order_key=job.row.order_key)


def held(job: Job) -> Outcome:
    """Return: it waits until its webhook goes on; not an attempt, not a claim."""
    return Outcome(
        job.claim, "held", _INFINITY, job.row.attempts, reason="held", order_key=job.row.order_key, uncount=True
    )


def postponed(job: Job, at: datetime, reason: str, error: Failure | None = None) -> Outcome:
    """Return: not now, by breaker, rate or because there is no token; not an attempt, not a claim."""
    return Outcome(job.claim, "pending", at, job.row.attempts, None, reason, error, job.row.order_key, uncount=True)


def dead(job: Job, reason: str, failure: Failure, attempt: Attempt | None = None) -> Outcome:
    """Return: it will not be tried again by itself."""
    attempts = attempt.no if attempt else job.row.attempts
    # What failed may be a value of the event, and that may hold a credential.
    shown = replace(failure, message=redact_text(failure.message), details=redact(failure.details))
    return Outcome(job.claim, "dead", None, attempts, attempt, reason, shown, job.row.order_key)


def failed(
    job: Job,
    failure: Failure,
    now: datetime,
    attempt: Attempt | None,
    after: float | None,
    schedule: RetrySchedule | None = None,
    random: float = 0.0,
) -> Outcome:
    """Return: this try failed; due again by the schedule when that can help, else dead."""
    if not failure.retryable:
        return dead(job, "refused", failure, attempt)
    attempts = job.row.attempts + 1
    pause = None if after is None else timedelta(seconds=after)
    tries = attempts - job.row.attempts_before
    retry = outcomes.next_try(schedule or RetrySchedule(), tries, now, job.row.expires_at, pause, random)
    if retry.at is None:
        details = {"last": failure.as_dict(), "attempts": attempts}
        name = outcomes.DELIVERY_EXHAUSTED if retry.reason == "exhausted" else DELIVERY_EXPIRED
        final = Failure(name, f"failed after {attempts} attempts: {failure.message}", "delivery", details)
        return Outcome(job.claim, "dead", None, attempts, attempt, retry.reason, final, job.row.order_key)
    return Outcome(job.claim, "pending", retry.at, attempts, attempt, "retry", failure, job.row.order_key)


def unsent(job: Job, failure: Failure, now: datetime) -> Outcome:
    """Return: the try failed on our side, before anything was sent; it is shown as an attempt all the same."""
    attempt = Attempt(new_uuid(), job.row.attempts + 1, now, "failure", None, {}, None, None, failure, {})
    return failed(job, failure, now, attempt, None)


def record(store: Store, worker: str, batch: Sequence[Outcome], jobs: Mapping[UUID, Job]) -> set[UUID]:
    """Store outcomes, dead letters and the turn of ordered keys together; return those that were still ours.

    Most batches have neither, and are one statement: no round trip to begin and to commit.

    Raises:
        Unavailable: DATABASE_AWAY, nothing was stored.

    """
    if not any(each.order_key is not None or each.state == "dead" for each in batch):
        with store.statements() as conn:
            return queries.record(conn, worker, batch)
    with store.connect() as conn:
        won = queries.record(conn, worker, batch)
        ordering.after(conn, [each for each in batch if each.claim.ref in won])
        lost_ones = [each for each in batch if each.state == "dead" and each.claim.ref in won]
        if lost_ones:
            times = queries.attempt_times(conn, [each.claim.ref for each in lost_ones])
            adapters = _adapters(conn, {each.claim.lane for each in lost_ones})
            dead_letters.add(conn, [_letter(each, jobs[each.claim.ref], times, adapters) for each in lost_ones])
            fallbacks.owe(conn, {each.claim.ref: each.reason for each in lost_ones})
    return won


def _adapters(conn: Connection, webhook_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the integrations of webhooks that have one."""
    rows = conn.exec_driver_sql(
        "SELECT id, body ->> 'integration' AS name FROM webhooks WHERE id = ANY(%(ids)s::uuid[])",
        {"ids": list(webhook_ids)},
    )
    return {row.id: f"integration/{row.name}" for row in rows if row.name}


def _letter(
    outcome: Outcome, job: Job, times: Mapping[UUID, tuple[datetime, datetime]], adapters: Mapping[UUID, str]
) -> DeadLetter:
    first, last = times.get(outcome.claim.ref, (None, None))
    return DeadLetter(
        workspace_id=outcome.claim.workspace_id,
        kind=queries.KIND,
        ref=outcome.claim.ref,
        owner=f"webhook/{job.row.webhook_name}",
        owner_id=job.row.webhook_id,
        reason=outcome.reason or "exhausted",
        error=outcome.error or Failure(outcomes.DELIVERY_EXHAUSTED, "failed", "delivery"),
        attempts=outcome.attempts,
        first_attempt_at=first,
        last_attempt_at=last,
        correlation_id=job.event.correlation_id,
        adapter=adapters.get(outcome.claim.lane),
        quiet=is_ours(job.event.type),
    )
