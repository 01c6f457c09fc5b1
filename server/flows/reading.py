"""What the expressions of a flow read, checked against what is known of it: results of steps before, data of events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from server.documents.expressions import check_map_reads, check_reads, check_template_reads
from server.documents.nodes import ListNode, MappingNode, Node, ScalarNode, whole
from server.events.spec import ENVELOPE_SCHEMA
from server.flows import flow
from server.flows.facts import operation_of, schema_of_event
from server.flows.fields import place_of
from server.flows.step_fields import ERROR_PLACE, kind_of
from server.mapping import PLACES, ExpressionError, compile_expression, items_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from server.documents.checking import Checker

Seen = dict[str, Any]
START_PLACE = "flow_start"
_TEXT = {"type": "string"}
_MAYBE = {"type": ["string", "null"]}


def _closed(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": dict(properties)}


RUN_SCHEMA = _closed(
    {
        "id": _TEXT,
        "flow": _TEXT,
        "started_at": _TEXT,
        "correlation_id": _TEXT,
        "key": _MAYBE,
        "round": {"type": "integer"},
    }
)
ERROR_SCHEMA = _closed(
    {"code": _TEXT, "message": _TEXT, "source": _TEXT, "details": {"type": "object"}, "retryable": {"type": "boolean"}}
)
_APPROVED = _closed({"approved": {"type": "boolean"}, "by": _TEXT, "comment": _MAYBE, "at": _TEXT})


def check_reading(root: MappingNode, data: Iterable[tuple[str, Any]], checker: Checker) -> None:
    """Check all expressions: once with the results of steps, then against each schema that `data` may have."""
    _Reading("the flow", {"event": ENVELOPE_SCHEMA, "run": RUN_SCHEMA}, checker, steps=True).flow(root)
    for about, schema in data:
        _Reading(about, {"data": schema}, checker, steps=False).flow(root)


@dataclass(frozen=True)
class _At:
    """Where steps stand: what of `steps` is seen there, and the schema of `item`."""

    seen: Mapping[str, Any]
    inside: bool = False
    item: Any = None


class _Reading:
    """Goes through a flow once. Without `steps` nothing is said about what steps gave."""

    def __init__(self, about: str, known: Mapping[str, Any], checker: Checker, *, steps: bool) -> None:
        self.about, self.known, self.checker, self._steps = about, known, checker, steps

    def flow(self, root: MappingNode) -> None:
        for key in ("when", "idempotency_key"):
            node = root.get(key)
            if node is not None:
                check_reads(node, START_PLACE, self.known, self.about, self.checker)
        here = self._through(root.get("steps"), _At({}))
        self._map(root.get("output"), flow.PLACE, here)

    def _through(self, node: Node | None, here: _At) -> _At:
        """Check steps one after the other; return where the one behind them stands."""
        for step in node.items if isinstance(node, ListNode) else ():
            if not isinstance(step, MappingNode):
                continue
            made = self._step(step, here)
            here = replace(here, seen={**here.seen, **made})
        return here

    def _schemas(self, here: _At, **more: Any) -> dict[str, Any]:
        found = {**self.known, **{name: schema for name, schema in more.items() if schema is not None}}
        if self._steps:
            found["steps"] = _closed(here.seen)
        if here.inside and here.item is not None:
            found["item"] = here.item
        return found

    def _text(self, node: Node | None, base: str, here: _At, **more: Any) -> None:
        if node is not None:
            place = place_of(base, item=here.inside)
            check_reads(node, place, self._schemas(here, **more), self.about, self.checker)

    def _map(self, node: Node | None, base: str, here: _At, **more: Any) -> None:
        if node is not None and whole(node):
            place = place_of(base, item=here.inside)
            check_map_reads(node, place, self._schemas(here, **more), self.about, self.checker)

    def _step(self, step: MappingNode, here: _At) -> Seen:
        """Check a step; return what it and the steps in it add to `steps`."""
        self._text(step.get("when"), flow.PLACE, here)
        kind = kind_of(step)
        result, inner = self._parts(kind, step, here)
        on_error = step.get("on_error")
        if isinstance(on_error, MappingNode):
            within = self._each(step, here) if kind == "call" else here
            self._map(on_error.get("with"), ERROR_PLACE, within, error=ERROR_SCHEMA)
            result = {}
        name = step.text("id")
        return {**inner, **({name: result} if name is not None else {})}

    def _parts(self, kind: str | None, step: MappingNode, here: _At) -> tuple[Any, Seen]:  # noqa: PLR0911 - one per kind
        own = step.get(kind) if kind is not None else None
        match kind:
            case "call":
                return self._call(step, here), {}
            case "for_each":
                self._text(step.get("for_each"), flow.PLACE, here)
                within = self._through(step.get("steps"), self._each(step, here))
                return {"type": "array", "items": _closed(_fresh(within, here))}, {}
            case "parallel":
                return self._parallel(own, here)
            case "choose":
                return self._choose(own, here)
            case "atomic":
                inner = _fresh(self._through(own, here), here)
                return _closed(inner), inner
            case "set":
                self._map(own, flow.PLACE, here)
                names = [str(key.value) for key, _ in own.entries] if isinstance(own, MappingNode) else []
                return _closed({name: {} for name in names}), {}
            case "flow":
                self._map(step.get("with"), flow.PLACE, here)
                return {}, {}
            case "emit" | "wait_for" | "sleep" | "approve":
                return self._waiting(kind, own, here), {}
        return {}, {}

    def _call(self, step: MappingNode, here: _At) -> Any:
        each = step.get("for_each") is not None
        self._text(step.get("for_each"), flow.PLACE, here)
        within = self._each(step, here)
        self._map(step.get("with"), flow.PLACE, within)
        facts = operation_of(step.text("call"), self.checker.catalog)
        answer = dict(facts.output_schema) if facts is not None else {}
        undo, name = step.get("undo"), step.text("id")
        if isinstance(undo, MappingNode):
            seen = {**within.seen, **({name: {} if each else answer} if name is not None else {})}
            self._map(undo.get("with"), flow.UNDO_PLACE, replace(within, seen=seen), result=answer)
        return {"type": "array", "items": answer} if each else answer

    def _each(self, step: MappingNode, here: _At) -> _At:
        """Return where what is done per item stands."""
        node = step.get("for_each")
        if node is None:
            return here
        item = None
        if isinstance(node, ScalarNode) and isinstance(node.value, str) and not node.broken:
            try:
                expression = compile_expression(node.value, PLACES[place_of(flow.PLACE, item=here.inside)])
                item = items_schema(expression, self._schemas(here))
            except ExpressionError:
                item = None
        return replace(here, inside=True, item=item)

    def _parallel(self, own: Node | None, here: _At) -> tuple[Any, Seen]:
        branches: Seen = {}
        inner: Seen = {}
        for key, steps in own.entries if isinstance(own, MappingNode) else ():
            made = _fresh(self._through(steps, here), here)
            branches[str(key.value)] = _closed(made)
            inner |= made
        return _closed(branches), inner

    def _choose(self, own: Node | None, here: _At) -> tuple[Any, Seen]:
        inner: Seen = {}
        for each in own.items if isinstance(own, ListNode) else ():
            if isinstance(each, MappingNode):
                self._text(each.get("when"), flow.PLACE, here)
                inner |= _fresh(self._through(each.get("steps"), here), here)
        return _closed(inner), inner

    def _waiting(self, kind: str, own: Node | None, here: _At) -> Any:
        if kind == "sleep":
            self._text(own.get("until") if isinstance(own, MappingNode) else None, flow.PLACE, here)
            return {"type": "null"}
        if not isinstance(own, MappingNode):
            return {}
        if kind == "emit":
            for key in ("subject", "data"):
                self._map(own.get(key), flow.PLACE, here)
            return _closed({"id": _TEXT})
        if kind == "approve":
            message = own.get("message")
            if message is not None:
                place = place_of(flow.PLACE, item=here.inside)
                check_template_reads(message, place, self._schemas(here), self.about, self.checker)
            return _APPROVED
        return self._wait_for(own, here)

    def _wait_for(self, own: MappingNode, here: _At) -> Any:
        data = schema_of_event(own.text("event") or "", None, self.checker.catalog)
        arrived = _closed({**ENVELOPE_SCHEMA["properties"], "data": data if isinstance(data, dict) else {}})
        self._text(own.get("where"), flow.WAIT_PLACE, here, arrived=arrived)
        self._map(own.get("count"), flow.PLACE, here)
        shown = {"id": _TEXT, "type": _TEXT, "subject": _MAYBE, "time": _TEXT, "data": arrived["properties"]["data"]}
        return _closed({**shown, "count": {"type": "integer"}, "events": {"type": "array", "items": _closed(shown)}})


def _fresh(after: _At, before: _At) -> Seen:
    """Return what steps have added."""
    return {name: schema for name, schema in after.seen.items() if name not in before.seen}
