"""The shapes of runs and previews over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marshmallow import fields, validate

from server.kernel.ids import show
from server.syncs.preview import MOST_SAMPLES
from server.web.paging import PageQuery, page_of
from server.web.room import In, Moment, Out

if TYPE_CHECKING:
    from sqlalchemy.engine import Row

__all__ = ["PageQuery", "PreviewNew", "PreviewSchema", "RunPage", "RunSchema", "StartSchema", "shown"]


class StartSchema(In):
    """What a run is of."""

    key = fields.List(
        fields.Raw(),
        load_default=None,
        validate=validate.Length(1, 10),
        metadata={"description": "The primary key of one row: that alone is synced, without its cursor."},
    )


class RunSchema(Out):
    """A run of a sync job and how far it has got."""

    id = fields.String(required=True)
    job = fields.String(required=True)
    kind = fields.String(required=True, metadata={"description": "sync, revert or reconcile."})
    state = fields.String(
        required=True, metadata={"description": "queued, running, paused, succeeded, failed or cancelled."}
    )
    phase = fields.String(required=True, metadata={"description": "begin, read, snapshot, delete or finish."})
    cause = fields.String(required=True, metadata={"description": "schedule, event or person."})
    definition_version = fields.Integer(required=True)
    nominal = Moment(required=True, allow_none=True)
    key = fields.Raw(required=True, allow_none=True)
    batches = fields.Integer(required=True)
    read = fields.Integer(required=True, metadata={"description": "Rows read."})
    written = fields.Integer(required=True)
    unchanged = fields.Integer(required=True)
    refused = fields.Integer(required=True)
    deleted = fields.Integer(required=True)
    parked = fields.Integer(
        required=True, metadata={"description": "Rows that wait for records of other jobs to which they refer."}
    )
    total = fields.Integer(required=True, allow_none=True, metadata={"description": "Rows to read, where it is known."})
    percent = fields.Float(required=True, allow_none=True)
    rows_per_second = fields.Float(required=True, allow_none=True)
    seconds_left = fields.Float(required=True, allow_none=True)
    attempts = fields.Integer(required=True, metadata={"description": "Failed tries of the batch under way."})
    error = fields.Raw(required=True, allow_none=True)
    result = fields.Raw(
        required=True, allow_none=True, metadata={"description": "What a revert or a reconcile came to, by name."}
    )
    created_at = Moment(required=True)
    started_at = Moment(required=True, allow_none=True)
    progressed_at = Moment(required=True, allow_none=True)
    ended_at = Moment(required=True, allow_none=True)


RunPage = page_of(RunSchema)


class PreviewNew(In):
    """How much of it."""

    rows = fields.Integer(
        load_default=20, validate=validate.Range(1, MOST_SAMPLES), metadata={"description": "How many rows are read."}
    )


class PreviewSchema(Out):
    """What a run would do with its first rows."""

    job = fields.String(required=True)
    total = fields.Integer(required=True, allow_none=True, metadata={"description": "Rows that the run would read."})
    read = fields.Integer(required=True)
    create = fields.Integer(required=True)
    update = fields.Integer(required=True)
    unchanged = fields.Integer(required=True)
    delete = fields.Integer(required=True)
    refused = fields.List(fields.Dict(), required=True)
    samples = fields.List(
        fields.Dict(),
        required=True,
        metadata={"description": "Each with `key`, `action`, `record`, and `changes`: field, from, to."},
    )


def shown(row: Row[Any]) -> dict[str, Any]:
    """Return a run as it is shown; rate and what is left are of the time that it was under way."""
    found = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's documented way to a mapping
    last = found["ended_at"] or found["progressed_at"]
    seconds = (last - found["started_at"]).total_seconds() if last and found["started_at"] else 0.0
    rate = round(found["read"] / seconds, 1) if seconds > 0 and found["read"] else None
    total = found["total"]
    left = max(total - found["read"], 0) if total is not None and found["state"] == "running" else None
    return {
        **found,
        "id": show("run", found["id"]),
        "percent": round(min(100.0, 100.0 * found["read"] / total), 1) if total else None,
        "rows_per_second": rate,
        "seconds_left": round(left / rate, 1) if left is not None and rate else None,
    }
