"""The rules of a flow between its fields, and with operations, event types and other flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.documents.fields import CONTRADICTION, MISSING_KEY, UNKNOWN_KEY, WRONG_VALUE
from server.documents.findings import nearest, shown
from server.documents.nodes import ListNode, MappingNode, Node, ScalarNode, at, plain, whole
from server.documents.schemas import compiled, violations
from server.events.matching import matches
from server.events.subscribing import body_of, check_pins, patterns_of
from server.flows.facts import operation_of, schema_of_event, transactions_of
from server.flows.reading import check_reading
from server.flows.step_fields import MOST_STEPS, kind_of
from server.flows.written import written_steps
from server.integrations.fallback import split_call
from server.kernel.errors import code
from server.sdk.ports.port import NOT_SUPPORTED_HERE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from server.documents.checking import Checker

UNKNOWN_EVENT_TYPE = code(
    "UNKNOWN_EVENT_TYPE", "No EventType of this name is known, but one with nearly the same name."
)
DUPLICATE_STEP = code("DUPLICATE_STEP", "Two steps of a flow have the same id; ids are unique, in nested steps, too.")
FLOW_CYCLE = code("FLOW_CYCLE", "Flows start each other in a circle by their `flow` steps: such a run would never end.")
NOT_TRANSACTIONAL = code("NOT_TRANSACTIONAL", "The integration of an `atomic` step offers no transactions.")
STEP_DATA = code("STEP_DATA", "What a step is given breaks the schema of what takes it, whatever comes.")
_MAP_OPTIONS = frozenset(("from", "each", "value"))
_FEWEST_BRANCHES = 2


def check_flow(root: MappingNode, checker: Checker) -> None:
    """Check the steps with each other, what they call, what expressions read, and the tests."""
    every = list(steps_in(root.get("steps")))
    _check_ids(root, every, checker)
    for step in every:
        _check_step(step, checker)
    _check_events(root, checker)
    _check_cycle(root, every, checker)
    check_reading(root, _data_schemas(root, checker), checker)
    _check_tests(root, every, checker)


def steps_in(node: Node | None) -> Iterator[MappingNode]:
    """Yield the steps of a list and all that stand in them, in the order of the file."""
    for step in node.items if isinstance(node, ListNode) else ():
        if not isinstance(step, MappingNode):
            continue
        yield step
        for _, inner in branches_of(step):
            yield from steps_in(inner)


def branches_of(step: MappingNode) -> Iterator[tuple[str, Node | None]]:
    """Yield the lists of steps in a step, each with the name of its branch."""
    kind, own = kind_of(step), None
    if kind in ("for_each", "atomic"):
        yield "", step.get("steps" if kind == "for_each" else "atomic")
    elif kind in ("parallel", "choose"):
        own = step.get(kind)
    if isinstance(own, MappingNode):
        yield from ((str(key.value), value) for key, value in own.entries)
    elif isinstance(own, ListNode):
        yield from (("", each.get("steps")) for each in own.items if isinstance(each, MappingNode))


def _check_ids(root: MappingNode, every: list[MappingNode], checker: Checker) -> None:
    first: dict[str, ScalarNode] = {}
    for step in every:
        node, name = step.get("id"), step.text("id")
        if name is None or not isinstance(node, ScalarNode):
            continue
        if name in first:
            checker.error(DUPLICATE_STEP, node, f"a step of line {first[name].line} has the id {shown(name)} already")
        first.setdefault(name, node)
    if len(every) > MOST_STEPS:
        message = f"a flow has {MOST_STEPS} steps at most, nested ones counted; found {len(every)}"
        checker.error(WRONG_VALUE, root.get("steps") or root, message)


def _check_step(step: MappingNode, checker: Checker) -> None:
    match kind_of(step):
        case "call":
            _check_call(step, checker)
        case "parallel":
            branches = step.get("parallel")
            if isinstance(branches, MappingNode) and len(branches.entries) < _FEWEST_BRANCHES and not branches.broken:
                checker.error(WRONG_VALUE, branches, "parallel takes 2 branches at least")
        case "choose":
            _check_choose(step.get("choose"), checker)
        case "atomic":
            _check_atomic(step, checker)
        case "emit":
            _check_emit(step.get("emit"), checker)
        case "wait_for":
            waits = step.get("wait_for")
            if isinstance(waits, MappingNode):
                _check_type(waits, "event", checker)
        case "flow":
            body: Mapping[str, Any] = next(iter(checker.catalog.bodies("Flow", step.text("flow") or "")), {})
            _check_made(step, "with", body.get("input"), f"flow/{step.text('flow')}", checker)
    for key in ("undo", "on_error"):
        other = step.get(key)
        if isinstance(other, MappingNode):
            _check_call(other, checker)


def _check_call(called: MappingNode, checker: Checker) -> None:
    call = called.text("call")
    facts = operation_of(call, checker.catalog)
    node = called.get("call")
    if facts is None or node is None:
        return
    _check_made(called, "with", facts.input_schema, call or "", checker)
    if not facts.supported and called.get("on_error") is None:
        message = (
            f"{call} is refused by this plugin, whatever comes; say by on_error what follows, or leave the step out"
        )
        checker.warning(NOT_SUPPORTED_HERE, node, message)


def _check_choose(node: Node | None, checker: Checker) -> None:
    items = node.items if isinstance(node, ListNode) else []
    for each in items[:-1]:
        if isinstance(each, MappingNode) and each.get("when") is None and not each.broken:
            checker.error(CONTRADICTION, each, 'what follows is never taken: only the last branch goes without "when"')


def _check_atomic(step: MappingNode, checker: Checker) -> None:
    inner = step.get("atomic")
    first: str | None = None
    for each in inner.items if isinstance(inner, ListNode) else ():
        call = each.get("call") if isinstance(each, MappingNode) else None
        parts = split_call(each.text("call") or "") if isinstance(each, MappingNode) else None
        if parts is None or call is None:
            continue
        if first is None:
            first = parts[0]
            if transactions_of(first, checker.catalog) is False:
                checker.error(NOT_TRANSACTIONAL, call, f"the plugin of {first} offers no transactions")
        elif parts[0] != first:
            checker.error(CONTRADICTION, call, f"atomic is of one integration: this calls {parts[0]}, not {first}")


def _check_emit(node: Node | None, checker: Checker) -> None:
    if not isinstance(node, MappingNode) or not _check_type(node, "type", checker):
        return
    version = node.get("version")
    wanted = version.value if isinstance(version, ScalarNode) and isinstance(version.value, int) else None
    type_ = node.text("type") or ""
    known = sorted(int(body.get("version", 1)) for body in checker.catalog.bodies("EventType", type_))
    if wanted is not None and wanted not in known:
        checker.error(WRONG_VALUE, version or node, f"{type_} has no version {wanted}; known are {known}")
    else:
        _check_made(node, "data", schema_of_event(type_, wanted, checker.catalog), type_, checker)


def _check_type(node: MappingNode, key: str, checker: Checker) -> bool:
    """Warn of an event type that is nearly a known one; say whether it is known."""
    name, known = node.text(key), sorted(checker.catalog.names("EventType"))
    if name is None or name in known:
        return name is not None
    near = nearest(name, known)
    if near:
        checker.warning(UNKNOWN_EVENT_TYPE, node.get(key) or node, f"there is no EventType {shown(name)}", near)
    return False


def _check_made(root: MappingNode, key: str, schema: Any, what: str, checker: Checker) -> None:
    """Check what a map makes against the schema of what takes it, as far as its fields and its constants tell."""
    node = root.get(key)
    if not isinstance(schema, dict) or root.broken or (node is not None and not whole(node)):
        return
    if node is None:
        if schema.get("required"):
            checker.error(MISSING_KEY, root, f'"{key}" is missing: {what} needs {", ".join(schema["required"])}')
    elif isinstance(node, MappingNode) and not _MAP_OPTIONS & set(node.keys()):
        _check_fields(node, schema, what, checker)
    elif isinstance(node, MappingNode) and set(node.keys()) == {"value"}:
        _check_constant(node, schema, what, checker)


def _check_fields(node: MappingNode, schema: Mapping[str, Any], what: str, checker: Checker) -> None:
    listed = schema.get("properties", {})
    for key, value in node.entries:
        if key.value not in listed:
            if schema.get("additionalProperties") is False:
                checker.error(
                    UNKNOWN_KEY, key, f"{what} takes no {shown(key.value)}", nearest(str(key.value), sorted(listed))
                )
            continue
        if isinstance(value, MappingNode) and set(value.keys()) == {"value"}:
            _check_constant(value, listed[str(key.value)], what, checker)
        elif isinstance(value, ScalarNode) and isinstance(value.value, int) and not value.broken:
            _check_value(value, plain(value), listed[str(key.value)], what, checker)
    for name in schema.get("required", ()):
        if node.key(name) is None:
            checker.error(MISSING_KEY, node, f'"{name}" is missing: {what} needs it')


def _check_constant(node: MappingNode, schema: Any, what: str, checker: Checker) -> None:
    value = node.get("value")
    if value is not None:
        _check_value(value, plain(value), schema, what, checker)


def _check_value(node: Node, value: Any, schema: Any, what: str, checker: Checker) -> None:
    validator = compiled(schema) if isinstance(schema, dict) else None
    for each in violations(validator, value) if validator is not None else ():
        checker.error(STEP_DATA, at(node, each.pointer), f"{what}: {each.message}")


def _check_events(root: MappingNode, checker: Checker) -> None:
    known = sorted(checker.catalog.names("EventType"))
    for text, node in patterns_of(root):
        if "*" not in text and text not in known and (near := nearest(text, known)):
            checker.warning(UNKNOWN_EVENT_TYPE, node, f"there is no EventType {shown(text)}", near)


def _data_schemas(root: MappingNode, checker: Checker) -> Iterator[tuple[str, Any]]:
    """Yield what `data` may be: of each known event type that starts the flow, and of calls that start it."""
    patterns, pins = patterns_of(root), check_pins(root, checker)
    for name in sorted(checker.catalog.names("EventType")):
        if any(matches(text, name) for text, _ in patterns):
            body = body_of(name, pins, checker)
            schema = body.get("schema") if body is not None else None
            if isinstance(schema, dict) and compiled(schema) is not None:
                yield name, schema
    given = root.get("input")
    if given is not None and whole(given) and compiled(plain(given)) is not None:
        yield "the input", plain(given)


def _check_cycle(root: MappingNode, every: list[MappingNode], checker: Checker) -> None:
    own = root.text("name")
    for step in every:
        name = step.text("flow") if kind_of(step) == "flow" else None
        if name is not None and own is not None and own in _reached(name, checker, set()):
            way = "itself" if name == own else f"flow/{name}, which comes back to it"
            checker.error(FLOW_CYCLE, step.get("flow") or step, f"the flow starts {way}")


def _reached(name: str, checker: Checker, seen: set[str]) -> set[str]:
    """Return the flows that a run of a flow may start, itself too."""
    if name in seen:
        return seen
    seen.add(name)
    for body in checker.catalog.bodies("Flow", name):
        for step in written_steps(body.get("steps")):
            if isinstance(step.get("flow"), str):
                _reached(step["flow"], checker, seen)
    return seen


def _check_tests(root: MappingNode, every: list[MappingNode], checker: Checker) -> None:
    """Check that answers and approvals are of steps that there are."""
    ids = {name for step in every if (name := step.text("id")) is not None}
    named = {*ids, *(f"{each}.undo" for each in ids), *(f"{each}.on_error" for each in ids)}
    tests = root.get("tests")
    for test in tests.items if isinstance(tests, ListNode) else ():
        if not isinstance(test, MappingNode):
            continue
        for key, known in (("answers", named), ("approvals", ids), ("steps", ids)):
            expect = test.get("expect")
            of = expect if key == "steps" else test
            node = of.get(key) if isinstance(of, MappingNode) else None
            for entry, _ in node.entries if isinstance(node, MappingNode) else ():
                if entry.value not in known:
                    near = nearest(str(entry.value), sorted(ids))
                    checker.error(WRONG_VALUE, entry, f"there is no step {shown(entry.value)}", near)
