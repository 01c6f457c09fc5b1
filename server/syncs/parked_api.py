"""Records that wait for those of other jobs, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marshmallow import fields

from server.store.values import read_json
from server.syncs.repository import SYNC_JOBS
from server.web import current, paging
from server.web.paging import PageQuery, page_of
from server.web.permissions import requires
from server.web.room import Moment, Out, Room

if TYPE_CHECKING:
    from server.store import Store

_LISTING = "sync-parked"
_PAGE = """
SELECT key, ref_job, ref_key, parked_at, until, ready_at FROM sync_parked
WHERE workspace_id = :workspace_id AND job_id = :job AND key > :after ORDER BY key LIMIT :limit
"""


class ParkedSchema(Out):
    """A record that waits for one of another job."""

    key = fields.Raw(required=True, metadata={"description": "The primary key of its row."})
    ref = fields.String(required=True, metadata={"description": "The sync job that has yet to write the other record."})
    ref_key = fields.Raw(required=True, metadata={"description": "The primary key of the other's row."})
    parked_at = Moment(required=True)
    until = Moment(required=True, metadata={"description": "When it becomes a dead letter."})
    ready_at = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When the other was seen; then a run is under way for it."},
    )


def blueprint(store: Store) -> Room:
    """Make the room."""
    room = Room("sync-parked", description="Records that wait for those of other sync jobs.")

    @room.route("/api/v1/sync-jobs/<name>/parked")
    @requires("definitions:read")
    @room.arguments(PageQuery, location="query")
    @room.response(200, page_of(ParkedSchema))
    def list_parked_records(query: dict[str, Any], name: str) -> dict[str, Any]:
        """List the records of a sync job that wait for those of other jobs which they refer to, by key."""
        position = paging.after(query, _LISTING, str) or [""]
        with store.begin(current.scope(), current.cause()) as tx:
            job = SYNC_JOBS.get(tx, name)
            rows = tx.all(_PAGE, job=job.id, after=str(position[0]), limit=query["limit"] + 1)
        return paging.page(rows, query["limit"], _LISTING, lambda row: [row.key], _shown)

    return room


def _shown(row: Any) -> dict[str, Any]:
    return {
        "key": read_json(row.key),
        "ref": row.ref_job,
        "ref_key": read_json(row.ref_key),
        "parked_at": row.parked_at,
        "until": row.until,
        "ready_at": row.ready_at,
    }
