"""The `tests:` of an inbound webhook: given a request, which events are emitted. No network, secret or server.

The request counts as verified and as never seen before. What was mapped is also checked against the schemas of the folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

from server.documents.comparing import differences
from server.documents.fields import CONTRADICTION, MISSING_KEY, Field, ListOf, MappingOf, Object
from server.documents.kinds import Outcome, canonical
from server.documents.nodes import ListNode, MappingNode
from server.documents.scalars import Boolean, Choice, EventTypeName, Fact, Integer, Text
from server.documents.schemas import compiled, violations
from server.documents.values import FreeJson
from server.events.catalogue import SCHEMA_VIOLATION
from server.events.envelope import from_json, to_json
from server.kernel.clock import rfc3339
from server.kernel.errors import CrossdockError, Failure, Permanent
from server.kernel.ids import show
from server.webhooks.inbound.answering import Made, refusal
from server.webhooks.inbound.emitting import Work
from server.webhooks.inbound.endpoint import METHODS
from server.webhooks.inbound.loading import Stored, definition_of, seen
from server.webhooks.inbound.mapping import Skipped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server.documents.catalog import Catalog
    from server.documents.checking import Checker
    from server.documents.kinds import Definition
    from server.events.envelope import NewEvent

_BODIES = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "xml": "application/xml",
    "csv": "text/csv",
    "body": "",
}
_ENDS = ("events", "skipped", "error")
_AT = datetime(2026, 1, 1, tzinfo=UTC)


def _one_body(node: MappingNode, checker: Checker) -> None:
    bodies = [key for key in (node.key(name) for name in _BODIES) if key is not None]
    for key in bodies[1:]:
        checker.error(CONTRADICTION, key, f'a request has one body, and "{bodies[0].value}" is one already')


def _something_expected(node: MappingNode, checker: Checker) -> None:
    if node.broken:
        return
    ends = [key for key in (node.key(name) for name in _ENDS) if key is not None]
    if not node.entries:
        checker.error(
            MISSING_KEY, node, "a test that expects nothing always passes: write events, skipped, error or answer"
        )
    for key in ends[1:]:
        checker.error(CONTRADICTION, key, f'a request ends in one way, and "{ends[0].value}" is one already')


_TEXT = Text(1_000_000, shortest=0)
_REQUEST = Object(
    (
        Field("method", Choice(METHODS), "The method.", default="POST"),
        Field("path", Text(2000), "The path, below the workspace's; the definition's own where nothing is said."),
        Field("params", MappingOf(Text(2000)), "The parameters of the path."),
        Field("query", MappingOf(Fact()), "The parameters of the query."),
        Field("headers", MappingOf(Text(8000, shortest=0)), "The headers, in any case."),
        Field("json", FreeJson(), "The body as JSON."),
        Field("form", MappingOf(Fact()), "The body as a form."),
        Field("xml", _TEXT, "The body as XML."),
        Field("csv", _TEXT, "The body as CSV."),
        Field("body", _TEXT, "The body as text, of whatever type the headers say."),
    ),
    rules=(_one_body,),
    name="a request",
)
_EVENT = Object(
    (
        Field("type", EventTypeName(), "Its type.", required=True),
        Field("subject", Text(512), "Its subject."),
        Field("data", FreeJson(), "All of its data."),
        Field("id", Text(256), "Its id."),
        Field("time", Text(100), "Its time."),
        Field("source", Text(512), "Its source."),
        Field("correlation", Text(128), "Its correlation."),
    ),
    name="an expected event",
)
TESTS = ListOf(
    Object(
        (
            Field("name", Text(200), "What the test shows, as a sentence.", required=True),
            Field(
                "given",
                Object(
                    (Field("request", _REQUEST, "The request; it counts as verified.", required=True),), name="given"
                ),
                "What comes.",
                required=True,
            ),
            Field(
                "expect",
                Object(
                    (
                        Field("events", ListOf(_EVENT), "Every event that is emitted, in order; `[]` for none."),
                        Field("skipped", Boolean(), "Whether nothing is emitted, and that is fine."),
                        Field("error", Text(100, r"[A-Z][A-Z0-9_]*", "an error code"), "The code of the dead letter."),
                        Field(
                            "answer",
                            Object(
                                (
                                    Field("status", Integer(100, 599), "The status."),
                                    Field("json", FreeJson(), "The whole body."),
                                ),
                                name="an expected answer",
                            ),
                            "What is answered; with `sync` it is made of the events.",
                        ),
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
    """What a request would become; `failure` is why it would be a dead letter."""

    events: Sequence[NewEvent] = ()
    skipped: str | None = None
    failure: Failure | None = None
    scope: Mapping[str, Any] = field(default_factory=dict)


def dry_run(body: Mapping[str, Any], given: Mapping[str, Any], catalog: Catalog) -> DryRun:
    """Map the request of a test by a checked definition."""
    scope: Mapping[str, Any] = {}
    try:
        definition = definition_of(body)
        request = request_of(body, given)
        scope = seen(definition.webhook, request)
        made = definition.mapper.run(scope, request.work.id, 1, "cor_test")
    except CrossdockError as error:
        return DryRun(failure=error.failure, scope=scope)
    if isinstance(made, Skipped):
        return DryRun(skipped=made.reason, scope=scope)
    return DryRun(made.events, failure=_violation(made.events, catalog), scope=scope)


def request_of(body: Mapping[str, Any], given: Mapping[str, Any]) -> Stored:
    """Build the stored request of a test; what it does not say is the same every time."""
    headers = {name.lower(): str(value) for name, value in given.get("headers", {}).items()}
    written, type_ = b"", ""
    for name, of in _BODIES.items():
        if name in given:
            written, type_ = _written(name, given[name]), of
    if type_:
        headers.setdefault("content-type", type_)
    query = urlencode({name: _plain(value) for name, value in given.get("query", {}).items()})
    work = Work(
        id=UUID(int=0),
        webhook_id=UUID(int=0),
        webhook=body["name"],
        definition_version=1,
        round=1,
        received_at=_AT,
        correlation_id="cor_test",
    )
    return Stored(
        work=work,
        state="received",
        method=given.get("method", "POST"),
        path=given.get("path", body["path"]),
        query=query,
        params=given.get("params", {}),
        headers=headers,
        body=written,
        message_id="",
        client="127.0.0.1",
    )


def _written(name: str, value: Any) -> bytes:
    if name == "json":
        return canonical(value)
    if name == "form":
        return urlencode({key: _plain(each) for key, each in value.items()}).encode()
    return str(value).encode()


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value).decode()


def _violation(events: Sequence[NewEvent], catalog: Catalog) -> Failure | None:
    """Return the first way in which an event breaks the newest schema of its type, as publishing would refuse it."""
    for number, event in enumerate(events):
        bodies = list(catalog.bodies("EventType", event.type))
        if event.schema_version is not None:
            bodies = [each for each in bodies if each.get("version", 1) == event.schema_version]
        newest = max(bodies, key=lambda each: int(each.get("version", 1)), default=None)
        schema = newest.get("schema") if newest else None
        validator = compiled(schema) if isinstance(schema, dict) else None
        found = next(iter(violations(validator, from_json(event.data))), None) if validator else None
        if found is not None:
            pointer = "".join(f"/{step}" for step in found.pointer)
            return Failure(SCHEMA_VIOLATION, found.message, "events", {"pointer": f"/{number}/data{pointer}"})
    return None


def run_tests(definition: Definition, catalog: Catalog) -> list[Outcome]:
    """Run every test of a checked inbound webhook."""
    body = definition.body
    nodes = definition.node.get("tests")
    items = nodes.items if isinstance(nodes, ListNode) else []
    outcomes = []
    for test, node in zip(body.get("tests", []), items, strict=False):
        played = dry_run(body, test["given"]["request"], catalog)
        found = _compare(body, test["expect"], played)
        outcomes.append(Outcome(definition.label, test["name"], definition.file, node.line, node.col, tuple(found)))
    return outcomes


def _compare(body: Mapping[str, Any], expect: Mapping[str, Any], played: DryRun) -> list[str]:
    found: list[str] = []
    code = played.failure.code if played.failure else None
    if "error" in expect:
        found += differences("error", expect["error"], code)
    elif played.failure is not None:
        found.append(f"the request becomes a dead letter: {_why(played.failure)}")
    if "skipped" in expect:
        found += differences("skipped", expect["skipped"], played.skipped is not None)
    if "events" in expect and played.failure is None:
        found += _compare_events(expect["events"], played.events)
    if "answer" in expect:
        found += _compare_answer(body, expect["answer"], played)
    return found


def _compare_events(expected: list[dict[str, Any]], events: Sequence[NewEvent]) -> list[str]:
    if len(expected) != len(events):
        emitted = [f"emitted: {each.type} {each.subject or ''} {each.data[:300]}" for each in events[:3]]
        return [f"events: expected {len(expected)}, emitted {len(events)}", *emitted]
    found = []
    for number, (wanted, event) in enumerate(zip(expected, events, strict=True)):
        actual = _shown(event)
        for key, value in wanted.items():
            found += differences(f"events[{number}].{key}", value, actual[key])
    return found


def emitted(body: Mapping[str, Any], given: Mapping[str, Any], catalog: Catalog) -> list[dict[str, Any]]:
    """Return the events that an inbound webhook would make of a request, as tests compare them: what sync jobs that fill it ask.

    Raises:
        Permanent: the request becomes a dead letter, with the code of that.

    """
    played = dry_run(body, given, catalog)
    if played.failure is not None:
        raise Permanent(played.failure.message, code=played.failure.code, source=played.failure.source)
    return [_shown(each) for each in played.events]


def _shown(event: NewEvent) -> dict[str, Any]:
    return {
        "type": event.type,
        "subject": event.subject,
        "data": from_json(event.data),
        "id": event.id,
        "time": rfc3339(event.time) if event.time else None,
        "source": event.source,
        "correlation": event.correlation_id,
    }


def _compare_answer(body: Mapping[str, Any], expected: Mapping[str, Any], played: DryRun) -> list[str]:
    made = _answer(body, played)
    found = differences("answer.status", expected["status"], made.status) if "status" in expected else []
    if "json" in expected:
        found += differences("answer.json", expected["json"], made.json)
    return [*found, *([f"the answer's map failed: {_why(made.noted)}"] if made.noted else [])]


def _answer(body: Mapping[str, Any], played: DryRun) -> Made:
    """Return what would be answered: before mapping, or with `sync` after it."""
    definition, request = definition_of(body), show("req", UUID(int=0))
    if not definition.webhook.sync:
        said = definition.webhook.answer
        return Made(
            said.status, said.content_type, to_json({"id": request}).encode() if said.body is None else said.body
        )
    if played.failure is not None:
        return refusal(request, played.failure)
    return definition.answerer(played.scope, request, played.events)


def _why(failure: Failure) -> str:
    details = [
        f"{key} {failure.details[key]}" for key in ("expression", "value", "pointer") if failure.details.get(key)
    ]
    return f"{failure.code} {failure.message}" + (f" ({', '.join(details)})" if details else "")
