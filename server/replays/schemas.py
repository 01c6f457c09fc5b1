"""The shapes of replays over HTTP."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from server.kernel.ids import show
from server.replays import requests
from server.replays.aggregate import STATES
from server.replays.filters import MOST_DELIVERIES, MOST_PER_SECOND, PAYLOADS, STATUSES
from server.web.paging import PageQuery, page_of
from server.web.room import Flag, In, Instant, Moment, Out, Text, Whole
from server.webhooks.schemas import FailureSchema

ALL_STATUSES = tuple(dict.fromkeys((*STATUSES, *requests.STATUSES)))


class FilterSchema(In):
    """Which deliveries or requests: those that are named, or those that all the other fields mean."""

    deliveries = fields.List(
        Text(most=64),
        load_default=list,
        validate=validate.Length(max=MOST_DELIVERIES),
        metadata={"description": "Ids of deliveries."},
    )
    requests = fields.List(
        Text(most=64),
        load_default=list,
        validate=validate.Length(max=MOST_DELIVERIES),
        metadata={"description": "Ids of requests to inbound webhooks."},
    )
    webhook = Text(
        most=200,
        load_default=None,
        metadata={"description": "The webhook's name; of an inbound one its requests are mapped once more."},
    )
    type = Text(most=255, load_default=None, metadata={"description": "An event type, or a pattern like order.* or **"})
    subject = Text(most=512, load_default=None)
    status = fields.List(
        fields.String(validate=validate.OneOf(ALL_STATUSES)),
        load_default=list,
        validate=validate.Length(max=len(ALL_STATUSES)),
        metadata={
            "description": "How the delivery ended; any of them when left out. Of requests those that emitted nothing when "
            "left out: dead, skipped and stale."
        },
    )
    since = Instant(load_default=None, metadata={"description": "The event was recorded at or after."})
    until = Instant(load_default=None, metadata={"description": "The event was recorded before."})


class ReplayNew(In):
    """What to replay, and how."""

    filter = fields.Nested(FilterSchema, required=True)
    backfill = Flag(
        load_default=False,
        metadata={
            "description": "Make the deliveries that the webhook never had, of events recorded before it was there."
        },
    )
    payload = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.OneOf(PAYLOADS),
        metadata={
            "description": "`original` (the default): as it was first sent, whatever the definition says by now. "
            "`current`: mapped again by the present definition."
        },
    )
    as_new = Flag(
        load_default=False,
        metadata={"description": "Mint another `webhook-id`, so that receivers do not take it for the same message."},
    )
    per_second = Whole(
        load_default=None,
        allow_none=True,
        validate=validate.Range(1, MOST_PER_SECOND),
        metadata={"description": "At most so many new deliveries a second."},
    )
    dry_run = Flag(load_default=False, metadata={"description": "Count and show, write nothing."})


class ShownFilter(Out):
    """The filter as it was given."""

    deliveries = fields.List(fields.String())
    requests = fields.List(fields.String())
    webhook = fields.String()
    type = fields.String()
    subject = fields.String()
    status = fields.List(fields.String())
    since = fields.String()
    until = fields.String()


class ReplaySchema(Out):
    """A replay and how far it has got. Order is waived."""

    id = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    filter = fields.Nested(ShownFilter, required=True)
    backfill = fields.Boolean(required=True)
    payload = fields.String(required=True)
    as_new = fields.Boolean(required=True)
    per_second = fields.Integer(required=True, allow_none=True)
    total = fields.Integer(
        required=True, allow_none=True, metadata={"description": "How many there are; null while they are counted."}
    )
    done = fields.Integer(required=True, metadata={"description": "New deliveries that were made."})
    skipped = fields.Integer(
        required=True, metadata={"description": "Counted, but gone or on their way again when their turn came."}
    )
    error = fields.Nested(FailureSchema, required=True, allow_none=True)
    created_at = Moment(required=True)
    created_by = fields.String(required=True)
    correlation_id = fields.String(required=True)
    finished_at = Moment(required=True, allow_none=True)


class ReplayDetail(ReplaySchema):
    """A replay, and what became of the deliveries that it has made."""

    deliveries = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={"description": "How many of its deliveries are in which state."},
    )


class SampleSchema(Out):
    """One of what would be replayed."""

    delivery_id = fields.String(required=True, allow_none=True, metadata={"description": "null: there is none yet."})
    state = fields.String(required=True, allow_none=True)
    webhook = fields.String(required=True)
    request_id = fields.String(required=True, allow_none=True, metadata={"description": "Of an inbound webhook."})
    event_id = fields.String(required=True, allow_none=True)
    event_type = fields.String(required=True, allow_none=True)
    subject = fields.String(required=True, allow_none=True)
    recorded_at = Moment(required=True)


class DryRunSchema(Out):
    """What a replay would make, and the first of it."""

    dry_run = fields.Boolean(required=True)
    count = fields.Integer(required=True)
    samples = fields.List(fields.Nested(SampleSchema), required=True)


class ReplayQuery(PageQuery):
    """Filters of the listing of replays."""

    state = fields.String(load_default=None, validate=validate.OneOf(STATES))


ReplayPage = page_of(ReplaySchema)


def show_replay(row: Any) -> dict[str, Any]:
    """Return a replay as the API shows it."""
    return {**row._mapping, **row.options, "id": show("rpl", row.id)}  # noqa: SLF001 - SQLAlchemy's public name for it


def show_sample(row: Any) -> dict[str, Any]:
    """Return a candidate as the API shows it."""
    shown = {"delivery_id": row.delivery_id and show("dlv", row.delivery_id)}
    return {**row._mapping, **shown, "request_id": row.request_uid and show("req", row.request_uid)}  # noqa: SLF001
