"""The `tests:` of a flow: given an event and answers, which calls are made, what is undone, and how the run ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.documents.comparing import differences
from server.documents.fields import CONTRADICTION, MISSING_KEY, Field, Keyed, ListOf, MappingOf, Object, OneOf
from server.documents.kinds import Outcome
from server.documents.nodes import ListNode
from server.documents.scalars import Boolean, Choice, Duration, EventTypeName, Text
from server.documents.schemas import compiled, violations
from server.documents.values import FreeJson
from server.flows.flow import flow_of
from server.flows.playing import STARTED, Given, Play, moment_of, seconds_after
from server.integrations.fallback import split_call
from server.kernel.clock import rfc3339
from server.kernel.errors import CrossdockError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from server.documents.catalog import Catalog
    from server.documents.checking import Checker
    from server.documents.kinds import Definition
    from server.documents.nodes import MappingNode
    from server.flows.flow import Flow
    from server.flows.playing import Played

STATUSES = ("completed", "failed", "compensated", "compensation_failed", "waiting", "not_started")
_EVENT = {"id": "evt_test", "source": "test", "subject": None, "correlation_id": "cor_test", "causation_id": None}


def _something_expected(node: MappingNode, checker: Checker) -> None:
    if not node.entries and not node.broken:
        checker.error(MISSING_KEY, node, "a test that expects nothing always passes: write status, calls, events, …")


def _event_or_input(node: MappingNode, checker: Checker) -> None:
    subject = node.key("subject")
    if subject is not None and node.get("event") is None:
        checker.error(CONTRADICTION, subject, '"subject" goes with "event"')


_ERROR = Object(
    (
        Field("code", Text(100), "Its code.", default="FAILED"),
        Field("message", Text(1000), "Its message."),
        Field("retryable", Boolean(), "Whether it may pass: then the call is repeated as `retry` says.", default=False),
        Field("details", FreeJson(mapping=True), "More of it."),
    ),
    name="an error",
)
_EMITTED = OneOf(
    (
        Object(
            (
                Field("type", EventTypeName(), "Its type.", required=True),
                Field("subject", FreeJson(), "Its subject."),
                Field("data", FreeJson(), "Its data."),
            ),
            name="an event",
        ),
        EventTypeName(),
    )
)
_CALLED = OneOf(
    (
        Keyed(
            ("call",),
            Object(
                (
                    Field("call", Text(200), "Its name.", required=True),
                    Field("with", FreeJson(), "What it is made with."),
                ),
                name="a call",
            ),
        ),
        Text(200, about="a call like erp.orders.create, or flow/NAME"),
    )
)
_GIVEN = Object(
    (
        Field("event", EventTypeName(), "The type of the event that starts it; without it it is started by a call."),
        Field("data", FreeJson(), "The event's data, or what the call gives.", required=True),
        Field("subject", Text(256), "The event's subject."),
    ),
    rules=(_event_or_input,),
    name="given",
)
_ARRIVES = Object(
    (
        Field("type", EventTypeName(), "Its type.", required=True),
        Field("data", FreeJson(), "Its data.", default={}),
        Field("subject", Text(256), "Its subject."),
        Field("after", Duration("0s", "365d"), "So long after the run began; without this it was there before."),
    ),
    name="an event that arrives",
)
_APPROVAL = Object(
    (
        Field("approved", Boolean(), "What was decided.", required=True),
        Field("by", Text(200), "By whom."),
        Field("comment", Text(2000), "Why."),
    ),
    name="an approval",
)
_EXPECT = Object(
    (
        Field("status", Choice(STATUSES), "How the run ends; `not_started` where `when` is false."),
        Field(
            "calls",
            ListOf(_CALLED),
            "Every call in its order, undos too; one that is repeated under its key stands once, a flow's run as `flow/NAME`.",
        ),
        Field("events", ListOf(_EMITTED), "Every event that is emitted, in order."),
        Field("output", FreeJson(), "What the run answers."),
        Field("steps", MappingOf(FreeJson()), "What `steps.ID` is at the end, for some of them."),
        Field("error", Text(100), "The code of the failure that ended it, or for which it was undone."),
    ),
    rules=(_something_expected,),
    name="expect",
)
TESTS = ListOf(
    Object(
        (
            Field("name", Text(200), "What the test shows, as a sentence.", required=True),
            Field("given", _GIVEN, "What starts it.", required=True),
            Field(
                "answers",
                MappingOf(
                    OneOf(
                        (
                            Keyed(("error",), Object((Field("error", _ERROR, "It fails."),), name="an answer")),
                            FreeJson(),
                        )
                    )
                ),
                "What each call answers, by step; `ID.undo` and `ID.on_error` name those beside it. A list holds one for each item, or "
                "for each try; `{error: {…}}` is a failure, `{value: X}` just X, as for an answer that is a list.",
            ),
            Field("arrives", ListOf(_ARRIVES), "Events that `wait_for` sees."),
            Field("approvals", MappingOf(_APPROVAL), "What persons decide, by step."),
            Field("expect", _EXPECT, "What must come of it.", required=True),
        ),
        name="a test",
    ),
    most=200,
)


def run_tests(definition: Definition, catalog: Catalog) -> list[Outcome]:
    """Run the tests of a checked flow."""
    flow = flow_of(definition.body)
    nodes = definition.node.get("tests")
    items = nodes.items if isinstance(nodes, ListNode) else []
    outcomes = []
    for node, case in zip(items, definition.body.get("tests", []), strict=True):
        found = tuple(_played(flow, case, _judging(catalog)))
        outcomes.append(Outcome(definition.label, case["name"], node.source.file, node.line, node.col, found))
    return outcomes


def _played(flow: Flow, case: Mapping[str, Any], judged: Callable[[str, Any], list[str]]) -> list[str]:
    expect = case["expect"]
    try:
        play = Play(flow, _given(case), judged)
        if not play.starts():
            return differences("status", expect.get("status"), "not_started")
        played = play.play(waits=expect.get("status") == "waiting")
    except CrossdockError as error:
        return [f"the run cannot start: {error.failure.code} {error.failure.message}"]
    found = [*_compare(expect, played), *played.problems]
    if found or "status" not in expect:
        found += _why(expect, played)
    return found


def _given(case: Mapping[str, Any]) -> Given:
    given = case["given"]
    event = _view(given["event"], given.get("subject"), STARTED, "evt_test") if "event" in given else None
    arrives = []
    for number, each in enumerate(case.get("arrives", []), 1):
        after = seconds_after(each)
        view = _view(each["type"], each.get("subject"), rfc3339(moment_of(after)), f"evt_arrived_{number}")
        arrives.append((after, {**view, "data": each.get("data", {})}))
    return Given(event, given["data"], case.get("answers", {}), tuple(arrives), case.get("approvals", {}))


def _view(type_: str, subject: str | None, time: str, identity: str) -> dict[str, Any]:
    return {
        **_EVENT,
        "id": identity,
        "type": type_,
        "subject": subject,
        "time": time,
        "recorded_at": time,
        "schema_version": None,
    }


def _compare(expect: Mapping[str, Any], played: Played) -> list[str]:
    found: list[str] = []
    if "status" in expect:
        found += differences("status", expect["status"], played.status)
    if "calls" in expect:
        found += _compare_each(
            "calls", expect["calls"], [{"call": each.call, "with": each.input} for each in played.calls], "call"
        )
    if "events" in expect:
        found += _compare_each("events", expect["events"], played.events, "type")
    if "output" in expect:
        found += differences("output", expect["output"], played.output)
    if "error" in expect:
        found += differences("error", expect["error"], (played.error or {}).get("code"))
    for name, wanted in expect.get("steps", {}).items():
        found += differences(f"steps.{name}", wanted, played.steps.get(name))
    return found


def _compare_each(place: str, expected: list[Any], actual: list[dict[str, Any]], name: str) -> list[str]:
    """Compare lists whose entries are names, or objects of which some fields are told."""
    names = [each if isinstance(each, str) else each[name] for each in expected]
    found = differences(place, names, [each[name] for each in actual])
    for number, (wanted, was) in enumerate(zip(expected, actual, strict=False)):
        if isinstance(wanted, dict) and names[number] == was[name]:
            for key in wanted:
                found += differences(f"{place}[{number}].{key}", wanted[key], was[key])
    return found


def _why(expect: Mapping[str, Any], played: Played) -> list[str]:
    found = [
        f"step {path} failed: {error.get('code')} {error.get('message')}" for path, error in played.failures.items()
    ]
    if played.error and not found and played.status != expect.get("status"):
        found.append(f"the run failed: {played.error.get('code')} {played.error.get('message')}")
    return found


def _judging(catalog: Catalog) -> Callable[[str, Any], list[str]]:
    """Return what says how an input breaks the schema of its operation, or of a flow, or data (`@TYPE`) that of its event type."""

    def judged(name: str, value: Any) -> list[str]:
        schema = _schema(catalog, name)
        validator = compiled(schema) if isinstance(schema, dict) and schema else None
        if validator is None:
            return []
        return [
            f"{'/'.join(map(str, each.pointer)) or 'all of it'}: {each.message}"
            for each in violations(validator, value)
        ]

    return judged


def _schema(catalog: Catalog, name: str) -> Any:
    if name.startswith("@"):
        bodies = catalog.bodies("EventType", name[1:])
        return max(bodies, key=lambda body: int(body.get("version", 1)), default={}).get("schema")
    if name.startswith("flow/"):
        return next((body.get("input") for body in catalog.bodies("Flow", name[5:])), None)
    parts = split_call(name)
    body: Mapping[str, Any] = next(iter(catalog.bodies("Integration", parts[0])), {}) if parts else {}
    facts = catalog.plugins.get(str(body.get("plugin")))
    operation = facts.operations.get(parts[1]) if facts is not None and parts else None
    return dict(operation.input_schema) if operation is not None else None
