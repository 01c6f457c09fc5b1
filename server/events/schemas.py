"""The shapes of events over HTTP."""

from __future__ import annotations

from marshmallow import EXCLUDE, Schema, fields

from server.web.paging import PageQuery, page_of
from server.web.room import In, Instant, Moment, Out, Text


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


class _Upcast(In):
    """In which version events are shown."""

    upcast = fields.Boolean(
        load_default=False,
        metadata={
            "description": "Show events of an older version as the newest version of their type has them, by its up-casters; "
            "`schema_version` says which one it is."
        },
    )


class EventQuery(PageQuery, _Upcast):
    """Filters of the listing of events."""

    type = Text(
        most=255,
        load_default=None,
        metadata={"description": "A type, or a pattern: `order.*`, `order.**`; `**` is every event but our own."},
    )
    subject = Text(most=512, load_default=None)
    source = Text(most=512, load_default=None)
    correlation_id = Text(most=128, load_default=None)
    since = Instant(load_default=None, metadata={"description": "Recorded at or after."})
    until = Instant(load_default=None, metadata={"description": "Recorded before."})


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
    since = Instant(
        load_default=None,
        metadata={"description": "Begin with what was recorded at or after; not looked at with `Last-Event-ID`."},
    )
    upcast = fields.Boolean(
        load_default=False,
        metadata={"description": "Tell events of older versions of their types as the newest has them."},
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


class OneEventQuery(PageQuery, _Upcast):
    """Which of several events of one id."""

    class Meta:
        """No paging here."""

        exclude = ("limit", "cursor")

    source = Text(most=512, load_default=None, metadata={"description": "Needed when several sources used this id."})


class HistoryQuery(PageQuery):
    """Whose history."""

    subject = Text(most=512, least=1, required=True, metadata={"description": "What the events are about."})
    type = Text(
        most=255,
        load_default=None,
        metadata={
            "description": "Only events of this type or pattern; each is then compared with the one before of these."
        },
    )


class DataChangeSchema(Out):
    """A place of the data that an event changed."""

    pointer = fields.String(required=True, metadata={"description": "JSON Pointer into `data`."})
    before = fields.Raw(metadata={"description": "What stood there; absent where nothing did."})
    after = fields.Raw(metadata={"description": "What stands there now; absent where nothing does."})


class SubjectEventSchema(EventSchema):
    """An event of a subject's history."""

    changes = fields.List(
        fields.Nested(DataChangeSchema),
        required=True,
        metadata={"description": "Against the data of the event before it; none for the first. 100 at most."},
    )
    more_changes = fields.Boolean(required=True, metadata={"description": "There were more changes than are shown."})


class TreeNodeSchema(Out):
    """One thing of a tree, with what came of it."""

    kind = fields.String(
        required=True, metadata={"description": "`request`, `event`, `delivery`, and what syncs and flows add."}
    )
    id = fields.String(required=True)
    name = fields.String(
        required=True, metadata={"description": "The type of an event; the definition of anything else."}
    )
    at = Moment(required=True)
    state = fields.String(required=True, allow_none=True)
    details = fields.Dict(
        required=True,
        metadata={"description": "By kind: `subject` of an event, `attempts` of a delivery, `method` of a request, …"},
    )
    children = fields.List(fields.Dict(), required=True, metadata={"description": "Nodes like this one."})


class EventTreeSchema(Out):
    """What came of what."""

    trees = fields.List(
        fields.Nested(TreeNodeSchema),
        required=True,
        metadata={"description": "The chain that the event is in; then others of its correlation."},
    )
    nodes = fields.Integer(required=True)
    cut = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Why something was left out: `depth` (32) or `nodes` (1,000); null: it is whole."},
    )


EventPage = page_of(EventSchema)
SubjectEventPage = page_of(SubjectEventSchema)
