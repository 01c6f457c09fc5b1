"""What a step takes, by its kind. Steps stand in steps, so the list of forms is made when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from server.documents.expressions import ExpressionText, MapValue, TemplateText
from server.documents.fields import (
    CONTRADICTION,
    MISSING_KEY,
    UNKNOWN_KEY,
    Field,
    FieldType,
    ListOf,
    MappingOf,
    Object,
    OneOf,
    wrong_type,
)
from server.documents.findings import nearest, shown
from server.documents.nodes import MappingNode, Node
from server.documents.scalars import Choice, Const, Duration, EventTypeName, Integer
from server.documents.values import Quiet, Reference
from server.flows import flow
from server.flows.fields import CALL_TIMEOUT, LIMIT, LONG, RETRY, STEP_ID, Values, calling, place_of
from server.web.permissions import TOKEN_ROLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from server.documents.checking import Checker

FIRST = ("call", "emit", "wait_for", "sleep", "parallel", "choose", "set", "flow", "approve", "atomic", "for_each")
"""The words that say what a step does. `for_each` comes last: beside `call` it says how often."""
MOST_STEPS = 200
ERROR_PLACE = "flow_error"


def kind_of(node: MappingNode) -> str | None:
    """Return what a step does by its keys; None where they do not say it."""
    return next((kind for kind in FIRST if node.key(kind) is not None), None)


@dataclass(frozen=True)
class StepType(FieldType):
    """One step; `item` says whether it stands inside a `for_each`."""

    item: bool = False

    def check(self, node: Node, checker: Checker) -> None:
        """Find out what the step does, and check it by the form of that."""
        if not isinstance(node, MappingNode):
            wrong_type(node, "a step (a mapping with id and what it does)", checker)
            return
        kind = kind_of(node)
        if kind is None:
            _nothing_said(node, checker)
            return
        every = forms(item=self.item)
        if kind == "call" and node.key("for_each") is not None:
            every["call_each"].check(node, checker)
            return
        for other in FIRST:
            extra = node.key(other) if other != kind else None
            if extra is not None:
                checker.error(CONTRADICTION, extra, f'"{other}" cannot stand beside "{kind}": a step does one thing')
                node = MappingNode(node.source, node.line, node.col, [e for e in node.entries if e[0] is not extra])
        every[kind].check(node, checker)

    def schema(self) -> dict[str, Any]:
        """Return a reference to the schema of all steps."""
        return {"$ref": "#/$defs/step"}

    def label(self) -> str:
        """Return `step`."""
        return "step"

    def accepts(self, node: Node) -> bool:
        """Say whether it is a mapping."""
        return isinstance(node, MappingNode)

    def below(self) -> Iterator[tuple[str, Field]]:
        """Yield the fields of every kind of step, each path once."""
        seen: set[str] = set()
        for form in forms(item=self.item).values():
            for path, inner in form.below():
                if path not in seen:
                    seen.add(path)
                    yield path, inner


def _nothing_said(node: MappingNode, checker: Checker) -> None:
    known = ("id", "when", "with", "undo", "steps", "limit", "timeout", "retry", "on_error")
    unknown = next((key for key, _ in node.entries if key.value not in known), None)
    if unknown is not None:
        near = nearest(str(unknown.value), FIRST)
        checker.error(UNKNOWN_KEY, unknown, f"{shown(unknown.value)} is nothing that a step does", near)
    elif not node.broken:
        checker.error(MISSING_KEY, node, f"what the step does is missing: one of {', '.join(FIRST)}")


def _steps(*, item: bool) -> FieldType:
    return Quiet(ListOf(StepType(item), 1, MOST_STEPS), "list of steps")


def step_definition() -> dict[str, Any]:
    """Return the JSON Schema of any step, for `$defs`."""
    return {
        "step": {"description": "One step of a flow.", "anyOf": [each.schema() for each in forms(item=True).values()]}
    }


@cache
def forms(*, item: bool) -> Mapping[str, Object]:
    """Return what a step takes by the word that says what it does; `call_each` is `call` with `for_each`."""
    plain = place_of(flow.PLACE, item=item)
    lasting = Field("timeout", LONG, "How long it may take in all.")
    on_error = _on_error(item=item)
    head = _head(plain)
    return {
        "call": Object(
            (*head, *calling(plain, "The operation that is called."), _undo(item=item), CALL_TIMEOUT, RETRY, on_error),
            name="a call step",
        ),
        "call_each": Object(
            (
                *head,
                Field(
                    "for_each",
                    ExpressionText(plain),
                    "A list: the call, or else the steps, are done once per `item`.",
                    required=True,
                ),
                LIMIT,
                *calling(place_of(flow.PLACE, item=True), "The operation that is called."),
                _undo(item=True),
                CALL_TIMEOUT,
                RETRY,
                _on_error(item=True),
            ),
            name="a call step",
        ),
        "for_each": Object(
            (
                *head,
                Field("for_each", ExpressionText(plain), "A list: the steps are done per `item`.", required=True),
                LIMIT,
                Field("steps", _steps(item=True), "What is done for each item, one after the other.", required=True),
                lasting,
                on_error,
            ),
            name="a for_each step",
        ),
        "parallel": Object((*head, _parallel(item=item), lasting, on_error), name="a parallel step"),
        "choose": Object((*head, _choose(plain, item=item), lasting, on_error), name="a choose step"),
        "atomic": Object((*head, _atomic(plain, item=item), CALL_TIMEOUT, RETRY, on_error), name="an atomic step"),
        "emit": Object((*head, _emit(plain), on_error), name="an emit step"),
        "wait_for": Object((*head, _wait_for(plain, item=item), on_error), name="a wait_for step"),
        "sleep": Object((*head, _sleep(plain), on_error), name="a sleep step"),
        "set": Object(
            (*head, Field("set", Values(plain), "Values by name, for the steps after it.", required=True), on_error),
            name="a set step",
        ),
        "flow": Object((*head, *_child(plain), lasting, on_error), name="a flow step"),
        "approve": Object((*head, _approve(plain), on_error), name="an approve step"),
    }


def _head(place: str) -> tuple[Field, Field]:
    return (
        Field("id", STEP_ID, "Its name: `steps.ID` is what it gave. Unique in the flow.", required=True),
        Field("when", ExpressionText(place), "Where this does not hold the step is skipped, and `steps.ID` is null."),
    )


def _on_error(*, item: bool) -> Field:
    instead = Object(
        calling(place_of(ERROR_PLACE, item=item), "The operation that is called instead."), name="on_error"
    )
    return Field(
        "on_error",
        OneOf((Choice(("compensate", "fail", "continue")), instead)),
        "What happens when the step fails for good: all that was done is undone, the run stops and keeps what was done, it goes on "
        "with null, or something else is called whose answer counts.",
        default="compensate",
    )


def _undo(*, item: bool) -> Field:
    place = place_of(flow.UNDO_PLACE, item=item)
    own = Object((*calling(place, "The operation that takes the effect back."), CALL_TIMEOUT, RETRY), name="undo")
    return Field(
        "undo",
        own,
        "What takes the effect of the call back, when the run fails later; `result` is what the call answered.",
    )


def _parallel(*, item: bool) -> Field:
    return Field(
        "parallel",
        Quiet(MappingOf(ListOf(StepType(item), 1, MOST_STEPS), STEP_ID, 20), "mapping to lists of steps"),
        "Branches by name, 2 to 20, done at the same time; the steps of all of them are seen afterwards.",
        required=True,
    )


def _choose(place: str, *, item: bool) -> Field:
    one = Object(
        (
            Field("when", ExpressionText(place), "Taken where this holds; without it, always: the last one alone."),
            Field("steps", _steps(item=item), "What is done then.", required=True),
        ),
        name="a branch of choose",
    )
    return Field("choose", ListOf(one, 1, 50), "The first branch that fits is done, the others are not.", required=True)


def _atomic(place: str, *, item: bool) -> Field:
    identity = _head(place)[0]
    one = Object((identity, *calling(place, "The operation."), _undo(item=item)), name="a call of atomic")
    return Field(
        "atomic",
        ListOf(one, 1, 50),
        "Calls of one integration, in one transaction of its own: all of them are done, or none.",
        required=True,
    )


def _emit(place: str) -> Field:
    return Field(
        "emit",
        Object(
            (
                Field("type", EventTypeName(ours=False), "The type of the event.", required=True),
                Field("subject", MapValue(place), "What it is about."),
                Field("data", MapValue(place), "What it says."),
                Field("version", Integer(1, 999_999), "The version of its schema; without it the newest."),
            ),
            name="emit",
        ),
        "An event that is published.",
        required=True,
    )


def _wait_for(place: str, *, item: bool) -> Field:
    where = place_of(flow.WAIT_PLACE, item=item)
    return Field(
        "wait_for",
        Object(
            (
                Field("event", EventTypeName(), "The type of the event; no pattern.", required=True),
                Field(
                    "where",
                    ExpressionText(where),
                    "Which of them count. One `arrived.… == …` that nothing but `&&` joins to others is looked up by an index.",
                    example="arrived.data.order_id == data.order_id",
                ),
                Field("count", MapValue(place), "How many are needed; 0 waits for none.", default=1),
                Field("timeout", LONG, "How long it waits; then the step has failed.", default=flow.DEFAULT_WAIT),
            ),
            name="wait_for",
        ),
        "Events that the run waits for; those that came before, back to the first of its correlation, count too.",
        required=True,
    )


def _sleep(place: str) -> Field:
    until = Object((Field("until", ExpressionText(place), "A date or time, RFC 3339.", required=True),), name="sleep")
    return Field(
        "sleep", OneOf((Duration("1ms", "365d"), until)), "How long nothing happens, or until when.", required=True
    )


def _child(place: str) -> tuple[Field, ...]:
    return (
        Field(
            "flow",
            Reference("Flow"),
            "Another flow; the step waits for its run and gives its `output`. It is undone with this run, unless `undo: none` is said.",
            required=True,
        ),
        Field("with", MapValue(place), "The `data` that it is started with.", default={}),
        Field("undo", Const("none"), "`none` leaves what it did."),
    )


def _approve(place: str) -> Field:
    return Field(
        "approve",
        Object(
            (
                Field("message", TemplateText(place), "What the person is asked.", required=True),
                Field("timeout", LONG, "How long it waits; then the step has failed.", default=flow.DEFAULT_WAIT),
                Field(
                    "roles",
                    ListOf(Choice(TOKEN_ROLES[1:]), 1, 3),
                    "Who may decide; without this whoever may run flows.",
                ),
            ),
            name="approve",
        ),
        "A person decides whether the run goes on; a no is a failure, REJECTED.",
        required=True,
    )
