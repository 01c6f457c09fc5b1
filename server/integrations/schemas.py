"""The shapes of calls by hand and of plugins, over HTTP."""

from __future__ import annotations

from marshmallow import fields, validate

from server.sdk.manifest import OPERATION, TIERS
from server.web.paging import page_of
from server.web.room import In, Json, Moment, Out, Pattern


class HealthSchema(Out):
    """How the other system is."""

    status = fields.String(required=True, validate=validate.OneOf(("healthy", "degraded", "unhealthy")))
    latency_ms = fields.Float(required=True)
    last_checked = Moment(required=True)
    details = Json(required=True)


class CallSchema(In):
    """One call of one operation."""

    operation = fields.String(
        required=True,
        validate=[validate.Length(max=100), Pattern(OPERATION.strip("^$"), error="noun.verb is needed")],
        metadata={"description": "`noun.verb`, one of the plugin's operations."},
    )
    input = fields.Dict(load_default=dict, metadata={"description": "What the operation's input schema takes."})


class CalledSchema(Out):
    """What the operation gave."""

    output = Json(required=True)
    tries = fields.Integer(
        required=True, metadata={"description": "How often the operation was called; 0: its breaker was open."}
    )
    fallback = fields.Boolean(
        required=True, metadata={"description": "The output is its fallback's, because of `error`."}
    )
    error = Json(required=True, allow_none=True, metadata={"description": "Why the fallback was needed."})


class OperationSchema(Out):
    """One thing that a plugin can do."""

    name = fields.String(required=True)
    about = fields.String(required=True)
    writes = fields.Boolean(required=True)
    idempotent = fields.Boolean(required=True)
    input_schema = Json(required=True)
    output_schema = Json(required=True)


class PluginSummarySchema(Out):
    """An installed plugin."""

    name = fields.String(required=True)
    title = fields.String(required=True)
    version = fields.String(required=True)
    about = fields.String(required=True)
    owner = fields.String(required=True)
    tier = fields.String(required=True, validate=validate.OneOf(TIERS))


class PluginSchema(PluginSummarySchema):
    """An installed plugin with all that it can do."""

    operations = fields.List(fields.Nested(OperationSchema), required=True)
    config_schema = Json(required=True)


PluginPage = page_of(PluginSummarySchema)
