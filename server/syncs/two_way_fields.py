"""`two_way` in a definition: its fields, and its rules with the rest of the job."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from server.documents.expressions import ExpressionText, MapValue
from server.documents.fields import CONTRADICTION, MISSING_KEY, WRONG_VALUE, Field, ListOf, MappingOf, Object
from server.documents.findings import nearest, shown
from server.documents.nodes import ListNode, MappingNode, ScalarNode, plain, whole
from server.documents.scalars import Choice, Duration, Number, Text
from server.integrations.fallback import CallName
from server.mapping import PLACES, ExpressionError, compile_map
from server.syncs import job
from server.syncs.check import CANNOT, check_ends
from server.syncs.fields import End, operation_of
from server.syncs.job import DEFAULT_MODE, PLACE
from server.syncs.merging import DEFAULT_POLICY, POLICIES
from server.syncs.pairs import DEFAULT_OF, SIDES
from server.syncs.reference_fields import references_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.documents.checking import Checker
    from server.documents.nodes import Node

_NAME = Text(200, about="the name of a field")
WAYS_OUT = {
    "delete": ": say two_way.deletes",
    "revertible": ": there are two sides to undo. What is set right on one of them a run takes to the other",
}
_MAP_OPTIONS = frozenset(("from", "each", "value"))
_TIMES = Object(
    (
        Field("source", ExpressionText(PLACE), "When a row of the source was changed.", example="row.updated_at"),
        Field("target", ExpressionText(PLACE), "When a row of the target was changed.", example="row.changed_at"),
    ),
    name="updated",
)
_CONFLICTS = Object(
    (
        Field("default", Choice(POLICIES), "For fields that are not named.", default=DEFAULT_POLICY),
        Field("fields", MappingOf(Choice(POLICIES)), "By the name of a field in the map."),
    ),
    name="conflicts",
)

_DELETES = Object(
    (
        Field("of", Choice((DEFAULT_OF, *SIDES)), "Whose deletes cross over.", default=DEFAULT_OF),
        Field(
            "every", Duration("1m", "365d"), "How often the keys of both sides are compared.", default=job.DEFAULT_EVERY
        ),
        Field("action", Choice(job.ACTIONS), "What is done on the other side.", default=job.DEFAULT_ACTION),
        Field(
            "max_percent",
            Number(Decimal(0), Decimal(100)),
            "Above that share of the records known nothing is deleted and the run fails.",
            default=job.DEFAULT_DELETE_PERCENT,
        ),
    ),
    name="deletes",
)


def two_way_field(cursor: Object) -> Field:
    """Return the declaration of `two_way`."""
    source = (
        Field("call", CallName(), "The operation that reads what the target holds.", required=True),
        Field("primary_key", ListOf(_NAME, 1, 10), "The fields of the target's `match_on`.", required=True),
        Field("cursor", cursor, "Where the last run ended on this side; without one every run reads all its rows."),
    )
    target = (
        Field("call", CallName(), "The operation that writes what the source holds.", required=True),
        Field("match_on", ListOf(_NAME, 1, 10), "The fields of the source's `primary_key`.", required=True),
    )
    way_back = (
        Field(
            "source",
            End("source", Object(source, name="source")),
            "How the target is read: its rows have the fields of `map` by the same names.",
            required=True,
        ),
        Field(
            "map",
            MapValue(PLACE),
            "The record for the source, made of a row of the target; it reads every field of the job's `map`.",
            required=True,
        ),
        Field("target", End("target", Object(target, name="target")), "How the source is written.", required=True),
        Field(
            "conflicts",
            _CONFLICTS,
            "Who wins where both sides have changed a field since they last agreed: the source, the target, the side changed last, "
            "or whom a person says.",
        ),
        Field("updated", _TIMES, "When a row was changed: `newest` needs it of both sides."),
        Field(
            "deletes",
            _DELETES,
            "A record that one side has no more goes on the other, unless it was edited there since. Without this it stays.",
        ),
    )
    about = "The way back: what is changed at the target goes to the source too."
    return Field("two_way", Object(way_back, name="two_way"), about)


def check_two_way(root: MappingNode, checker: Checker) -> None:
    """Check the way back as the job that it is, and both together."""
    both = root.get("two_way")
    if not isinstance(both, MappingNode):
        return
    check_ends(both, checker)
    _check_deletes(root, both, checker)
    for end in ("source", "target"):
        _check_end(root, both, end, checker)
    source, target = root.get("source"), root.get("target")
    if isinstance(source, MappingNode) and isinstance(target, MappingNode):
        _check_job(source, target, checker)
        _same(both, ("source", "primary_key"), target.get("match_on"), "the target's match_on", checker)
        _same(both, ("target", "match_on"), source.get("primary_key"), "the source's primary_key", checker)
    map_ = root.get("map")
    if not isinstance(map_, MappingNode) or _MAP_OPTIONS & set(map_.keys()):
        place = map_ or root
        checker.error(WRONG_VALUE if map_ else MISSING_KEY, place, "a two-way job needs a map of named fields")
        return
    for each in references_in(map_):
        checker.error(CONTRADICTION, each.key("ref") or each, '"ref" does not go with two_way')
    _check_conflicts(both, map_, target, checker)
    _check_reads(both, map_, target, checker)


def _check_end(root: MappingNode, both: MappingNode, end: str, checker: Checker) -> None:
    """Check that the source can be asked for one record, on either side; and that the target is written by upsert."""
    for node in (root, both):
        side = node.get(end)
        facts = operation_of(side.text("call"), checker) if isinstance(side, MappingNode) else None
        if facts is None or not isinstance(side, MappingNode):
            continue
        if end == "source" and facts.source is not None and not facts.source.fetches:
            checker.error(
                CANNOT, side.get("call") or side, f"{side.text('call')} cannot read one record: two_way needs it"
            )


def _check_deletes(root: MappingNode, both: MappingNode, checker: Checker) -> None:
    """Check that both sides list their keys, and that the other side of whose deletes cross can do what is asked."""
    deletes, key = both.get("deletes"), both.key("deletes")
    if not isinstance(deletes, MappingNode) or key is None:
        return
    for node in (root, both):
        side = node.get("source")
        facts = operation_of(side.text("call"), checker) if isinstance(side, MappingNode) else None
        if (
            isinstance(side, MappingNode)
            and facts is not None
            and facts.source is not None
            and not facts.source.snapshots
        ):
            checker.error(
                CANNOT, key, f"{side.text('call')} cannot list its keys: deletes of either side need both lists"
            )
    action, of = deletes.text("action") or job.DEFAULT_ACTION, deletes.text("of") or DEFAULT_OF
    for node, of_whom in ((root, "source"), (both, "target")):
        side = node.get("target")
        facts = operation_of(side.text("call"), checker) if isinstance(side, MappingNode) else None
        if (
            of in (DEFAULT_OF, of_whom)
            and isinstance(side, MappingNode)
            and facts is not None
            and facts.target is not None
        ):
            able = facts.target.actions
            if action not in able:
                can = ", ".join(sorted(able)) or "neither"
                checker.error(
                    CANNOT, deletes.get("action") or key, f"{side.text('call')} cannot {action}; it can {can}"
                )


def _check_job(source: MappingNode, target: MappingNode, checker: Checker) -> None:
    mode = target.text("mode") or DEFAULT_MODE
    if mode != "upsert":
        checker.error(CONTRADICTION, target.get("mode") or target, f"two_way does not go with mode {mode}: upsert")
    for end, name in ((target, "delete"), (target, "revertible"), (source, "partitions")):
        key = end.key(name)
        if key is not None:
            way_out = WAYS_OUT.get(name, "")
            checker.error(CONTRADICTION, key, f'"{name}" does not go with two_way{way_out}')
    skip = target.get("skip_unchanged")
    if isinstance(skip, ScalarNode) and skip.value is False:
        checker.error(CONTRADICTION, skip, "two_way compares what changed: skip_unchanged stays true")


def _same(both: MappingNode, path: tuple[str, str], other: Node | None, about: str, checker: Checker) -> None:
    end = both.get(path[0])
    mine = end.get(path[1]) if isinstance(end, MappingNode) else None
    if mine is not None and other is not None and whole(mine) and whole(other) and plain(mine) != plain(other):
        checker.error(WRONG_VALUE, mine, f"{path[1]} is to be {about}: {', '.join(map(str, plain(other)))}")


def _check_conflicts(both: MappingNode, map_: MappingNode, target: Node | None, checker: Checker) -> None:
    conflicts, updated = both.get("conflicts"), both.get("updated")
    fields = conflicts.get("fields") if isinstance(conflicts, MappingNode) else None
    names = [str(each) for each in map_.keys() if each not in _match_on(target)]  # noqa: SIM118 - a node is no dict
    policies = [conflicts.get("default")] if isinstance(conflicts, MappingNode) else []
    for key, value in fields.entries if isinstance(fields, MappingNode) else ():
        policies.append(value)
        if key.value not in names:
            message = f"the map makes no {shown(key.value)} that can differ"
            checker.error(WRONG_VALUE, key, message, nearest(str(key.value), sorted(names)))
    for each in policies:
        if isinstance(each, ScalarNode) and each.value == "newest":
            lacking = [side for side in ("source", "target") if not _has(updated, side)]
            if lacking:
                message = f"newest needs to know when each side was changed: updated.{' and updated.'.join(lacking)}"
                checker.error(MISSING_KEY, each, message)


def _check_reads(both: MappingNode, map_: MappingNode, target: Node | None, checker: Checker) -> None:
    """Check that every field has a way back: what is changed there and cannot be told here would never be agreed on."""
    back = both.get("map")
    if back is None or not whole(back):
        return
    try:
        compiled = compile_map(plain(back), PLACES[PLACE])
    except ExpressionError:
        return  # it has its finding
    paths = [path for place in compiled.places for path in place.expression.paths]
    if ("row",) in paths:
        return
    read = {path[1] for path in paths if len(path) > 1 and path[0] == "row"}
    for key, _ in map_.entries:
        if key.value not in read and key.value not in _match_on(target):
            checker.error(CONTRADICTION, key, f"two_way.map does not read row.{key.value}: the field has no way back")


def _has(updated: Node | None, side: str) -> bool:
    return isinstance(updated, MappingNode) and updated.get(side) is not None


def _match_on(target: Node | None) -> list[Any]:
    found = target.get("match_on") if isinstance(target, MappingNode) else None
    return list(_values(found))


def _values(node: Node | None) -> Iterator[Any]:
    for each in node.items if isinstance(node, ListNode) else ():
        if isinstance(each, ScalarNode):
            yield each.value
