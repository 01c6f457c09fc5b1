"""The `tests:` of an outbound webhook: given an event, which requests are sent. No network, secret or server."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from server.documents.comparing import differences
from server.documents.fields import MISSING_KEY, WRONG_VALUE, Field, FieldType, ListOf, MappingOf, Object
from server.documents.findings import shown
from server.documents.kinds import Outcome
from server.documents.nodes import ListNode, MappingNode, Node, ScalarNode
from server.documents.scalars import Choice, EventTypeName, Integer, Text, text_of
from server.documents.values import FreeJson
from server.events.envelope import Event, to_json
from server.integrations.auth_fields import written_by as shown_by
from server.integrations.spec import base_path_of
from server.kernel.clock import parse_rfc3339
from server.kernel.errors import CrossdockError, Failure
from server.webhooks.outbound import OutboundWebhook, webhook_of
from server.webhooks.outcomes import verdict
from server.webhooks.rendering import Rendered, Skipped, render
from server.webhooks.signing import written_by

if TYPE_CHECKING:
    from server.documents.catalog import Catalog
    from server.documents.checking import Checker
    from server.documents.kinds import Definition

End = Literal["delivered", "skipped", "waiting", "dead"]
_ENDS: tuple[End, ...] = ("delivered", "skipped", "waiting", "dead")
_ANSWER = 204
_TIME = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class Moment(FieldType):
    """A moment as RFC 3339 text."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check that it can be read."""
        text = text_of(node, checker, "a time like 2026-01-01T00:00:00Z")
        if text is None:
            return
        try:
            parse_rfc3339(text)
        except ValueError:
            checker.error(WRONG_VALUE, node, f"a time like 2026-01-01T00:00:00Z is needed, found {shown(text)}")

    def schema(self) -> dict[str, Any]:
        """Return the schema of the text."""
        return {"type": "string"}

    def label(self) -> str:
        """Return `time`."""
        return "time"


def _something_expected(node: MappingNode, checker: Checker) -> None:
    if not node.entries and not node.broken:
        checker.error(MISSING_KEY, node, "a test that expects nothing always passes: write requests or status")


TESTS = ListOf(
    Object(
        (
            Field("name", Text(200), "What the test shows, as a sentence.", required=True),
            Field(
                "given",
                Object(
                    (
                        Field("event", EventTypeName(), "The event's type.", required=True),
                        Field("data", FreeJson(), "The event's data.", required=True),
                        Field("id", Text(256), "The event's id.", default="evt_test"),
                        Field("source", Text(256), "The event's source.", default="test"),
                        Field("subject", Text(256), "The event's subject."),
                        Field("time", Moment(), "When it happened.", default=_TIME),
                        Field("correlation_id", Text(256), "The event's correlation.", default="evt_test"),
                    ),
                    name="given",
                ),
                "The event.",
                required=True,
            ),
            Field(
                "answers",
                ListOf(
                    Object(
                        (Field("status", Integer(100, 599), "The receiver's HTTP status.", required=True),),
                        name="an answer",
                    ),
                    1,
                    100,
                ),
                "What the receiver answers, try by try; `204` where nothing is said.",
            ),
            Field(
                "expect",
                Object(
                    (
                        Field(
                            "requests",
                            ListOf(
                                Object(
                                    (
                                        Field("method", Text(10), "The method."),
                                        Field("path", Text(2048), "The path, with the integration's base path."),
                                        Field(
                                            "headers", MappingOf(Text(2000, shortest=0)), "Headers among those sent."
                                        ),
                                        Field("json", FreeJson(), "The whole body."),
                                    ),
                                    name="an expected request",
                                )
                            ),
                            "Every request that is sent, in order; `[]` for none.",
                        ),
                        Field("status", Choice(_ENDS), "How the delivery stands after the answers."),
                    ),
                    rules=(_something_expected,),
                    name="expect",
                ),
                "What must come of it.",
                required=True,
            ),
        ),
        name="a test",
    ),
    most=200,
)


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a webhook would do with an event and a row of answers; `failure` is why it ended dead before sending."""

    requests: tuple[Rendered, ...]
    end: End
    answers_used: int = 0
    failure: Failure | None = None


def dry_run(webhook: OutboundWebhook, event: Event, base_path: str, answers: list[int]) -> DryRun:
    """Play one delivery: the request of each try, until an answer ends it."""
    try:
        rendered = render(webhook, event, base_path)
    except CrossdockError as error:
        return DryRun((), "dead", failure=error.failure)
    if isinstance(rendered, Skipped):
        return DryRun((), "skipped")
    rendered = replace(rendered, headers=rendered.headers | added_by(webhook))
    end: End = "waiting"
    tried = 0
    for status in answers[: webhook.retry.tries]:
        tried += 1
        meaning = verdict(status)
        if meaning != "retry":
            end = "delivered" if meaning == "delivered" else "dead"
            break
    if end == "waiting" and tried == webhook.retry.tries:
        end = "dead"
    return DryRun((rendered,) * tried, end, tried)


def added_by(webhook: OutboundWebhook) -> dict[str, str]:
    """Return the headers that authentication and signature add, with placeholders for what only a secret can make."""
    shown = shown_by(webhook.auth) if webhook.auth else {}
    return shown | (written_by(webhook.sign) if webhook.sign else {})


def run_tests(definition: Definition, catalog: Catalog) -> list[Outcome]:
    """Run the tests of a checked webhook."""
    webhook = webhook_of(definition.body)
    base_path = _base_path(webhook, catalog)
    nodes = definition.node.get("tests")
    items = nodes.items if isinstance(nodes, ListNode) else []
    outcomes = []
    for node, case in zip(items, definition.body.get("tests", []), strict=True):
        given = case["given"]
        answers = [int(answer["status"]) for answer in case.get("answers", [])]
        played = dry_run(webhook, event_of(given), base_path, answers or [_ANSWER])
        found = _compare(case["expect"], played, answers)
        outcomes.append(Outcome(definition.label, case["name"], node.source.file, node.line, node.col, tuple(found)))
    return outcomes


def _base_path(webhook: OutboundWebhook, catalog: Catalog) -> str:
    if webhook.url is not None:
        return urlsplit(webhook.url).path.rstrip("/")
    bodies = catalog.bodies("Integration", webhook.integration or "")
    return next((base_path_of(body, catalog) for body in bodies), "")


def event_of(given: dict[str, Any]) -> Event:
    """Build the event of a test; what it does not say is the same every time."""
    time = parse_rfc3339(given.get("time", _TIME))
    return Event(
        uid=UUID(int=0),
        workspace_id=0,
        id=given.get("id", "evt_test"),
        source=given.get("source", "test"),
        type=given["event"],
        subject=given.get("subject"),
        time=time,
        recorded_at=time,
        data=to_json(given["data"]),
        correlation_id=given.get("correlation_id", "evt_test"),
        causation_id=None,
        principal="test",
    )


def _compare(expect: dict[str, Any], played: DryRun, answers: list[int]) -> list[str]:
    found: list[str] = []
    if "status" in expect:
        found += differences("status", expect["status"], played.end)
    if "requests" in expect:
        found += _compare_requests(expect["requests"], played.requests)
    if played.failure is not None and (found or "status" not in expect):
        found.append(f"the delivery ended dead: {_why(played.failure)}")
    if played.requests and len(answers) > played.answers_used:
        found.append(f"answers[{played.answers_used}] was never asked for: the delivery had ended {played.end}")
    return found


def _why(failure: Failure) -> str:
    details = [
        f"{key} {failure.details[key]}" for key in ("expression", "value", "pointer") if failure.details.get(key)
    ]
    return f"{failure.code} {failure.message}" + (f" ({', '.join(details)})" if details else "")


def _compare_requests(expected: list[dict[str, Any]], requests: tuple[Rendered, ...]) -> list[str]:
    if len(expected) != len(requests):
        sent = [f"{each.method} {each.path} {each.body.decode()[:300]}" for each in requests[:3]]
        return [f"requests: expected {len(expected)}, sent {len(requests)}", *(f"sent: {each}" for each in sent)]
    found = []
    for number, (wanted, request) in enumerate(zip(expected, requests, strict=True)):
        place = f"requests[{number}]"
        for key in ("method", "path", "json"):
            if key in wanted:
                found += differences(f"{place}.{key}", wanted[key], getattr(request, key))
        sent_headers = {name.lower(): value for name, value in request.headers.items()}
        for name, value in wanted.get("headers", {}).items():
            found += differences(f"{place}.headers.{name}", value, sent_headers.get(name.lower()))
    return found


def given_events(root: MappingNode) -> list[tuple[ScalarNode, Node | None]]:
    """Return the event type and data of each test that says one."""
    tests = root.get("tests")
    found = []
    for test in tests.items if isinstance(tests, ListNode) else []:
        given = test.get("given") if isinstance(test, MappingNode) else None
        event = given.get("event") if isinstance(given, MappingNode) else None
        if isinstance(given, MappingNode) and isinstance(event, ScalarNode) and isinstance(event.value, str):
            found.append((event, given.get("data")))
    return found
