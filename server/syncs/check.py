"""The rules of a sync job between its fields, and with what its source and target can do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from server.documents.expressions import check_map_reads, check_reads
from server.documents.fields import CONTRADICTION, MISSING_KEY, UNKNOWN_KEY, WRONG_TYPE, WRONG_VALUE
from server.documents.findings import nearest, shown
from server.documents.nodes import ListNode, MappingNode, ScalarNode, plain, whole
from server.documents.schemas import compiled
from server.events.matching import matches
from server.events.spec import ENVELOPE_SCHEMA
from server.events.subscribing import body_of, check_pins
from server.kernel.errors import code
from server.kernel.policies import parse_duration
from server.syncs.cron import CronError, read
from server.syncs.fields import operation_of
from server.syncs.filling_rules import check_filling
from server.syncs.job import DEFAULT_KIND, DEFAULT_MODE, EVENT_PLACE, PLACE, RUN_SCHEMA
from server.syncs.reference_fields import check_references, map_without_references
from server.syncs.schedule import shortest_interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from server.documents.checking import Checker
    from server.documents.nodes import Node
    from server.sdk.sources import Source
    from server.sdk.targets import Target

CANNOT = code("CANNOT", "The source or the target cannot do what the sync job asks of it.")
_BLIND = ("append", "replace")
_TIMES = ("datetime", "file_time")
_MAP_OPTIONS = frozenset(("from", "each", "value"))
_MINUTE = 60.0
_ANY_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def check_job(root: MappingNode, checker: Checker) -> None:
    """Check both ends, deletes, schedule, events, and what expressions read."""
    source = _mapping(root, "source")
    check_ends(root, checker)
    _check_schedule(_mapping(root, "schedule"), checker)
    _check_events(root, source, checker)
    check_references(root, checker)
    map_ = map_without_references(root)
    if map_ is not None:
        check_map_reads(map_, PLACE, {"run": RUN_SCHEMA}, "the run", checker)


def check_ends(root: MappingNode, checker: Checker) -> None:
    """Check source, target and map with each other: of a job, or of the way back of one."""
    source, target = _mapping(root, "source"), _mapping(root, "target")
    if source is not None:
        _check_source(source, _ability(source, "source", checker), checker)
    fills = target is not None and target.key("webhook") is not None
    if target is not None and fills:
        check_filling(root, target, checker)
    elif target is not None:
        _check_target(root, target, _ability(target, "target", checker), checker)
    if source is not None and target is not None and not fills:
        _check_key(source, target, checker)
        _check_delete(source, target, checker)


def _mapping(root: MappingNode, key: str) -> MappingNode | None:
    node = root.get(key)
    return node if isinstance(node, MappingNode) else None


def _ability(end: MappingNode, side: str, checker: Checker) -> Any:
    facts = operation_of(end.text("call"), checker)
    return None if facts is None else getattr(facts, side)


def _texts(node: Node | None) -> list[str]:
    items = node.items if isinstance(node, ListNode) else []
    return [each.value for each in items if isinstance(each, ScalarNode) and isinstance(each.value, str)]


def _check_source(source: MappingNode, able: Source | None, checker: Checker) -> None:
    partitions = source.get("partitions")
    many = isinstance(partitions, ScalarNode) and isinstance(partitions.value, int) and partitions.value > 1
    if able is not None and many and not able.partitioned:
        checker.error(CANNOT, partitions or source, f"{source.text('call')} cannot be read in parts")
    cursor = _mapping(source, "cursor")
    if cursor is None:
        return
    kind = cursor.text("kind") or DEFAULT_KIND
    _check_cursor(cursor, kind, checker)
    wanted = "token" if kind in ("token", "file_time") else "fields"
    if able is not None and wanted not in able.cursors:
        what = "a token" if wanted == "token" else "fields"
        checker.error(CANNOT, cursor, f"{source.text('call')} has no cursor of {what}")


def _check_cursor(cursor: MappingNode, kind: str, checker: Checker) -> None:
    fields = cursor.get("fields")
    if kind in ("token", "file_time"):
        for name in ("fields", "step", *(() if kind == "file_time" else ("lookback", "settle", "until", "initial"))):
            key = cursor.key(name)
            if key is not None:
                checker.error(CONTRADICTION, key, f'"{name}" goes with fields; a {kind} is the source\'s own')
    elif fields is None and not cursor.broken:
        checker.error(MISSING_KEY, cursor, '"fields" is missing in cursor')
    for name in ("lookback", "settle", "step"):
        span = cursor.get(name)
        timed = isinstance(span, ScalarNode) and isinstance(span.value, str)
        if isinstance(span, ScalarNode) and not span.broken and timed != (kind in _TIMES) and name != "settle":
            wanted = "a duration like 5m" if kind in _TIMES else "a whole number"
            checker.error(WRONG_TYPE, span, f"{wanted} is needed for a cursor of kind {kind}")
    settle = cursor.key("settle")
    if settle is not None and kind not in _TIMES:
        checker.error(CONTRADICTION, settle, f'"settle" counts time; a cursor of kind {kind} has none')
    for name in ("initial", "until"):
        _check_values(cursor.get(name), len(_texts(fields)), kind, checker)


def _check_values(node: Node | None, count: int, kind: str, checker: Checker) -> None:
    if node is None or not whole(node):
        return
    if isinstance(node, ListNode) and len(node.items) > max(count, 1):
        checker.error(WRONG_VALUE, node, f"one value for each of the {count} fields at most")
    first = node.items[0] if isinstance(node, ListNode) and node.items else node
    value = plain(first)
    if kind in _TIMES and not _moment(value):
        checker.error(WRONG_VALUE, first, f"a time like 2026-01-01T00:00:00Z is needed, found {shown(value)}")
    elif kind == "integer" and not isinstance(value, int):
        checker.error(WRONG_TYPE, first, "a whole number is needed for a cursor of kind integer")


def _moment(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _check_target(root: MappingNode, target: MappingNode, able: Target | None, checker: Checker) -> None:
    mode = target.text("mode") or DEFAULT_MODE
    place = target.get("mode") or target
    match_on = target.get("match_on")
    if match_on is None and mode not in _BLIND and not target.broken:
        checker.error(MISSING_KEY, target, f'"match_on" is missing in target: {mode} needs it')
    written = "upsert" if mode == "mirror" else mode
    if able is not None and written not in able.modes:
        modes = ", ".join(sorted(able.modes))
        checker.error(CANNOT, place, f"{target.text('call')} cannot {written}; it can {modes}")
    _check_revertible(root, target, able, checker)
    _check_record(root, match_on, able, target.text("call") or "", checker)


def _check_revertible(root: MappingNode, target: MappingNode, able: Target | None, checker: Checker) -> None:
    key, mode = target.key("revertible"), target.text("mode") or DEFAULT_MODE
    if key is None:
        return
    if mode in _BLIND or "two_way" in root.keys():  # noqa: SIM118 - a node, no mapping
        what = f"mode {mode}" if mode in _BLIND else "a two-way job"
        checker.error(
            CONTRADICTION, key, f'"revertible" is of single records in one target; {what} keeps nothing of them'
        )
    elif able is not None and not able.looks_up:
        checker.error(CANNOT, key, f"{target.text('call')} cannot tell what it holds, so nothing can be put back")


def _check_record(root: MappingNode, match_on: Node | None, able: Target | None, call: str, checker: Checker) -> None:
    """Check what the map makes, where its fields can be seen, against `match_on` and what the target takes."""
    map_ = root.get("map")
    if not isinstance(map_, MappingNode) or map_.broken or _MAP_OPTIONS & set(map_.keys()):
        return
    made = set(map_.keys())
    for each in match_on.items if isinstance(match_on, ListNode) else ():
        if isinstance(each, ScalarNode) and isinstance(each.value, str) and each.value not in made:
            checker.error(WRONG_VALUE, each, f"the map makes no {shown(each.value)}", nearest(each.value, sorted(made)))
    schema = able.record_schema(_options(root)) if able is not None else True
    if isinstance(schema, bool):
        return
    listed = schema.get("properties", {})
    for key, _ in map_.entries:
        if schema.get("additionalProperties") is False and key.value not in listed:
            near = nearest(str(key.value), sorted(listed))
            checker.error(UNKNOWN_KEY, key, f"{call} takes no {shown(key.value)}", near)
    for name in schema.get("required", ()):
        if name not in made:
            checker.error(MISSING_KEY, map_, f'"{name}" is missing: {call} needs it')


def _options(root: MappingNode) -> dict[str, Any]:
    target = root.get("target")
    return plain(target) if isinstance(target, MappingNode) and whole(target) else {}


def _check_key(source: MappingNode, target: MappingNode, checker: Checker) -> None:
    mode = target.text("mode") or DEFAULT_MODE
    if source.get("primary_key") is None and mode not in _BLIND and not source.broken:
        checker.error(MISSING_KEY, source, f'"primary_key" is missing in source: {mode} needs it')


def _check_delete(source: MappingNode, target: MappingNode, checker: Checker) -> None:
    delete, mode = _mapping(target, "delete"), target.text("mode") or DEFAULT_MODE
    key = target.key("delete")
    if delete is None or key is None:
        if mode == "mirror" and target.get("delete") is None and not target.broken:
            checker.error(
                MISSING_KEY, target, '"delete" is missing in target: mirror needs to know how to find what is gone'
            )
        return
    if mode in (*_BLIND, "insert_only"):
        checker.error(CONTRADICTION, key, f'"delete" does not go with mode {mode}')
    detect, when = delete.text("detect"), delete.get("when")
    if detect == "flag" and when is None:
        checker.error(MISSING_KEY, delete, '"when" is missing in delete: the flag that says a row is gone')
    for name, of in (("when", "flag"), ("every", "key_snapshot")):
        extra = delete.key(name)
        if extra is not None and detect is not None and detect != of:
            checker.error(CONTRADICTION, extra, f'"{name}" goes with detect: {of}')
    reads, writes = _ability(source, "source", checker), _ability(target, "target", checker)
    if detect == "key_snapshot" and reads is not None and not reads.snapshots:
        checker.error(CANNOT, delete, f"{source.text('call')} cannot list its keys")
    action = delete.text("action") or "archive"
    if writes is not None and action not in writes.actions:
        able = ", ".join(sorted(writes.actions)) or "neither"
        checker.error(CANNOT, delete.get("action") or delete, f"{target.text('call')} cannot {action}; it can {able}")


def _check_schedule(schedule: MappingNode | None, checker: Checker) -> None:
    if schedule is None:
        return
    jitter, text = schedule.get("jitter"), schedule.text("cron")
    try:
        cron = read(text or "", schedule.text("timezone") or "UTC")
        spread = timedelta(seconds=parse_duration(str(schedule.text("jitter") or "0s")))
    except (CronError, ValueError, OverflowError):
        return  # each has its finding
    least = checker.catalog.min_interval
    if not spread and least <= _MINUTE:
        return  # no two times are closer than that
    interval = shortest_interval(cron, _ANY_DAY)
    if interval.total_seconds() < least:
        message = (
            f"the times are {interval.total_seconds():.0f} s apart; {least:.0f} s is the least here"
            " (CROSSDOCK_SYNC_MIN_INTERVAL)"
        )
        checker.error(WRONG_VALUE, schedule.get("cron") or schedule, message)
    if spread and spread >= interval:
        message = f"the times are {interval.total_seconds():.0f} s apart: jitter must be shorter than that"
        checker.error(WRONG_VALUE, jitter or schedule, message)


def _check_events(root: MappingNode, source: MappingNode | None, checker: Checker) -> None:
    on_event, key = _mapping(root, "on_event"), root.key("on_event")
    if key is not None and root.get("events") is None:
        checker.error(CONTRADICTION, key, '"on_event" goes with "events"')
    pins = check_pins(root, checker)
    one = on_event.get("one") if on_event is not None else None
    if one is None:
        return
    able = _ability(source, "source", checker) if source is not None else None
    if able is not None and source is not None and not able.fetches:
        checker.error(CANNOT, one, f"{source.text('call')} cannot read one record")
    if source is not None and source.get("primary_key") is None:
        checker.error(MISSING_KEY, source, '"primary_key" is missing in source: one record is read by it')
    for name, schema in _schemas(root, pins, checker):
        check_reads(one, EVENT_PLACE, {"event": ENVELOPE_SCHEMA, "data": schema}, name, checker)


def _schemas(root: MappingNode, pins: Mapping[str, int], checker: Checker) -> Iterator[tuple[str, Any]]:
    """Yield each known event type that the job takes, with the schema of the version that it gets."""
    patterns = _texts(root.get("events"))
    for name in sorted(checker.catalog.names("EventType")):
        if any(matches(pattern, name) for pattern in patterns):
            body = body_of(name, pins, checker)
            schema = body.get("schema") if body is not None else None
            if isinstance(schema, dict) and compiled(schema) is not None:
                yield name, schema
