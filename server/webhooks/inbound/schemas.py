"""The shapes of inbound requests over HTTP."""

from __future__ import annotations

from marshmallow import fields, validate

from server.web.paging import PageQuery, page_of
from server.web.room import Instant, Moment, Out, Text
from server.webhooks.schemas import FailureSchema

STATES = ("received", "emitted", "skipped", "stale", "dead", "discarded")


class InboundRequestSchema(Out):
    """One request that was stored, without its content."""

    id = fields.String(required=True)
    webhook = fields.String(required=True, metadata={"description": "The webhook's name."})
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    reason = fields.String(required=True, allow_none=True)
    error = fields.Nested(FailureSchema, required=True, allow_none=True)
    event_ids = fields.List(
        fields.String(), required=True, metadata={"description": "What it emitted, in order; of all rounds."}
    )
    round = fields.Integer(required=True, metadata={"description": "1, and one more for each replay."})
    definition_version = fields.Integer(
        required=True, metadata={"description": "The version of the definition that it was taken under."}
    )
    method = fields.String(required=True)
    path = fields.String(required=True)
    query = fields.String(required=True)
    message_id = fields.String(
        required=True, metadata={"description": "The sender's own id, empty where there is none."}
    )
    client = fields.String(required=True, metadata={"description": "The sender's address."})
    correlation_id = fields.String(required=True)
    body_size = fields.Integer(required=True, metadata={"description": "Bytes."})
    received_at = Moment(required=True)
    finished_at = Moment(required=True, allow_none=True)


class InboundRequestDetailSchema(InboundRequestSchema):
    """One request with its content."""

    params = fields.Dict(required=True, metadata={"description": "The parameters of the path."})
    headers = fields.Dict(required=True, metadata={"description": "Those that are kept: none with a credential."})
    body = fields.String(
        required=True, allow_none=True, metadata={"description": "The first 256 KiB as text; null where it is none."}
    )
    body_base64 = fields.String(
        required=True, allow_none=True, metadata={"description": "The same bytes where they are no text."}
    )


class InboundRequestQuery(PageQuery):
    """Filters of the listing."""

    webhook = Text(most=200, load_default=None)
    state = fields.String(load_default=None, validate=validate.OneOf(STATES))
    since = Instant(load_default=None, metadata={"description": "Received at or after."})
    until = Instant(load_default=None, metadata={"description": "Received before."})


InboundRequestPage = page_of(InboundRequestSchema)
