"""What can be seen to be wrong of a mapping before any request comes: what it reads, and whether its events keep their schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.documents.expressions import check_map_reads, check_reads
from server.documents.fields import CONTRADICTION, WRONG_VALUE
from server.documents.findings import nearest, shown
from server.documents.nodes import ListNode, MappingNode, Node, ScalarNode, at, plain, whole
from server.documents.schemas import compiled, violations
from server.kernel.errors import code
from server.mapping import PLACES, ExpressionError, compile_expression, compile_map
from server.webhooks.check import UNKNOWN_EVENT_TYPE
from server.webhooks.inbound.answering import PLACE as ANSWER_PLACE
from server.webhooks.inbound.emit_fields import ITEM_PLACE
from server.webhooks.inbound.endpoint import PLACE
from server.webhooks.inbound.paths import read_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from server.documents.checking import Checker
    from server.mapping import Expression

HEADER_NAME = code(
    "HEADER_NAME", "Headers are read in lower case with `_` for `-`: X-Shopify-Topic is headers.x_shopify_topic."
)
EMIT_SCHEMA = code("EMIT_SCHEMA", "The data that is emitted breaks the schema of its event type, whatever comes.")
_ABOUT = "the request"
_ATTRIBUTES = ("subject", "when", "id", "time", "source", "correlation")
_COMBINED = frozenset(("$ref", "anyOf", "oneOf", "allOf", "not", "if", "$dynamicRef", "patternProperties"))
_MADE: Mapping[str, frozenset[str]] = {
    "text": frozenset(("string",)),
    "decimal": frozenset(("string",)),
    "date": frozenset(("string",)),
    "datetime": frozenset(("string",)),
    "integer": frozenset(("integer", "number")),
    "number": frozenset(("number", "integer")),
    "boolean": frozenset(("boolean",)),
}
_TEXT_OR_LIST: dict[str, Any] = {"type": ["string", "array"], "items": {"type": "string"}}
_EVENT: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id", "type"],
    "properties": {
        "id": {"type": "string"},
        "type": {"type": "string"},
        "subject": {"type": ["string", "null"]},
        "data": {},
    },
}


def check_emitting(root: MappingNode, checker: Checker) -> None:
    """Check what the expressions read, the events, the answer that is made of them, and the tests."""
    schemas = _schemas(root)
    for key in ("when", "version"):
        _check_expression(root.get(key), PLACE, schemas, checker)
    dedupe = root.get("dedupe")
    _check_expression(dedupe.get("key") if isinstance(dedupe, MappingNode) else None, PLACE, schemas, checker)
    for emit in emits(root):
        _check_emit(emit, schemas, checker)
    _check_version(root, checker)
    _check_answer(root, schemas, checker)
    _check_tests(root, checker)


def emits(root: MappingNode) -> list[MappingNode]:
    """Return the entries of `emit`."""
    written = root.get("emit")
    items = written.items if isinstance(written, ListNode) else [written]
    return [each for each in items if isinstance(each, MappingNode)]


def _schemas(root: MappingNode) -> dict[str, Any]:
    """Return what is known of the roots: nothing of the body."""
    texts = {name: {"type": "string"} for name in ("id", "method", "path", "received_at", "client")}
    query = {"type": "object", "additionalProperties": _TEXT_OR_LIST}
    schemas: dict[str, Any] = {
        "request": {
            "type": "object",
            "additionalProperties": False,
            "required": [*texts, "query"],
            "properties": {**texts, "query": query},
        },
        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
    }
    try:
        names = read_path(root.text("path") or "").params
    except ValueError:
        return schemas
    params = {name: {"type": "string"} for name in names}
    schemas["params"] = {
        "type": "object",
        "additionalProperties": False,
        "required": list(params),
        "properties": params,
    }
    return schemas


def _check_expression(node: Node | None, place: str, schemas: Mapping[str, Any], checker: Checker) -> None:
    if node is None:
        return
    check_reads(node, place, schemas, _ABOUT, checker)
    if isinstance(node, ScalarNode) and isinstance(node.value, str) and not node.broken:
        try:
            _check_headers(node, compile_expression(node.value, PLACES[place]), checker)
        except ExpressionError:
            return


def _check_map(node: Node | None, place: str, schemas: Mapping[str, Any], checker: Checker) -> None:
    if node is None or not whole(node):
        return
    check_map_reads(node, place, schemas, _ABOUT, checker)
    try:
        compiled_map = compile_map(plain(node), PLACES[place])
    except ExpressionError:
        return
    for each in compiled_map.places:
        _check_headers(at(node, each.pointer), each.expression, checker)


def _check_headers(node: Node, expression: Expression, checker: Checker) -> None:
    for path in expression.paths:
        if path[0] == "headers" and len(path) > 1 and path[1] not in ("*", meant := path[1].lower().replace("-", "_")):
            checker.error(HEADER_NAME, node, f"no header is called {shown(path[1])} here", meant)


def _check_emit(emit: MappingNode, schemas: Mapping[str, Any], checker: Checker) -> None:
    _check_expression(emit.get("each"), PLACE, schemas, checker)
    place = ITEM_PLACE if emit.key("each") is not None else PLACE
    for name in _ATTRIBUTES:
        _check_expression(emit.get(name), place, schemas, checker)
    data = emit.get("data")
    _check_map(data, place, schemas, checker)
    type_ = emit.text("type")
    if type_ is None:
        return
    known = sorted(checker.catalog.names("EventType"))
    if type_ not in known:
        near = nearest(type_, known)
        if near:
            checker.warning(UNKNOWN_EVENT_TYPE, emit.get("type") or emit, f"there is no EventType {shown(type_)}", near)
        return
    body = _body(emit, type_, checker)
    schema = body.get("schema") if body else None
    if data is not None and whole(data) and isinstance(schema, dict) and compiled(schema) is not None:
        _Made(type_, checker).check(data, schema)


def _body(emit: MappingNode, type_: str, checker: Checker) -> Mapping[str, Any] | None:
    """Return the version of an event type whose schema the event must keep."""
    bodies = {int(each.get("version", 1)): each for each in checker.catalog.bodies("EventType", type_)}
    node = emit.get("schema_version")
    wanted = node.value if isinstance(node, ScalarNode) and isinstance(node.value, int) else None
    if wanted is not None and node is not None and wanted not in bodies:
        checker.error(WRONG_VALUE, node, f"{type_} has no version {wanted}; known are {sorted(bodies)}")
    return bodies.get(wanted or max(bodies, default=0))


class _Made:
    """Compares what a map makes, as far as its form tells, with a schema."""

    def __init__(self, about: str, checker: Checker) -> None:
        self.about = about
        self.checker = checker

    def check(self, node: Node, schema: Any) -> None:
        """Compare one value of the map; parts of the schema that combine others say nothing here."""
        if not isinstance(schema, dict) or _COMBINED & schema.keys():
            return
        if isinstance(node, MappingNode):
            self._mapping(node, schema)
        elif isinstance(node, ListNode):
            if self._may_be(node, schema, frozenset(("array",)), "a list"):
                for each in node.items:
                    self.check(each, schema.get("items"))
        elif isinstance(node, ScalarNode) and not isinstance(node.value, str):
            self._literal(node, node.value, schema)

    def _mapping(self, node: MappingNode, schema: dict[str, Any]) -> None:
        if node.key("each") is not None:
            if self._may_be(node, schema, frozenset(("array",)), "a list"):
                inner = node.get("map")
                self.check(inner, schema.get("items")) if inner is not None else None
        elif node.key("from") is not None:
            made = node.text("type") or ("decimal" if node.key("round") is not None else None)
            if made is not None and made in _MADE:
                self._may_be(node.get("type") or node, schema, _MADE[made], f"type {made}")
        elif set(node.keys()) == {"value"}:
            literal = node.get("value")
            self._literal(literal, plain(literal), schema) if literal is not None else None
        elif self._may_be(node, schema, frozenset(("object",)), "a mapping"):
            self._object(node, schema)

    def _object(self, node: MappingNode, schema: dict[str, Any]) -> None:
        properties = schema.get("properties", {})
        for key, value in node.entries:
            name = str(key.value)
            if name in properties:
                self.check(value, properties[name])
            elif schema.get("additionalProperties") is False:
                self._broken(key, f"the schema has no field {shown(name)}", nearest(name, list(properties)))
            elif near := nearest(name, [each for each in properties if node.key(each) is None]):
                self.checker.warning(EMIT_SCHEMA, key, f"{self.about}: the schema does not know {shown(name)}", near)
        for name in schema.get("required", []):
            if node.key(name) is None:
                self._broken(node, f"the schema requires the field {shown(name)}")

    def _literal(self, node: Node, value: Any, schema: dict[str, Any]) -> None:
        validator = compiled(schema)
        found = next(iter(violations(validator, value)), None) if validator else None
        if found is not None:
            self._broken(node, found.message)

    def _may_be(self, node: Node, schema: dict[str, Any], kinds: frozenset[str], what: str) -> bool:
        said = schema.get("type")
        allowed = {said} if isinstance(said, str) else set(said) if isinstance(said, list) else None
        if allowed is None or allowed & kinds:
            return True
        self._broken(node, f"{what} is made here, and the schema says {' or '.join(sorted(allowed))}")
        return False

    def _broken(self, node: Node, message: str, suggestion: str | None = None) -> None:
        self.checker.error(EMIT_SCHEMA, node, f"{self.about}: {message}", suggestion)


def _check_version(root: MappingNode, checker: Checker) -> None:
    version = root.key("version")
    for emit in emits(root) if version is not None else []:
        if emit.key("subject") is None:
            checker.error(
                CONTRADICTION, emit, '"version" needs a "subject": it is the version of what the event is about'
            )


def _check_answer(root: MappingNode, schemas: Mapping[str, Any], checker: Checker) -> None:
    answer, sync = root.get("answer"), root.get("sync")
    if not isinstance(answer, MappingNode):
        return
    synchronous = isinstance(sync, ScalarNode) and sync.value is True
    map_, body = answer.key("map"), answer.key("body")
    if map_ is not None and not synchronous:
        checker.error(
            CONTRADICTION, map_, '"map" goes with "sync: true": without it the answer comes before the events'
        )
    if body is not None and synchronous:
        checker.error(CONTRADICTION, body, 'with "sync: true" the answer is made of the events: write "map"')
    _check_map(answer.get("map"), ANSWER_PLACE, {**schemas, "events": {"type": "array", "items": _EVENT}}, checker)


def _check_tests(root: MappingNode, checker: Checker) -> None:
    types = sorted({type_ for each in emits(root) if (type_ := each.text("type")) is not None})
    methods = root.get("methods")
    taken = plain(methods) if isinstance(methods, ListNode) else ["POST"]
    for test in _tests(root):
        given, expect = test.get("given"), test.get("expect")
        request = given.get("request") if isinstance(given, MappingNode) else None
        method = request.get("method") if isinstance(request, MappingNode) else None
        if isinstance(method, ScalarNode) and not method.broken and method.value not in taken:
            checker.error(WRONG_VALUE, method, f"the webhook takes {', '.join(map(str, taken))}")
        events = expect.get("events") if isinstance(expect, MappingNode) else None
        for event in events.items if isinstance(events, ListNode) else []:
            node = event.get("type") if isinstance(event, MappingNode) else None
            if isinstance(node, ScalarNode) and isinstance(node.value, str) and types and node.value not in types:
                near = nearest(node.value, types)
                checker.error(WRONG_VALUE, node, f"the webhook never emits {shown(node.value)}", near)


def _tests(root: MappingNode) -> Iterator[MappingNode]:
    tests = root.get("tests")
    for test in tests.items if isinstance(tests, ListNode) else []:
        if isinstance(test, MappingNode):
            yield test
