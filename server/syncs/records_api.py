"""Records of sync jobs over HTTP: revert what a run wrote, reconcile a job, and why a record looks as it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from server.integrations.guards import LONGEST_BY_HAND
from server.kernel.errors import Conflict, NotFound, code
from server.kernel.ids import show
from server.sdk.positions import as_json, unpacked
from server.store.values import read_json
from server.syncs import changes, record_schemas, reverting, run_schemas, why
from server.syncs.engine import destination_of
from server.syncs.filling import ends_of
from server.syncs.job import job_of
from server.syncs.reconciling import vet
from server.syncs.repository import SYNC_JOBS
from server.syncs.reverting import NOT_REVERTIBLE
from server.syncs.runs import UNDER_WAY, start_run
from server.syncs.runs_api import read_id, shown_run
from server.web import current, paging
from server.web.answers import answer
from server.web.idempotency import remember
from server.web.permissions import requires
from server.web.room import Room

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Response
    from sqlalchemy.engine import Row

    from server.integrations.calls import Caller
    from server.integrations.making import Making
    from server.store import Store, Tx
    from server.syncs.aggregate import SyncJob
    from server.syncs.filling import Filler

RUN_UNDER_WAY = code("RUN_UNDER_WAY", "The run has not ended yet.")
_SAMPLES = 100
_CHANGES = """
SELECT * FROM sync_changes WHERE workspace_id = :workspace_id AND run_id = :run AND key > :after
  AND (CAST(:state AS text) IS NULL OR coalesce(outcome, 'open') = :state) ORDER BY key LIMIT :limit
"""
_DIFFERENCES = """
SELECT * FROM sync_differences WHERE workspace_id = :workspace_id AND run_id = :run
  AND (CAST(:after AS uuid) IS NULL OR id > :after) AND (CAST(:kind AS text) IS NULL OR kind = :kind)
  AND (CAST(:state AS text) IS NULL OR state = :state) ORDER BY id LIMIT :limit
"""
_OF = """
SELECT r.id, r.job_id, r.kind, r.state, r.definition_version, j.name FROM sync_runs r JOIN sync_jobs j ON j.id = r.job_id
WHERE r.workspace_id = :workspace_id AND r.id = :id
"""


@dataclass(frozen=True, slots=True)
class Records:
    """What the routes need."""

    store: Store
    hint: Callable[[], None]
    making: Making
    caller: Caller
    filler: Filler


def blueprint(records: Records) -> Room:
    """Make the room of records."""
    room = Room("sync-records", description="What sync jobs wrote: reverted, reconciled, explained.")
    _reverting(room, records)
    _reconciling(room, records)
    _explaining(room, records)
    return room


def _reverting(room: Room, records: Records) -> None:
    store = records.store

    @room.route("/api/v1/sync-runs/<run_id>/revert", methods=["POST"])
    @requires("syncs:operate")
    @room.arguments(record_schemas.RevertNew)
    @room.response(202, run_schemas.RunSchema)
    def revert_sync_run(body: dict[str, Any], run_id: str) -> Response:
        """Put back what a run wrote, in a run of its own; what was changed since is left and listed."""
        with store.begin(current.scope(), current.cause()) as tx:
            run, job = _revertible(tx, run_id)
            options = {"run": str(run.id), "force": body["force"]}
            made = start_run(
                tx, job, "person", records.hint, kind="revert", options=options, version=run.definition_version
            )
            return remember(tx, answer(run_schemas.RunSchema, shown_run(tx, made), 202))

    @room.route("/api/v1/sync-runs/<run_id>/revert/preview", methods=["POST"])
    @requires("syncs:operate")
    @room.arguments(record_schemas.RevertNew)
    @room.response(200, record_schemas.ForeseenSchema)
    def preview_sync_revert(body: dict[str, Any], run_id: str) -> dict[str, Any]:
        """Show what reverting a run would do with its first records; nothing is written."""
        with store.begin(current.scope(), current.cause()) as tx:
            run, found = _revertible(tx, run_id)
            job = job_of(found.body)
            ends = ends_of(tx, records.making, records.caller, job, records.filler, within=LONGEST_BY_HAND)
            target = ends[1]
            number = changes.count(tx.conn, tx.scope.workspace_id, run.job_id, run.id)
            todo = changes.todo(tx.conn, tx.scope.workspace_id, run.job_id, run.id, None, _SAMPLES)
        shown = reverting.foreseen(target, job, destination_of(job), todo, force=body["force"])
        samples = [{**each, "key": why.people(each["key"]), "to": as_json(each["to"])} for each in shown]
        return {"run": show("run", run.id), "records": number, "samples": samples}

    @room.route("/api/v1/sync-runs/<run_id>/changes")
    @requires("deliveries:read")
    @room.arguments(record_schemas.ChangesQuery, location="query")
    @room.response(200, record_schemas.ChangePage)
    def list_sync_changes(query: dict[str, Any], run_id: str) -> dict[str, Any]:
        """List the records that a run wrote or removed, by key, with what was there before, while it is kept."""
        position = paging.after(query, "sync-changes", str) or [""]
        with store.begin(current.scope(), current.cause()) as tx:
            run = _run(tx, run_id)
            rows = tx.all(_CHANGES, run=run.id, after=str(position[0]), state=query["state"], limit=query["limit"] + 1)
        return paging.page(rows, query["limit"], "sync-changes", lambda row: [row.key], _change)


def _reconciling(room: Room, records: Records) -> None:
    store = records.store

    @room.route("/api/v1/sync-jobs/<name>/reconcile", methods=["POST"])
    @requires("syncs:operate")
    @room.arguments(record_schemas.ReconcileNew)
    @room.response(202, run_schemas.RunSchema)
    def reconcile_sync_job(body: dict[str, Any], name: str) -> Response:
        """Compare every row of the source with the target, in a run of its own; with `repair` what differs is written."""
        with store.begin(current.scope(), current.cause()) as tx:
            job = SYNC_JOBS.get(tx, name)
            declared = job_of(job.body)
            vet(declared, repair=body["repair"])
            made = start_run(tx, job, "person", records.hint, kind="reconcile", options={"repair": body["repair"]})
            return remember(tx, answer(run_schemas.RunSchema, shown_run(tx, made), 202))

    @room.route("/api/v1/sync-runs/<run_id>/differences")
    @requires("deliveries:read")
    @room.arguments(record_schemas.DifferencesQuery, location="query")
    @room.response(200, record_schemas.RecordDifferencePage)
    def list_sync_differences(query: dict[str, Any], run_id: str) -> dict[str, Any]:
        """List what a reconcile found: records that are missing in the target, differ, or are too much."""
        position = paging.after(query, "sync-differences", UUID)
        with store.begin(current.scope(), current.cause()) as tx:
            run = _run(tx, run_id)
            rows = tx.all(
                _DIFFERENCES,
                run=run.id,
                after=position[0] if position else None,
                kind=query["kind"],
                state=query["state"],
                limit=query["limit"] + 1,
            )
        return paging.page(rows, query["limit"], "sync-differences", lambda row: [str(row.id)], _difference)


def _explaining(room: Room, records: Records) -> None:
    store = records.store

    @room.route("/api/v1/sync-jobs/<name>/records/<path:key>")
    @requires("deliveries:read")
    @room.response(200, record_schemas.WhySchema)
    def explain_sync_record(name: str, key: str) -> dict[str, Any]:
        """Tell why a record of the target looks as it does; `key` is the row's primary key, several values as a JSON list."""
        with store.begin(current.scope(), current.cause()) as tx:
            return why.explained(tx, SYNC_JOBS.get(tx, name), key)

    @room.route("/api/v1/sync-jobs/<name>/records/<path:key>/replay", methods=["POST"])
    @requires("syncs:operate")
    @room.response(202, run_schemas.RunSchema)
    def replay_sync_record(name: str, key: str) -> Response:
        """Read one row again and write its record, though it be unchanged; one that is no more is removed, where the job removes."""
        with store.begin(current.scope(), current.cause()) as tx:
            job = SYNC_JOBS.get(tx, name)
            run = start_run(tx, job, "person", records.hint, why.write_again(tx, job, key))
            return remember(tx, answer(run_schemas.RunSchema, shown_run(tx, run), 202))


def _run(tx: Tx, text: str) -> Row[Any]:
    row = tx.one(_OF, id=read_id(text))
    if row is None:
        raise NotFound("no such run here")
    return row


def _revertible(tx: Tx, text: str) -> tuple[Row[Any], SyncJob]:
    """Return a run of which something is kept, and its job.

    Raises:
        NotFound: no such run, or its job was removed. Conflict: RUN_UNDER_WAY, NOT_REVERTIBLE.

    """
    run = _run(tx, text)
    job = SYNC_JOBS.get(tx, run.name)
    if run.state in UNDER_WAY:
        raise Conflict(f"the run is {run.state}", code=RUN_UNDER_WAY, source="sync")
    if run.job_id != job.id or not changes.count(tx.conn, tx.scope.workspace_id, run.job_id, run.id):
        message = "nothing is kept of this run that could be put back"
        if "two_way" in job.body:
            message += ": a two-way job has two sides to undo, and keeps neither. Set right on one side what is wrong; a run takes it over"
        raise Conflict(message, code=NOT_REVERTIBLE, source="sync")
    return run, job


def _change(row: Row[Any]) -> dict[str, Any]:
    return {
        "key": why.people(row.key),
        "target_key": as_json(unpacked(row.target_key)),
        "before": why.image(row.before),
        "written": why.image(row.written),
        "at": row.at,
        "kept_until": row.until,
        "state": row.outcome or "open",
        "reason": row.reason,
        "reverted_by": None if row.reverted_by is None else show("run", row.reverted_by),
    }


def _difference(row: Row[Any]) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "key": None if row.key is None else why.people(row.key),
        "target_key": as_json(unpacked(read_json(row.target_key))),
        "fields_": row.fields,
        "state": row.state,
        "reason": row.reason,
        "at": row.at,
    }
