"""The shapes of events over HTTP."""

from __future__ import annotations

from marshmallow import EXCLUDE, Schema, fields

from server.web.paging import PageQuery, page_of
from server.web.room import In, Moment, Out, Text


class PublishedSchema(Out):
    """What a publisher is answered."""

    id = fields.String(required=True, metadata={"description": "The event's id: yours, or one that we minted."})
    duplicate = fields.Boolean(required=True, metadata={"description": "True when this event was stored already."})


class PublishedManySchema(Out):
    """What a publisher of a list is answered, in its order."""

    items = fields.List(fields.Nested(PublishedSchema), required=True)


class EventSchema(Out):
    """A stored event."""

    id = fields.String(required=True)
    source = fields.String(required=True)
    type = fields.String(required=True)
    subject = fields.String(required=True, allow_none=True)
    time = Moment(required=True)
    recorded_at = Moment(required=True)
    data = fields.Raw(required=True, allow_none=True)
    correlation_id = fields.String(required=True)
    causation_id = fields.String(required=True, allow_none=True)
    principal = fields.String(required=True)
    schema_version = fields.Integer(required=True, allow_none=True)
    extensions = fields.Dict(required=True, allow_none=True)


class EventQuery(PageQuery):
    """Filters of the listing of events."""

    type = Text(most=255, load_default=None)
    subject = Text(most=512, load_default=None)
    correlation_id = Text(most=128, load_default=None)
    since = fields.AwareDateTime(load_default=None, metadata={"description": "Recorded at or after."})
    until = fields.AwareDateTime(load_default=None, metadata={"description": "Recorded before."})


class StreamQuery(In):
    """What a listener wants."""

    types = Text(
        most=2000,
        load_default=None,
        metadata={
            "description": "Event types or patterns (`order.*`, `order.**`), separated by commas; all but our own when left out."
        },
    )
    subject = Text(most=512, load_default=None)
    since = fields.AwareDateTime(
        load_default=None,
        metadata={"description": "Begin with what was recorded at or after; not looked at with `Last-Event-ID`."},
    )


class LastSchema(Schema):
    """Where a listener goes on."""

    class Meta:
        """Requests have other headers too."""

        unknown = EXCLUDE

    last = fields.String(
        data_key="Last-Event-ID",
        load_default=None,
        metadata={"description": "The last `id` that you had: the stream goes on after it."},
    )


class OneEventQuery(PageQuery):
    """Which of several events of one id."""

    class Meta:
        """No paging here."""

        exclude = ("limit", "cursor")

    source = Text(most=512, load_default=None, metadata={"description": "Needed when several sources used this id."})


EventPage = page_of(EventSchema)
