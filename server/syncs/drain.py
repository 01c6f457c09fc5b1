"""The worker's part: runs that are due get a slice each, a few at a time, in threads of their own."""

from __future__ import annotations

import random
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from server.integrations import pinned
from server.integrations.holding import Holding
from server.kernel.errors import (
    Conflict,
    CrossdockError,
    Failure,
    NotFound,
    Permanent,
    Postponed,
    Retryable,
    Unavailable,
    code,
)
from server.queue import claims
from server.store import Cause
from server.store.scopes import scope_of
from server.syncs import health, progress
from server.syncs.aggregate import SyncJob
from server.syncs.drift import Drift
from server.syncs.engine import Slice
from server.syncs.filling import Filler, ends_of
from server.syncs.job import job_of
from server.syncs.pairs import pair_of
from server.syncs.progress import TakenOver
from server.syncs.reconciling import Reconciling
from server.syncs.reverting import Reverting
from server.syncs.runs import KIND
from server.syncs.two_way import TwoWay

if TYPE_CHECKING:
    from server.events.admitting import Admit
    from server.integrations.calls import Caller
    from server.integrations.making import Making
    from server.queue.claims import Claim
    from server.store import Store, Tx
    from server.syncs.job import Job
    from server.syncs.progress import Progress

log = structlog.get_logger("crossdock.syncs")
SYNC_POISON = code("SYNC_POISON", "The run was begun again and again without an outcome; the worker's log says how.")
DEFINITION_GONE = code("DEFINITION_GONE", "The definition that the run began with is not kept.")
SLICES = {"sync": Slice, "revert": Reverting, "reconcile": Reconciling}
"""What a slice does, by the kind of the run."""
AT_ONCE = 4
MOST_CLAIMS = 50
_RESTS_SECONDS = 60.0
_LEAST_PAUSE = 0.05


class Runs:
    """Gives slices to runs. One per worker process. `ledger` is a store that looks up by indexes alone."""

    def __init__(self, store: Store, ledger: Store, making: Making, caller: Caller, admit: Admit) -> None:
        self.store = store
        self.ledger = ledger
        self.making = making
        self.caller = caller
        self.filler = Filler(store, admit)
        self.holding = Holding(store, KIND, AT_ONCE)

    def drain(self) -> int:
        """Begin slices of runs that are due, as far as there is room; return how many were begun.

        Raises:
            Unavailable: the database is away.

        """
        room = self.holding.room
        if not room:
            return 0
        mine = self.holding.take(room)
        for claim in mine:
            threading.Thread(target=self._run, args=(claim,), daemon=True, name="sync").start()
        return len(mine)

    def slice(self, claim: Claim) -> None:
        """Do one slice of a run that was claimed, and record what became of it."""
        with self.store.connect() as conn:
            run = progress.load(conn, claim)
            if run is None:
                claims.finish(conn, KIND, [claim])
                return
        try:
            self._slice(claim, run)
        except TakenOver:
            log.info("another worker has taken the run over", run=str(claim.ref))
        except Unavailable:
            raise
        except Exception as error:  # the border of one run: what breaks it must not stop the others
            log.exception("a slice broke", run=str(claim.ref), job=run.job_name)
            self._later(claim, run, Failure("INTERNAL", type(error).__name__, "sync"), 2.0 ** min(claim.claims, 6))

    def _slice(self, claim: Claim, run: Progress) -> None:
        if run.cancelled or run.job_state == "archived":
            self._end(claim, run, "cancelled", None)
            return
        if claim.claims > MOST_CLAIMS:
            self._end(claim, run, "failed", Failure(SYNC_POISON, "begun again and again without an outcome", "sync"))
            return
        job: Job | None = None
        try:
            with self.store.connect() as conn:
                scope = scope_of(conn, claim.workspace_id)
            cause = Cause(run.principal, run.correlation_id)
            with self.store.begin(scope, cause) as tx:
                job = _pinned(tx, run)
                source, target = ends_of(tx, self.making, self.caller, job, self.filler)
                pair = pair_of(job) if run.kind == "sync" else None
                back = ends_of(tx, self.making, self.caller, pair.back, self.filler) if pair else None
            drift = Drift(self.store, scope, cause, run, job)
            at_work = (
                TwoWay(self.ledger, claim, run, pair, (source, target), back, drift)
                if pair and back
                else SLICES[run.kind](self.ledger, claim, run, job, source, target, drift)
            )
            if at_work.work():
                health.ended(self.store, run, None)
                return
            with self.store.connect() as conn:
                claims.postpone(conn, KIND, [claim], [run.now], uncount=True)
        except Unavailable:
            raise
        except (Postponed, Conflict) as error:  # an integration that rests or lacks a secret is for people to set right
            self._later(claim, run, error.failure, error.after or _RESTS_SECONDS)
        except Retryable as error:
            run.attempts += 1
            planned = job.retry.pause(run.attempts, random.random()) if job else None  # noqa: S311 - spreads tries
            if planned is None:
                self._end(claim, run, "failed", error.failure)
            else:
                self._later(claim, run, error.failure, max(planned.total_seconds(), error.after or 0.0))
        except (Permanent, NotFound) as error:
            self._end(claim, run, "failed", error.failure)
            self._abandon(claim, run)

    def _abandon(self, claim: Claim, run: Progress) -> None:
        """Throw away what a run that failed has written beside, so that it does not lie there for ever."""
        try:
            with self.store.connect() as conn:
                scope = scope_of(conn, claim.workspace_id)
            with self.store.begin(scope, Cause(run.principal, run.correlation_id)) as tx:
                job = _pinned(tx, run)
                source, target = ends_of(tx, self.making, self.caller, job, self.filler)
            Slice(self.ledger, claim, run, job, source, target).abandon()
        except CrossdockError as error:
            log.warning("what a run wrote beside stays there", run=str(run.run), job=run.job_name, code=error.code)

    def _later(self, claim: Claim, run: Progress, failure: Failure, seconds: float) -> None:
        """Let the run go on later, from its last checkpoint; what it did since then is counted when it is done again."""
        with self.store.connect() as conn:
            row = conn.exec_driver_sql("SELECT now() AS now").one()
            conn.exec_driver_sql(
                "UPDATE sync_runs SET attempts = %s, error = %s WHERE workspace_id = %s AND id = %s",
                (run.attempts, progress.stored(failure.as_dict()), run.workspace_id, run.run),
            )
            at = row.now + timedelta(seconds=max(seconds, _LEAST_PAUSE))
            if not claims.postpone(conn, KIND, [claim], [at], uncount=True):
                raise TakenOver
        log.warning("a run waits", run=str(run.run), job=run.job_name, code=failure.code, seconds=round(seconds, 1))

    def _end(self, claim: Claim, run: Progress, state: progress.Ending, failure: Failure | None) -> None:
        with self.store.connect() as conn:
            fresh: Any = progress.load(conn, claim)  # counters of a batch that was not recorded do not count
            progress.fence(conn, claim)
            progress.end(conn, claim, fresh, state, failure)
        if failure is not None:
            health.ended(self.store, run, failure)
        log.warning(
            "a run ended", run=str(run.run), job=run.job_name, state=state, code=failure.code if failure else None
        )

    def _run(self, claim: Claim) -> None:
        """Do slices for as long as any is due: a run of many slices does not wait for the worker to look again."""
        following: Claim | None = claim
        while following is not None:
            at_work, following = following, None
            try:
                self.slice(at_work)
                following = self._another(at_work)
            except TakenOver:
                log.info("another worker has taken the run over", run=str(at_work.ref))
            except Unavailable as error:  # its lease ends, and it is due again
                log.warning("a run waits", code=error.code, run=str(at_work.ref))
            except Exception:  # the border of one run: its lease ends, and it is tried again until it is poison
                log.exception("a slice broke", run=str(at_work.ref))
            finally:
                self.holding.let_go(at_work)

    def _another(self, done: Claim) -> Claim | None:
        self.holding.let_go(done)
        return next(iter(self.holding.take(1)), None)


def _pinned(tx: Tx, run: Progress) -> Job:
    """Return the job as the run began with it.

    Raises:
        Permanent: DEFINITION_GONE.

    """
    body = pinned.body_of(tx.conn, tx.scope.workspace_id, SyncJob.kind, run.job_id, run.definition_version)
    if body is None:
        raise Permanent("the definition that the run began with is not kept", code=DEFINITION_GONE, source="sync")
    return job_of(body)
