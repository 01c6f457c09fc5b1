"""The shapes of health and figures over HTTP."""

from __future__ import annotations

from marshmallow import fields, validate

from server.web.room import Out


class CheckSchema(Out):
    """One part that was asked."""

    status = fields.String(required=True, validate=validate.OneOf(("pass", "warn", "fail")))
    latency = fields.Float(required=True, metadata={"description": "Milliseconds that the answer took."})
    message = fields.String(required=True)


class HealthReportSchema(Out):
    """The state of everything that was asked: all pass is healthy, any fail is unhealthy, else degraded."""

    status = fields.String(required=True, validate=validate.OneOf(("healthy", "degraded", "unhealthy")))
    checks = fields.Dict(keys=fields.String(), values=fields.Nested(CheckSchema), required=True)
    timestamp = fields.String(required=True, metadata={"format": "date-time"})


class LastHourSchema(Out):
    """Tries of the last hour, the newest 100,000 of them."""

    attempts = fields.Integer(required=True)
    delivered = fields.Integer(required=True)
    failed = fields.Integer(required=True)
    success_rate = fields.Float(required=True, allow_none=True, metadata={"description": "0 to 1; null: no tries."})
    p95_ms = fields.Float(
        required=True, allow_none=True, metadata={"description": "95 % of the answers came within; null: no answers."}
    )


class BusinessSchema(Out):
    """How the business is doing, by the events of the last 30 days; null where no event tells it."""

    orders_processed = fields.Integer(required=True, metadata={"description": "`order.created` events."})
    average_order_value = fields.String(
        required=True, allow_none=True, metadata={"description": "Of their `total`, the newest thousand."}
    )
    conversion_rate = fields.Float(
        required=True, allow_none=True, metadata={"description": "`deal.won` among `deal.won` and `deal.lost`, 0 to 1."}
    )
    fulfilment_seconds = fields.Float(
        required=True, allow_none=True, metadata={"description": "Median from `order.created` to `shipment.created`."}
    )


class KpisSchema(Out):
    """How the workspace is doing; days are UTC's."""

    events_today = fields.Integer(required=True)
    delivered_today = fields.Integer(required=True)
    last_hour = fields.Nested(LastHourSchema, required=True)
    pending = fields.Integer(required=True, metadata={"description": "Deliveries that will be tried."})
    held = fields.Integer(required=True, metadata={"description": "Deliveries that wait for a webhook to go on."})
    oldest_due_seconds = fields.Float(
        required=True, metadata={"description": "How long the oldest due delivery has waited; 0: none is overdue."}
    )
    dead_letters_open = fields.Integer(required=True)
    business = fields.Nested(BusinessSchema, required=True)
