"""The shapes of schedules over HTTP."""

from __future__ import annotations

from marshmallow import fields, validate

from server.web.paging import PageQuery, page_of
from server.web.room import In, Moment, Out

MOST_TIMES = 100


class CountQuery(In):
    """How far to look ahead."""

    count = fields.Integer(
        load_default=10,
        validate=validate.Range(1, MOST_TIMES),
        metadata={"description": "How many of the next times are shown."},
    )


class TimeSchema(Out):
    """One time of a schedule."""

    nominal = Moment(required=True, metadata={"description": "The time by the cron expression."})
    local = fields.String(required=True, metadata={"description": "The same on the clock of its time zone."})
    fires_at = Moment(required=True, metadata={"description": "When it is carried out: jitter is in it."})


class PastSchema(Out):
    """One time that has come."""

    nominal = Moment(required=True)
    at = Moment(required=True, metadata={"description": "When it was carried out."})
    run_id = fields.String(
        required=True, allow_none=True, metadata={"description": "null: it was skipped, or given up as missed."}
    )
    dropped = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "The first of the times up to this one that were given up as missed; null: none was."},
    )


class ScheduleSchema(Out):
    """When a sync job runs."""

    name = fields.String(required=True)
    state = fields.String(required=True, metadata={"description": "Only an active or failing job runs by schedule."})
    cron = fields.String(required=True, allow_none=True, metadata={"description": "null: it has no schedule."})
    timezone = fields.String(required=True, allow_none=True)
    misfire = fields.String(required=True, allow_none=True)
    overlap = fields.String(required=True, allow_none=True)
    times = fields.List(
        fields.Nested(TimeSchema),
        required=True,
        metadata={"description": "The next times, were it at work; none without a schedule."},
    )
    past = fields.List(
        fields.Nested(PastSchema), required=True, metadata={"description": "As many that have come, the newest first."}
    )


class NextSchema(Out):
    """The next time of one sync job."""

    name = fields.String(required=True)
    state = fields.String(required=True)
    cron = fields.String(required=True, allow_none=True)
    timezone = fields.String(required=True, allow_none=True)
    nominal = Moment(required=True, allow_none=True, metadata={"description": "null: it does not run by schedule now."})
    fires_at = Moment(required=True, allow_none=True)


NextPage = page_of(NextSchema)

__all__ = ["CountQuery", "NextPage", "NextSchema", "PageQuery", "ScheduleSchema", "TimeSchema"]
