"""Runs of sync jobs over HTTP: start, see, cancel, and what one would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from server.kernel import ids
from server.kernel.errors import Conflict, NotFound, code
from server.syncs import run_schemas
from server.syncs.repository import SYNC_JOBS
from server.syncs.runs import UNDER_WAY, start_run
from server.syncs.runs import shown as shown_id
from server.web import current, paging
from server.web.answers import answer
from server.web.idempotency import remember
from server.web.permissions import requires
from server.web.room import Room

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flask import Response
    from sqlalchemy.engine import Row

    from server.store import Store, Tx
    from server.syncs.preview import Preview

RUN_ENDED = code("RUN_ENDED", "The run has ended already.")
_LISTING = "sync-runs"
_FIELDS = """
r.id, j.name AS job, r.kind, r.state, r.phase, r.cause, r.definition_version, r.nominal, r.key, r.batches, r.read, r.written, r.unchanged,
r.refused, r.deleted, r.parked, r.total, r.attempts, r.error, r.result, r.created_at, r.started_at, r.progressed_at, r.ended_at
"""
_FROM = f"SELECT {_FIELDS} FROM sync_runs r JOIN sync_jobs j ON j.id = r.job_id WHERE r.workspace_id = :workspace_id"


def blueprint(store: Store, hint: Callable[[], None], preview: Preview) -> Room:
    """Make the room of runs."""
    room = Room("sync-runs", description="Runs of sync jobs.")
    _starting(room, store, hint, preview)
    _reading(room, store)
    _cancelling(room, store, hint)
    return room


def _starting(room: Room, store: Store, hint: Callable[[], None], preview: Preview) -> None:
    @room.route("/api/v1/sync-jobs/<name>/runs", methods=["POST"])
    @requires("syncs:operate")
    @room.arguments(run_schemas.StartSchema)
    @room.response(202, run_schemas.RunSchema)
    def start_sync_run(body: dict[str, Any], name: str) -> Response:
        """Start a run now, also of a job that is paused; with `key` of one row alone."""
        with store.begin(current.scope(), current.cause()) as tx:
            job = SYNC_JOBS.get(tx, name)
            run = start_run(tx, job, "person", hint, body["key"])
            job.trigger(tx.cause.principal, shown_id(run))
            SYNC_JOBS.save(tx, job)
            return remember(tx, answer(run_schemas.RunSchema, shown_run(tx, run), 202))

    @room.route("/api/v1/sync-jobs/<name>/preview", methods=["POST"])
    @requires("syncs:operate")
    @room.arguments(run_schemas.PreviewNew)
    @room.response(200, run_schemas.PreviewSchema)
    def preview_sync_job(body: dict[str, Any], name: str) -> dict[str, Any]:
        """Show what a run would do with its first rows, field by field; nothing is written."""
        return preview.of(current.scope(), current.cause(), name, body["rows"])


def _reading(room: Room, store: Store) -> None:
    @room.route("/api/v1/sync-jobs/<name>/runs")
    @requires("definitions:read")
    @room.arguments(run_schemas.PageQuery, location="query")
    @room.response(200, run_schemas.RunPage)
    def list_sync_runs(query: dict[str, Any], name: str) -> dict[str, Any]:
        """List the runs of a sync job, newest first."""
        position = paging.after(query, _LISTING, UUID)
        with store.begin(current.scope(), current.cause()) as tx:
            job = SYNC_JOBS.get(tx, name)
            rows = page(tx, job.id, position[0] if position else None, query["limit"] + 1)
        return paging.page(rows, query["limit"], _LISTING, lambda row: [str(row.id)], run_schemas.shown)

    @room.route("/api/v1/sync-runs/<run_id>")
    @requires("definitions:read")
    @room.response(200, run_schemas.RunSchema)
    def get_sync_run(run_id: str) -> dict[str, Any]:
        """Read one run: how far it has got."""
        with store.begin(current.scope(), current.cause()) as tx:
            return shown_run(tx, read_id(run_id))


def _cancelling(room: Room, store: Store, hint: Callable[[], None]) -> None:
    @room.route("/api/v1/sync-runs/<run_id>/cancel", methods=["POST"])
    @requires("syncs:operate")
    @room.response(200, run_schemas.RunSchema)
    def cancel_sync_run(run_id: str) -> Response:
        """End a run at its next step; what it has written stays, and the next run goes on from there."""
        with store.begin(current.scope(), current.cause()) as tx:
            identity = read_id(run_id)
            cancel(tx, identity, hint)
            return remember(tx, answer(run_schemas.RunSchema, shown_run(tx, identity)))


def cancel(tx: Tx, run: UUID, hint: Callable[[], None]) -> None:
    """Let a run end at its next step.

    Raises:
        NotFound: there is none. Conflict: RUN_ENDED.

    """
    state = shown_run(tx, run)["state"]
    if state not in UNDER_WAY:
        raise Conflict(f"the run has {state}", code=RUN_ENDED, source="sync")
    tx.run(
        """UPDATE sync_runs SET cancelled_at = coalesce(cancelled_at, now())
           WHERE workspace_id = :workspace_id AND id = :id""",
        id=run,
    )
    tx.run(
        """UPDATE due SET due_at = now() WHERE workspace_id = :workspace_id AND kind = 'sync' AND ref = :id
           AND NOT leased""",
        id=run,
    )
    tx.after_commit("hint", hint)


def page(tx: Tx, job: UUID, before: UUID | None, limit: int) -> Sequence[Row[Any]]:
    """Return the runs of a job, newest first."""
    return tx.all(
        f"{_FROM} AND r.job_id = :job AND (CAST(:before AS uuid) IS NULL OR r.id < :before) ORDER BY r.id DESC LIMIT :limit",
        job=job,
        before=before,
        limit=limit,
    )


def shown_run(tx: Tx, run: UUID) -> dict[str, Any]:
    """Return a run as it is shown.

    Raises:
        NotFound: there is none.

    """
    row = tx.one(f"{_FROM} AND r.id = :id", id=run)
    if row is None:
        raise NotFound("no such run here")
    return run_schemas.shown(row)


def read_id(text: str) -> UUID:
    """Read an id from a path; one that cannot exist is one that is not here."""
    try:
        return ids.read("run", text)
    except ValueError as error:
        raise NotFound("no such run here") from error
