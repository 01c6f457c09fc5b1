"""The health of sync jobs: one whose run fails is failing (and goes on by its schedule), one whose next run succeeds recovers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from server.kernel.errors import CrossdockError, Failure
from server.kernel.ids import show
from server.kernel.lifecycle import TRANSITIONS
from server.store import Cause
from server.store.scopes import scope_of
from server.syncs.repository import SYNC_JOBS

if TYPE_CHECKING:
    from server.kernel.lifecycle import Action
    from server.store import Store
    from server.syncs.progress import Progress

log = structlog.get_logger("crossdock.syncs")
_NEWS: dict[tuple[str, bool], Action] = {("active", True): "fail", ("failing", False): "recover"}
_REASON = 500


def ended(store: Store, run: Progress, failure: Failure | None) -> None:
    """Say of the job what the end of a run means for it: `crossdock.sync_job.failed` and `.recovered`, once each.

    It never raises: the run has ended, and its next one says the same again. What is not `sync` (a revert, a comparison) says nothing
    of the job.
    """
    action = _NEWS.get((run.job_state, failure is not None))
    if action is None or run.kind != "sync":
        return
    shown = show("run", run.run)
    reason = f"the run {shown} failed: {failure.code}: {failure.message}" if failure else f"the run {shown} succeeded"
    try:
        with store.connect() as conn:
            scope = scope_of(conn, run.workspace_id)
        with store.begin(scope, Cause(run.principal, run.correlation_id)) as tx:
            job = SYNC_JOBS.by_id(tx, run.job_id)
            if job is None or (job.state, action) not in TRANSITIONS:
                return
            job.act(action, reason[:_REASON])
            SYNC_JOBS.save(tx, job)
    except CrossdockError as error:  # somebody changed the job just now, or the database is away
        log.info("the health of a job is not told", job=run.job_name, action=action, code=error.code)
