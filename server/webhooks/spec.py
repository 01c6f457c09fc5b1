"""The declaration of an outbound Webhook, and its typed view for the delivery engine."""

from __future__ import annotations

from server.documents.expressions import ExpressionText, MapValue, TemplateText
from server.documents.fields import Field, Keyed, ListOf, MappingOf, Object, OneOf
from server.documents.kinds import ACTIVE, Kind, head_fields
from server.documents.retrying import growing, jitter
from server.documents.scalars import Choice, Duration, EventTypeName, Integer, Url
from server.documents.values import Reference
from server.integrations.auth_fields import AUTH
from server.integrations.fallback import call_form
from server.integrations.spec import RATE_LIMIT
from server.queue.claims import PRIORITIES
from server.webhooks.check import check_header, check_webhook
from server.webhooks.compiling import PLACE
from server.webhooks.dry_run import TESTS, run_tests
from server.webhooks.inbound.spec import INBOUND
from server.webhooks.outbound import (
    DEFAULT_EXPIRES,
    DEFAULT_IN_FLIGHT,
    DEFAULT_ON_STUCK,
    DEFAULT_PRIORITY,
    DEFAULT_TIMEOUT,
    RETRY,
    OutboundWebhook,
    webhook_of,
)
from server.webhooks.signing import SIGN

__all__ = ["INBOUND", "OUTBOUND", "OutboundWebhook", "webhook_of"]

METHODS = ("POST", "PUT", "PATCH", "DELETE")

_SCHEDULE = Object(
    (
        Field(
            "schedule", ListOf(Duration("1ms", "30d"), 1, 100), "The pauses between tries, one by one.", required=True
        ),
        jitter(RETRY),
    ),
    name="retry with a schedule",
)
_GROWING = growing(RETRY, "30d", "retry with growing pauses")
_REQUEST = Object(
    (
        Field("method", Choice(METHODS), "The method.", default="POST"),
        Field(
            "path",
            TemplateText(PLACE),
            "Appended to the base path of the integration; values inside are percent-encoded.",
            example="/hooks/orders/{{ data.order_id }}",
        ),
        Field("headers", MappingOf(TemplateText(PLACE), rule=check_header), "Headers of your own."),
    ),
    name="request",
)


OUTBOUND = Kind(
    "Webhook",
    "Events to signed HTTP requests. Without `map` the Standard Webhooks payload `{type, timestamp, data}` is sent.",
    Object(
        (
            *head_fields("Webhook"),
            ACTIVE,
            Field("direction", Choice(("outbound",)), "`outbound`: events to requests.", required=True),
            Field("integration", Reference("Integration"), "The integration whose address and credentials are used."),
            Field("url", Url(), "A receiver that needs no integration."),
            Field("request", _REQUEST, "How the request is made."),
            Field(
                "events",
                ListOf(EventTypeName(wildcards=True, pins=True), 1, 100),
                "Which events are sent: `*` is one segment, `**` one or more; our own `crossdock.…` only by name. Events of an "
                "older version come as the newest, by its `upcast`; `order.created@1` asks for version 1 and nothing newer.",
                required=True,
            ),
            Field("when", ExpressionText(PLACE), "Only events for which this holds are sent; the others end skipped."),
            Field("order_by", ExpressionText(PLACE), "Events with the same value go out one after the other."),
            Field(
                "on_stuck",
                Choice(("block", "park", "skip")),
                "What a dead letter does to those behind it: `block`, they wait until it is retried or discarded; `park`, they "
                "are held meanwhile, and a resume sends them without it; `skip`, they go on.",
                default=DEFAULT_ON_STUCK,
            ),
            Field("sign", SIGN, "The signature that the receiver verifies."),
            Field(
                "retry",
                OneOf((Keyed(("schedule",), _SCHEDULE), _GROWING)),
                "When a failed try is repeated; without it as a policy says that the integration names, else at Standard Webhooks' pauses.",
                example="{schedule: [5s, 5m, 30m, 2h, 5h, 10h, 14h, 20h, 24h], jitter: 0.2}",
            ),
            Field("timeout", Duration("100ms", "5m"), "How long one try may take in all.", default=DEFAULT_TIMEOUT),
            Field(
                "expires",
                Duration("1s", "30d"),
                "After that a delivery is not tried again; a person's retry gives it as long once more.",
                default=DEFAULT_EXPIRES,
            ),
            Field("max_in_flight", Integer(1, 1000), "Requests under way at the same time.", default=DEFAULT_IN_FLIGHT),
            Field("map", MapValue(PLACE), "What is sent, made of the event; see the mapping language."),
            Field("tests", TESTS, "Given an event, which requests are sent."),
            Field(
                "priority",
                Choice(tuple(PRIORITIES)),
                "Which go first when more is waiting than can be sent; a low one waits longer, and never for ever.",
                default=DEFAULT_PRIORITY,
            ),
            Field(
                "fallback",
                call_form(PLACE, "Its input, made of the event.", required=True),
                "What is called instead when a delivery's tries are used up or its time is over.",
                example="{call: warehouse.request.send, with: {path: {value: /lost}, json: data}}",
            ),
            Field("auth", AUTH, "How the receiver at `url` knows us; an integration has an `auth` of its own."),
            Field("rate_limit", RATE_LIMIT, "How fast requests may go, beside the integration's own limit."),
        ),
        one_of=(("integration", "url"),),
        name="an outbound Webhook",
    ),
    variant=("direction", "outbound"),
    check=check_webhook,
    test=run_tests,
)
