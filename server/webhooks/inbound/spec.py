"""The declaration of an inbound Webhook: who may send, what is taken, what it means, what is answered."""

from __future__ import annotations

from server.documents.expressions import ExpressionText, MapValue
from server.documents.fields import Field, ListOf, MappingOf, Object
from server.documents.kinds import ACTIVE, Kind, head_fields
from server.documents.scalars import Boolean, Choice, Duration, Integer, Text
from server.documents.values import FreeJson
from server.integrations.spec import RATE_LIMIT
from server.queue.claims import PRIORITIES
from server.webhooks.inbound.answering import PLACE as ANSWER_PLACE
from server.webhooks.inbound.check import check_inbound
from server.webhooks.inbound.dry_run import TESTS, run_tests
from server.webhooks.inbound.emit_fields import EMIT
from server.webhooks.inbound.endpoint import (
    CONTENT_TYPES,
    DEFAULT_MAX_BODY,
    DEFAULT_PRIORITY,
    DEFAULT_STATUS,
    DEFAULT_TTL,
    FORMATS,
    LARGEST_BODY,
    METHODS,
    PLACE,
)
from server.webhooks.inbound.fields import MediaType, PathText
from server.webhooks.verifiers.fields import Cidr
from server.webhooks.verifiers.registry import VERIFY

_ANSWER = Object(
    (
        Field("status", Integer(200, 299), "The status.", default=DEFAULT_STATUS),
        Field(
            "body",
            FreeJson(),
            "The body: a text is sent as it is, anything else as JSON; `{id}` of the stored request where nothing is said.",
        ),
        Field(
            "map",
            MapValue(ANSWER_PLACE),
            "With `sync`: the body, made of the request and its `events` (`id`, `type`, `subject`, `data` of each). Without it "
            "`{id, events}` is answered, with status 200.",
        ),
        Field("content_type", Text(200, r"[\x21-\x7e][\x20-\x7e]*"), "The Content-Type of the body."),
        Field("headers", MappingOf(Text(1000, r"[\t\x20-\x7e]*", "printable ASCII"), most=20), "Headers of your own."),
    ),
    name="answer",
)

INBOUND = Kind(
    "Webhook",
    "Verified HTTP requests to events: stored before they are answered, mapped by the worker, never twice.",
    Object(
        (
            *head_fields("Webhook"),
            ACTIVE,
            Field("direction", Choice(("inbound",)), "`inbound`: requests to events.", required=True),
            Field(
                "path",
                PathText(),
                "Requests to `/in/{organization}/{workspace}/{path}` are taken; unique in the workspace.",
                required=True,
                example="shop/{shop}/orders",
            ),
            Field("methods", ListOf(Choice(METHODS), 1, len(METHODS)), "The methods taken.", default=["POST"]),
            Field(
                "content_types",
                ListOf(MediaType(), 1, 20),
                "The content types taken; a body without one counts as the first.",
                default=list(CONTENT_TYPES),
            ),
            Field(
                "format",
                Choice(FORMATS),
                "How the body is read, where the content type does not tell: `json` in text/plain.",
            ),
            Field("verify", VERIFY, "How the sender proves who it is.", required=True),
            Field("allow_networks", ListOf(Cidr(), 1, 200), "Senders' networks; requests from elsewhere are refused."),
            Field(
                "max_body",
                Integer(1, LARGEST_BODY),
                "Largest body in bytes; never more than `CROSSDOCK_BODY_LIMIT`.",
                default=DEFAULT_MAX_BODY,
            ),
            Field(
                "decompress",
                Boolean(),
                "Whether bodies may come as gzip or deflate: up to `max_body` when unpacked, and a hundredfold of what came.",
                default=False,
            ),
            Field("rate_limit", RATE_LIMIT, "How fast requests may come; more are answered 429."),
            Field(
                "dedupe",
                Object(
                    (
                        Field(
                            "key",
                            ExpressionText(PLACE),
                            "Requests with the same value are one; null leaves it to the scheme.",
                        ),
                        Field("ttl", Duration("1h", "90d"), "How long a key is remembered.", default=DEFAULT_TTL),
                    ),
                    name="dedupe",
                ),
                "What makes two requests the same. Without a `key` the scheme's own id of the message does.",
            ),
            Field(
                "version",
                ExpressionText(PLACE),
                "The version of what the request is about: one older than the newest seen of the subject is stale.",
            ),
            Field(
                "when", ExpressionText(PLACE), "Only requests for which this holds are mapped; the others end skipped."
            ),
            Field(
                "emit",
                EMIT,
                "What a request becomes: an event, a list of several, or one for `each` item of a list.",
                required=True,
            ),
            Field("answer", _ANSWER, "What is answered once the request is stored."),
            Field(
                "sync",
                Boolean(),
                "Whether the request is mapped before it is answered: for senders that need the result.",
                default=False,
            ),
            Field(
                "priority",
                Choice(tuple(PRIORITIES)),
                "Which are mapped first when more is waiting than can be.",
                default=DEFAULT_PRIORITY,
            ),
            Field("tests", TESTS, "Given a request, which events are emitted."),
        ),
        name="an inbound Webhook",
    ),
    variant=("direction", "inbound"),
    check=check_inbound,
    test=run_tests,
)
