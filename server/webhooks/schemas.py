"""The shapes of deliveries, attempts and dead letters over HTTP."""

from __future__ import annotations

from marshmallow import fields, validate

from server.web.paging import PageQuery, page_of
from server.web.room import In, Moment, Out, Text

_OWNER = "KIND/NAME of a definition, such as flow/deal-won; the name alone is a webhook's."
STATES = ("pending", "held", "delivered", "dead", "skipped", "discarded")


class FailureSchema(Out):
    """What went wrong."""

    code = fields.String(required=True)
    message = fields.String(required=True)
    source = fields.String(required=True)
    details = fields.Dict(required=True)
    retryable = fields.Boolean(required=True)


class DeliverySchema(Out):
    """One event owed to one webhook."""

    id = fields.String(required=True)
    webhook = fields.String(required=True, metadata={"description": "The webhook's name."})
    event_id = fields.String(required=True)
    event_type = fields.String(required=True)
    subject = fields.String(required=True, allow_none=True)
    correlation_id = fields.String(required=True)
    message_id = fields.String(
        required=True, metadata={"description": "`webhook-id`: the same on every try and replay."}
    )
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    attempts = fields.Integer(required=True)
    last_status = fields.Integer(required=True, allow_none=True)
    reason = fields.String(required=True, allow_none=True)
    error = fields.Nested(FailureSchema, required=True, allow_none=True)
    order_key = fields.String(required=True, allow_none=True)
    order_no = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Its place in the order of its key; null beside a key: it has given up its place."},
    )
    replayed_from = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The delivery that this one repeats; its order is waived."},
    )
    replay_id = fields.String(required=True, allow_none=True, metadata={"description": "The replay that made it."})
    created_at = Moment(required=True)
    expires_at = Moment(required=True)
    finished_at = Moment(required=True, allow_none=True)
    due_at = Moment(
        required=True, allow_none=True, metadata={"description": "When it is tried next; null: held or ended."}
    )


class AttemptSchema(Out):
    """One try at a delivery whose outcome is known."""

    id = fields.String(required=True)
    no = fields.Integer(required=True)
    started_at = Moment(required=True)
    outcome = fields.String(required=True, validate=validate.OneOf(("success", "failure", "timeout", "refused")))
    status = fields.Integer(required=True, allow_none=True)
    request_headers = fields.Dict(required=True, allow_none=True)
    response_headers = fields.Dict(required=True, allow_none=True)
    response_body = fields.String(
        required=True, allow_none=True, metadata={"description": "The first 4 KiB of the answer, as UTF-8 where it is."}
    )
    error = fields.Nested(FailureSchema, required=True, allow_none=True)
    timings = fields.Dict(required=True, allow_none=True, metadata={"description": "Milliseconds per phase."})
    worker = fields.String(required=True)


class DeadLetterSchema(Out):
    """Work that will not be tried again by itself."""

    id = fields.String(required=True)
    kind = fields.String(required=True)
    ref = fields.String(required=True, metadata={"description": "What died: the id of the delivery."})
    owner = fields.String(required=True, metadata={"description": "The definition it belongs to: webhook/NAME."})
    reason = fields.String(required=True)
    error = fields.Nested(FailureSchema, required=True)
    attempts = fields.Integer(required=True)
    first_attempt_at = Moment(required=True, allow_none=True)
    last_attempt_at = Moment(required=True, allow_none=True)
    correlation_id = fields.String(required=True)
    adapter = fields.String(
        required=True, allow_none=True, metadata={"description": "What was called: integration/NAME."}
    )
    created_at = Moment(required=True)
    resolved_at = Moment(required=True, allow_none=True)
    resolved_by = fields.String(required=True, allow_none=True)
    resolution = fields.String(required=True, allow_none=True)


class DeliveryQuery(PageQuery):
    """Filters of the listing of deliveries."""

    webhook = Text(most=200, load_default=None)
    state = fields.String(load_default=None, validate=validate.OneOf(STATES))
    event = Text(most=256, load_default=None, metadata={"description": "An event's id."})
    replay = Text(most=64, load_default=None, metadata={"description": "The id of the replay that made them."})


class DeadLetterQuery(PageQuery):
    """Filters of the listing of dead letters."""

    owner = Text(most=300, load_default=None, metadata={"description": _OWNER})
    kind = Text(most=50, load_default=None)
    resolved = fields.Boolean(load_default=False)


class TriggerSchema(In):
    """A payload to deliver."""

    payload = fields.Dict(required=True, metadata={"description": "The event's data."})


class TriggeredSchema(Out):
    """What a trigger made."""

    event_id = fields.String(required=True)
    delivery_id = fields.String(required=True)
    message_id = fields.String(required=True)


class OwnerSchema(In):
    """All dead letters of one definition."""

    owner = Text(most=300, required=True, metadata={"description": _OWNER})


class CountSchema(Out):
    """How many."""

    count = fields.Integer(required=True)


DeliveryPage = page_of(DeliverySchema)
AttemptPage = page_of(AttemptSchema)
DeadLetterPage = page_of(DeadLetterSchema)
