"""How references stand in a map: the field type, and the rules with the job that is referred to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.documents.expressions import DEFINITIONS as MAPS
from server.documents.expressions import MapValue
from server.documents.fields import CONTRADICTION, MISSING_KEY, Field, FieldType, Object
from server.documents.findings import nearest, shown
from server.documents.nodes import ListNode, MappingNode, plain, whole
from server.documents.scalars import Choice, Duration, text_of
from server.documents.values import UNKNOWN_REFERENCE
from server.kernel.errors import code
from server.syncs.fields import operation_of
from server.syncs.references import DEFAULT_MISSING, DEFAULT_WAIT, ON_MISSING, REF_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.documents.checking import Checker
    from server.documents.nodes import Node

NO_LEDGER = code(
    "NO_LEDGER",
    "A sync job that others refer to keeps its records in mind: `primary_key`, `match_on` and `skip_unchanged`.",
)
_KINDS = ("Integration", "Webhook", "Flow", "EventType")
_BLIND = ("append", "replace")


@dataclass(frozen=True)
class JobName(FieldType):
    """The name of a sync job, in the folder or in the workspace."""

    def check(self, node: Node, checker: Checker) -> None:
        """Check that there is one, and that it is a sync job."""
        name = text_of(node, checker, "the name of a SyncJob")
        if name is None or checker.catalog.bodies("SyncJob", name):
            return
        other = next((kind for kind in _KINDS if checker.catalog.bodies(kind, name)), None)
        message = f"there is no SyncJob {shown(name)} in the folder or the workspace"
        if other is not None:
            message = f"{shown(name)} is the name of a definition of kind {other}: a SyncJob is needed"
        checker.error(UNKNOWN_REFERENCE, node, message, nearest(name, sorted(checker.catalog.names("SyncJob"))))

    def schema(self) -> dict[str, Any]:
        """Return the schema of the name."""
        return {"type": "string", "minLength": 1}

    def label(self) -> str:
        """Return `name of a SyncJob`."""
        return "name of a SyncJob"


REFERENCE = Object(
    (
        Field(
            "ref",
            JobName(),
            "The value is the primary key (a list for several fields) of a record of this sync job; in its place stands the id that "
            "its target gave, or what it matches on. Null stays null.",
            required=True,
            example="customers-to-erp",
        ),
        Field(
            "on_missing",
            Choice(ON_MISSING),
            "What becomes of the record while the other is not written: it waits for it, is refused, or waits while the other job is "
            "asked for that one record.",
            default=DEFAULT_MISSING,
        ),
        Field("wait", Duration("1s", "30d"), "How long it waits; then it becomes a dead letter.", default=DEFAULT_WAIT),
    ),
    name="a reference",
)
_OWN = {each.name: each.schema() for each in REFERENCE.fields}


def _with_references(schema: Any) -> Any:
    """Return the schema of a map with our options beside `from`."""
    if isinstance(schema, list):
        return [_with_references(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _with_references(each) for name, each in schema.items()}
    if made.get("$ref") == "#/$defs/map":
        made["$ref"] = "#/$defs/record_map"
    if made.get("required") == ["from"]:
        made["properties"] = {**made["properties"], **_OWN}
    return made


DEFINITIONS: dict[str, Any] = {"record_map": _with_references(MAPS["map"])}


@dataclass(frozen=True)
class RecordMap(FieldType):
    """A map whose values may refer to records of other sync jobs."""

    place: str

    def check(self, node: Node, checker: Checker) -> None:
        """Check the references by their declaration, and the rest as a map."""
        for each in references_in(node):
            own = [entry for entry in each.entries if entry[0].value in REF_OPTIONS]
            REFERENCE.check(MappingNode(each.source, each.line, each.col, own, broken=each.broken), checker)
        MapValue(self.place).check(without_references(node), checker)

    def schema(self) -> dict[str, Any]:
        """Return the schema: the forms of a map."""
        return {"$ref": "#/$defs/record_map"}

    def label(self) -> str:
        """Return `map` with its roots."""
        return MapValue(self.place).label()

    def accepts(self, node: Node) -> bool:
        """Take any value: all of them are maps."""
        return MapValue(self.place).accepts(node)

    def below(self) -> Iterator[tuple[str, Field]]:
        """Yield our options."""
        for each in REFERENCE.fields:
            yield f".FIELD.{each.name}", each


def references_in(node: Node) -> Iterator[MappingNode]:
    """Yield each value of a map that has one of our options beside `from`."""
    if isinstance(node, ListNode):
        for each in node.items:
            yield from references_in(each)
    if not isinstance(node, MappingNode) or node.get("value") is not None:
        return
    if node.get("from") is not None:
        if any(node.key(name) is not None for name in REF_OPTIONS):
            yield node
        return
    for name, value in node.entries:
        if node.get("each") is None or name.value == "map":
            yield from references_in(value)


def without_references(node: Node) -> Node:
    """Return the map as the mapping knows it, every value at its place."""
    if isinstance(node, ListNode):
        items = [without_references(each) for each in node.items]
        return ListNode(node.source, node.line, node.col, items, broken=node.broken)
    if not isinstance(node, MappingNode) or node.get("value") is not None:
        return node
    has_own = node.get("from") is not None
    entries = [
        (name, value if has_own else without_references(value))
        for name, value in node.entries
        if not (has_own and name.value in REF_OPTIONS)
    ]
    return MappingNode(node.source, node.line, node.col, entries, broken=node.broken)


def check_references(root: MappingNode, checker: Checker) -> None:
    """Check that the jobs referred to keep a ledger, and can do what `on_missing` asks of them."""
    map_ = root.get("map")
    found = list(references_in(map_)) if map_ is not None else []
    source = root.get("source")
    for each in found:
        how, name = each.text("on_missing") or DEFAULT_MISSING, each.text("ref")
        place = each.get("ref") or each
        if how == "fail" and each.key("wait") is not None:
            checker.error(CONTRADICTION, each.key("wait") or each, '"wait" does not go with on_missing: fail')
        if how != "fail" and isinstance(source, MappingNode) and source.get("primary_key") is None:
            checker.error(MISSING_KEY, source, '"primary_key" is missing in source: a record that waits is known by it')
        for body in checker.catalog.bodies("SyncJob", name) if name is not None else ():
            _check_other(place, name or "", body, checker)
            call = body.get("source", {}).get("call") if isinstance(body.get("source"), dict) else None
            facts = operation_of(call if isinstance(call, str) else None, checker) if how == "create" else None
            if facts is not None and facts.source is not None and not facts.source.fetches:
                checker.error(CONTRADICTION, each.get("on_missing") or each, f"{call} cannot read one record")


def _check_other(place: Node, name: str, body: Any, checker: Checker) -> None:
    source, target = body.get("source"), body.get("target")
    if not isinstance(source, dict) or not isinstance(target, dict):
        return
    blind = target.get("mode") in _BLIND and not target.get("match_on")
    forgets = target.get("skip_unchanged", True) is False and "delete" not in target
    if not source.get("primary_key") or blind or forgets:
        message = f"{name} does not keep in mind what it has written: it needs primary_key, match_on and skip_unchanged"
        checker.error(NO_LEDGER, place, message)


def map_without_references(root: MappingNode) -> Node | None:
    """Return a job's map as the mapping knows it; None where there is none, or it is no whole one."""
    map_ = root.get("map")
    return without_references(map_) if map_ is not None and whole(map_) and plain(map_) is not None else None


def job_names(map_: Any) -> Iterator[str]:
    """Yield the jobs that a checked map refers to."""
    if isinstance(map_, list):
        for each in map_:
            yield from job_names(each)
    elif isinstance(map_, dict) and "value" not in map_:
        if "from" in map_ and isinstance(map_.get("ref"), str):
            yield map_["ref"]
        for each in map_.values():
            yield from job_names(each)
