"""What a run would do: the first rows of its window, mapped, and compared field by field with what the target holds. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from server.integrations.guards import LONGEST_BY_HAND
from server.sdk.positions import as_json, unpacked
from server.sdk.sources import ReadRequest
from server.sdk.targets import Destination
from server.syncs import batches, windows
from server.syncs.batches import Outcome
from server.syncs.filling import Filler, FillingEnd, ends_of
from server.syncs.job import job_of
from server.syncs.ledger import key_of, known_of
from server.syncs.references import resolve
from server.syncs.repository import SYNC_JOBS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.events.admitting import Admit
    from server.integrations.calls import Caller
    from server.integrations.making import Making
    from server.kernel.clock import Clock
    from server.sdk.sources import Row
    from server.store import Cause, Scope, Store
    from server.syncs.ends import SourceEnd, TargetEnd
    from server.syncs.job import Job

MOST_SAMPLES = 100
_STATE = "SELECT position, token FROM sync_states WHERE workspace_id = :workspace_id AND job_id = :job"


@dataclass(frozen=True, slots=True)
class Preview:
    """Makes previews: reads from the source and the target, with no transaction open."""

    store: Store
    making: Making
    caller: Caller
    clock: Clock
    admit: Admit

    def of(self, scope: Scope, cause: Cause, name: str, number: int) -> dict[str, Any]:
        """Return counts and samples of what a run of a job, begun now, would do with its first rows.

        Raises:
            NotFound, Conflict: no such job, or an integration that rests. Retryable, Permanent: an end fails.

        """
        with self.store.begin(scope, cause) as tx:
            found = SYNC_JOBS.get(tx, name)
            job = job_of(found.body)
            filler = Filler(self.store, self.admit)
            source, target = ends_of(tx, self.making, self.caller, job, filler, within=LONGEST_BY_HAND)
            state = tx.one(_STATE, job=found.id)
        position = unpacked(state.position) if state is not None and state.position is not None else None
        token = state.token if state is not None else None
        request = self._request(job, position, token, number)
        rows = _first(source, request, number)
        with self.store.begin(scope, cause) as tx:
            keys = [key_of([row.get(each) for each in job.source.primary_key]) for row in rows]
            known = known_of(tx.conn, scope.workspace_id, found.id, keys) if batches.keeps_ledger(job) else {}
        done = Outcome(read=len(rows))
        run = {"id": "run_preview", "job": job.name, "cause": "person", "started_at": _now(self.clock), "nominal": None}
        made = batches.prepare(job, found.definition_version, rows, run, known, done)
        if job.references:
            with self.store.begin(scope, cause) as tx:
                made = resolve(tx.conn, scope.workspace_id, job, made, done)
        present = _present(job, target, made)
        samples = [_sample(each, there) for each, there in zip(made, present, strict=True)]
        done.unchanged += sum(each["action"] == "unchanged" for each in samples)
        return {
            "job": job.name,
            "total": source.count(request),
            "read": len(rows),
            "create": sum(each["action"] == "create" for each in samples),
            "update": sum(each["action"] == "update" for each in samples),
            "unchanged": done.unchanged,
            "delete": len(done.gone),
            "refused": [
                {"key": each.key, "error": each.error.failure.as_dict(), "row": as_json(each.row)}
                for each in done.refused
            ],
            "samples": [each for each in samples if each["action"] != "unchanged"],
        }

    def _request(self, job: Job, position: Any, token: Any, number: int) -> ReadRequest:
        cursor = job.source.cursor
        by_fields = cursor is not None and bool(cursor.fields)
        bounds = windows.first(job, position, self.clock.now())
        return ReadRequest(
            options=job.source.options,
            primary_key=job.source.primary_key,
            window=bounds.window(cursor) if cursor is not None and by_fields else None,
            token=token if cursor is not None and not by_fields else None,
            size=number,
        )


def changes_of(record: Row, there: Row) -> list[dict[str, Any]]:
    """Return the fields whose value would become another."""
    return [
        {"field": name, "from": as_json(there.get(name)), "to": as_json(value)}
        for name, value in record.items()
        if not same(value, there.get(name))
    ]


def same(left: Any, right: Any) -> bool:
    """Say whether two values are the same, whatever form the two systems give them: 1.50 is "1.5", a moment is its text."""
    if left == right:
        return True
    if left is None or right is None:
        return False
    mine, theirs = windows.moment(left), windows.moment(right)
    if mine is not None and theirs is not None:
        return mine == theirs
    try:
        return Decimal(str(as_json(left))) == Decimal(str(as_json(right)))
    except InvalidOperation:
        return str(as_json(left)) == str(as_json(right))


def _first(source: SourceEnd, request: ReadRequest, number: int) -> list[Row]:
    rows: list[Row] = []
    pages = source.pages(request)
    try:
        for page in pages:
            rows.extend(page.rows)
            if len(rows) >= number:
                break
    finally:
        pages.close()
    return rows[:number]


def _present(job: Job, target: TargetEnd, made: Sequence[batches.Made]) -> Sequence[Row | None]:
    """Return what the target holds; where it cannot tell, or nothing is matched on, every record looks new."""
    if isinstance(target, FillingEnd):
        came = target.filling.known([each.record for each in made])
        return [each.record if known else None for each, known in zip(made, came, strict=True)]
    keys = [each.target_key for each in made]
    if not job.target.match_on or not keys:
        return [None] * len(keys)
    to = Destination(options=job.target.options, match_on=job.target.match_on)
    return target.do(lambda end, context: end.lookup(to, keys, context) if end.looks_up else [None] * len(keys))


def _sample(made: batches.Made, there: Row | None) -> dict[str, Any]:
    changes = [] if there is None else changes_of(made.record, there)
    action = "create" if there is None else "update" if changes else "unchanged"
    return {"key": made.key, "action": action, "record": as_json(made.record), "changes": changes}


def _now(clock: Clock) -> str:
    return clock.now().isoformat().replace("+00:00", "Z")
