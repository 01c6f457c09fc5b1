"""The worker's part: each due replay does one slice, in one transaction with its progress.

Whoever dies in a slice has done nothing of it; whoever comes late, with a lease that is another's by now, takes it all back.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from server.kernel.errors import CrossdockError, Failure, Unavailable, code
from server.queue import claims
from server.replays import candidates, jobs, making, requests
from server.replays.aggregate import WORKING, ReplayCounted, ReplayFailed, ReplayFinished
from server.replays.pacing import pace
from server.store import Cause
from server.store.scopes import scope_of

if TYPE_CHECKING:
    from datetime import datetime

    from server.queue.claims import Claim
    from server.replays.jobs import Job
    from server.store import Scope, Store, Tx
    from server.webhooks.usecases import Reopening

log = structlog.get_logger("crossdock.replays")
KIND = "replay"
SLICE = 1000
TRIES = 10
_AT_ONCE = 4
_LONGEST_PAUSE = 60
_FORGET = """
DELETE FROM replays WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM replays WHERE finished_at < now() - %(days)s * interval '1 day' LIMIT 1000 FOR UPDATE SKIP LOCKED))
"""
REPLAY_BROKEN = code(
    "REPLAY_BROKEN", "A slice of the replay broke again and again; the worker's log says how. Resume it after the fix."
)


class _TakenOver(Exception):
    """The lease is another's by now."""


def drain(store: Store, reopening: Reopening) -> int:
    """Do a slice of each replay that is due; return how many candidates were counted or made: 0 when there is time."""
    with store.connect() as conn:
        mine = claims.claim(conn, KIND, _AT_ONCE)
    return sum(_slice(store, reopening, claim) for claim in mine)


def forget(store: Store, days: int) -> int:
    """Delete replays that ended long ago, a thousand at a time; return how many."""
    with store.connect() as conn:
        return conn.exec_driver_sql(_FORGET, {"days": days}).rowcount


def _slice(store: Store, reopening: Reopening, claim: Claim) -> int:
    with store.connect() as conn:
        scope = scope_of(conn, claim.workspace_id)
        row = conn.exec_driver_sql(
            "SELECT created_by, correlation_id FROM replays WHERE workspace_id = %s AND id = %s",
            (claim.workspace_id, claim.ref),
        ).first()
        if row is None:
            claims.finish(conn, KIND, [claim])
            return 0
    cause = Cause(row.created_by, row.correlation_id)
    if claim.claims > TRIES:
        _give_up(store, scope, cause, claim, Failure(REPLAY_BROKEN, f"{TRIES} slices had no outcome", "replays"))
        return 0
    try:
        with store.begin(scope, cause) as tx:
            return _work(tx, reopening, claim)
    except _TakenOver:
        log.info("another worker has taken the replay over", replay=str(claim.ref), workspace=str(scope))
    except Unavailable:
        raise
    except Exception as error:  # the border of one replay: what breaks it must not stop the others
        log.exception("a slice of a replay broke", replay=str(claim.ref), workspace=str(scope), claims=claim.claims)
        _again(store, scope, cause, claim, error)
    return 0


def _work(tx: Tx, reopening: Reopening, claim: Claim) -> int:
    job = jobs.lock(tx, claim.ref)
    if job is None or job.replay.state not in WORKING:
        claims.finish(tx.conn, KIND, [claim])
        return 0
    did, at = _count(tx, job) if job.replay.state == "counting" else _make(tx, reopening, job)
    job.error = None
    jobs.save(tx, job)
    kept = (
        claims.postpone(tx.conn, KIND, [claim], [at], uncount=True)
        if job.replay.state in WORKING
        else claims.finish(tx.conn, KIND, [claim])
    )
    if not kept:
        raise _TakenOver
    return did


def _count(tx: Tx, job: Job) -> tuple[int, datetime]:
    found, job.counted_to, ended = candidates.count(tx.conn, jobs.search_of(tx, job), job.counted_to)
    job.counted += found
    if ended:
        job.total = job.done + job.counted
        job.replay.move(ReplayCounted(total=job.total))
    return max(found, 1), job.now


def _make(tx: Tx, reopening: Reopening, job: Job) -> tuple[int, datetime]:
    options = job.options
    step = pace(job.now, job.paid_until, options.per_second) if options.per_second else None
    most = SLICE if step is None else min(SLICE, step.count)
    if step is not None and most == 0:
        return 0, step.again(0)
    search = jobs.search_of(tx, job)
    found = candidates.page(tx.conn, search, job.done_to, most)
    job.done_to = found.position
    job.done += (
        requests.make(tx, found.rows, reopening.hint)
        if search.inbound
        else making.make(tx, job.replay.id, found.rows, options, reopening)
    )
    if found.ended:
        job.total = max(job.total or 0, job.done)
        job.skipped = job.total - job.done
        job.replay.move(ReplayFinished(done=job.done, skipped=job.skipped))
    if step is None:
        return max(len(found.rows), 1), job.now
    job.paid_until = step.paid(len(found.rows))
    return len(found.rows), step.again(len(found.rows))


def _again(store: Store, scope: Scope, cause: Cause, claim: Claim, error: Exception) -> None:
    """Let it be tried again later, or no more."""
    if claim.claims >= TRIES:
        last = error.failure.as_dict() if isinstance(error, CrossdockError) else {"message": type(error).__name__}
        failure = Failure(REPLAY_BROKEN, f"a slice broke {TRIES} times: {last['message']}", "replays", {"last": last})
        _give_up(store, scope, cause, claim, failure)
        return
    with store.begin(scope, cause) as tx:
        at = jobs.moment(tx) + timedelta(seconds=min(_LONGEST_PAUSE, 2**claim.claims))
        claims.postpone(tx.conn, KIND, [claim], [at])


def _give_up(store: Store, scope: Scope, cause: Cause, claim: Claim, failure: Failure) -> None:
    with store.begin(scope, cause) as tx:
        job = jobs.lock(tx, claim.ref)
        if not claims.finish(tx.conn, KIND, [claim]) or job is None or job.replay.state not in WORKING:
            return
        job.error = failure.as_dict()
        job.replay.move(ReplayFailed(error=job.error))
        jobs.save(tx, job)
