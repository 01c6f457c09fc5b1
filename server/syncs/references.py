"""References between jobs: `{from: row.customer_id, ref: customers-to-erp}` becomes what that job's target calls the record.

A map is split: what an expression makes of a row, and the places where the key that it made stands for another job's record.
Keys are looked up in the ledger, all of a batch in one query.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from server.kernel.errors import CrossdockError, Permanent, code
from server.kernel.policies import parse_duration
from server.sdk.positions import unpacked
from server.syncs import ledger
from server.syncs.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.engine import Connection

    from server.sdk.sources import Row
    from server.syncs.batches import Made, Outcome
    from server.syncs.job import Job

OnMissing = Literal["park", "fail", "create"]
ON_MISSING: tuple[OnMissing, ...] = ("park", "fail", "create")
DEFAULT_MISSING: OnMissing = "park"
DEFAULT_WAIT = "24h"
REF_OPTIONS = ("ref", "on_missing", "wait")
"""What of a value's options is ours; all else is the mapping's."""

REFERENCE_MISSING = code(
    "REFERENCE_MISSING", "The record refers to one that the other sync job has not written; `details` has its key."
)
_EACH = "*"
_FIND = """
SELECT k.job, k.key, m.target_id, m.target_key FROM unnest(%(jobs)s::text[], %(keys)s::text[]) AS k(job, key)
JOIN sync_jobs j ON j.workspace_id = %(workspace)s AND j.name = k.job AND j.deleted_at IS NULL
CROSS JOIN LATERAL (SELECT r.* FROM sync_records r WHERE r.job_id = j.id AND r.key = k.key OFFSET 0) AS m
WHERE m.workspace_id = %(workspace)s AND m.gone_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Reference:
    """A place in a record (`*` is every item of a list) whose value is the key of a record of another job; `wait` in seconds."""

    pointer: tuple[str | int, ...]
    job: str
    on_missing: OnMissing = DEFAULT_MISSING
    wait: float = parse_duration(DEFAULT_WAIT)


@dataclass(frozen=True, slots=True)
class Parked:
    """A row of which no record is written until another job has written the record that it refers to."""

    key: str
    row: Row
    reference: Reference
    ref_key: str


def split(node: Any) -> tuple[Any, tuple[Reference, ...]]:
    """Return a checked map without its references, as the mapping knows it, and the references."""
    found: list[Reference] = []
    return _split(node, (), found), tuple(found)


def resolve(conn: Connection, workspace: int, job: Job, made: Sequence[Made], done: Outcome) -> list[Made]:
    """Put the other targets' ids into records; what lacks one is parked, or refused, and does not go on."""
    places = [(each, list(_places(each, job))) for each in made]
    wanted = {(reference.job, key) for _, found in places for _, _, reference, key in found}
    known = found_ids(conn, workspace, sorted(wanted)) if wanted else {}
    complete: list[Made] = []
    for each, found in places:
        missing = [(reference, key) for _, _, reference, key in found if (reference.job, key) not in known]
        if not missing:
            for container, step, reference, key in found:
                container[step] = known[reference.job, key]
            complete.append(each)
            continue
        failing = next((one for one in missing if one[0].on_missing == "fail"), None)
        if failing is not None or each.key is None:
            error = missing_error(*(failing or missing[0]))
            done.refused.append(Refused(each.key, each.row, each.record, error, "reference"))
        else:
            done.parked.append(Parked(each.key, each.row, *missing[0]))
    return complete


def found_ids(conn: Connection, workspace: int, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Any]:
    """Return (job, key) → the id over there, or what it is matched on where the target tells no ids."""
    values = {"workspace": workspace, "jobs": [job for job, _ in wanted], "keys": [key for _, key in wanted]}
    return {(row.job, row.key): _id(row) for row in conn.exec_driver_sql(_FIND, values)}


def missing_error(reference: Reference, key: str) -> CrossdockError:
    """Return why a record is refused."""
    message = f"{reference.job} has not written the record with the key {key[:200]}"
    return Permanent(message, code=REFERENCE_MISSING, source="sync", job=reference.job, key=key[:1000])


def _id(row: Any) -> Any:
    if row.target_id is not None:
        return row.target_id
    values = unpacked(row.target_key or ())
    return values[0] if len(values) == 1 else list(values)


def _split(node: Any, pointer: tuple[str | int, ...], found: list[Reference]) -> Any:
    if isinstance(node, list):
        return [_split(each, (*pointer, number), found) for number, each in enumerate(node)]
    if not isinstance(node, dict) or "value" in node:
        return node
    if "from" in node:
        if "ref" in node:
            wait = parse_duration(node.get("wait", DEFAULT_WAIT))
            found.append(Reference(pointer, node["ref"], node.get("on_missing", DEFAULT_MISSING), wait))
        return {name: value for name, value in node.items() if name not in REF_OPTIONS}
    if "each" in node:
        return {**node, "map": _split(node.get("map"), (*pointer, _EACH), found)}
    return {name: _split(each, (*pointer, name), found) for name, each in node.items()}


def _places(made: Made, job: Job) -> Iterator[tuple[Any, Any, Reference, str]]:
    """Yield every key in a record that stands for another: what it stands in, where, the reference, and the ledger's key."""
    for reference in job.references:
        for container, step in _within(made.record, reference.pointer):
            value = container[step]
            if value is not None:
                yield container, step, reference, ledger.key_of(value if isinstance(value, list) else [value])


def _within(node: Any, pointer: Sequence[str | int]) -> Iterator[tuple[Any, Any]]:
    step, rest = pointer[0], pointer[1:]
    steps = range(len(node)) if step == _EACH and isinstance(node, list) else (step,)
    for each in steps:
        if rest:
            yield from _within(node[each], rest)
        else:
            yield node, each
