"""Schema drift: a job remembers what its source's rows look like, and does what `schema_drift` says when that changes.

What is usual is learned until the first run has succeeded, and anew when the definition's source or map is another: who applied
that has looked. A row of known fields and types costs one look into a set.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import orjson

from server.kernel.errors import Permanent, PreconditionFailed, Retryable, code
from server.kernel.ids import show
from server.sdk.sources import BROKEN_ROW
from server.store.values import write_json
from server.syncs import ledger
from server.syncs.readable import shapes_of
from server.syncs.refused import Refused
from server.syncs.repository import SYNC_JOBS
from server.syncs.shapes import Change, Shape

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from server.sdk.sources import Row
    from server.store import Cause, Scope, Store, Tx
    from server.syncs.job import Job
    from server.syncs.progress import Progress

SCHEMA_CHANGED = code(
    "SCHEMA_CHANGED",
    "The rows of the source have other fields or types than before; `details` names them. Apply a definition whose source or map "
    "knows them, or let one run go with `schema_drift: evolve`.",
)
_SEEN = 20_000
_TRIES = 3
_LOAD = """
SELECT origin, fields, is_settled, revision FROM sync_shapes WHERE workspace_id = :workspace_id AND job_id = :job
"""
_FIRST = """
INSERT INTO sync_shapes (workspace_id, job_id, origin, fields) VALUES (:workspace_id, :job, :origin, CAST(:fields AS json))
ON CONFLICT (job_id) DO NOTHING
"""
_SAVE = """
UPDATE sync_shapes SET origin = :origin, fields = CAST(:fields AS json), is_settled = :is_settled, revision = revision + 1,
  updated_at = now()
WHERE workspace_id = :workspace_id AND job_id = :job AND revision = :revision
"""


@dataclass(slots=True)
class _Kept:
    shape: Shape
    is_settled: bool = False
    revision: int = 0


class Drift:
    """Looks at the rows of one run. Used by all threads that read for it."""

    def __init__(self, store: Store, scope: Scope, cause: Cause, run: Progress, job: Job) -> None:
        self._store, self._scope, self._cause = store, scope, cause
        self._run, self._job = run, job
        self._seen: set[tuple[Any, ...]] = set()
        self._kept: _Kept | None = None
        self._lock = threading.Lock()

    def vet(
        self, rows: Sequence[Row], refused: list[Refused], shapes: Sequence[tuple[Any, ...]] | None = None
    ) -> Sequence[Row]:
        """Return the rows that go on; what the job refuses of them is added to `refused`. `shapes` has one for each row.

        Raises:
            Permanent: SCHEMA_CHANGED, the job is frozen; nothing of these rows was written.

        """
        if self._job.schema_drift == "ignore" and self._job.map is not None:
            return rows  # the map takes what it names
        seen = self._seen
        shown = shapes_of(rows) if shapes is None else shapes
        fresh = [row for row, shape in zip(rows, shown, strict=True) if shape not in seen]
        if fresh:
            with self._lock:
                bad = self._look(fresh)
            if bad:
                refused += [self._refused(row, change) for row, change in bad]
                among = {id(row) for row, _ in bad}
                rows = [row for row in rows if id(row) not in among]
        if self._job.schema_drift == "ignore" and self._kept is not None and self._kept.is_settled:
            known = self._kept.shape.fields
            return [{name: value for name, value in row.items() if name in known} for row in rows]
        return rows

    def begin(self) -> AbstractContextManager[Tx]:
        """Begin a transaction in the name of the run: for what is told by events of the job."""
        return self._store.begin(self._scope, self._cause)

    def settle(self) -> None:
        """Note that a run has succeeded: what it has read is what is usual."""
        kept = self._kept
        if kept is not None and not kept.is_settled and kept.shape.fields:
            kept.is_settled = True
            with self._store.begin(self._scope, self._cause) as tx:
                self._save(tx)

    def _look(self, fresh: Sequence[Row]) -> list[tuple[Row, Change]]:
        """Learn what is new, note it, stop the run for it, or return the rows that are not as they should be."""
        kept = self._load()
        bad: list[tuple[Row, Change]] = []
        whole, news = Change(), False
        for row in fresh:
            if BROKEN_ROW in row:
                continue
            change = kept.shape.change_of(row) if kept.is_settled else Change()
            if change and self._job.schema_drift in ("freeze", "dead_letter"):
                bad.append((row, change))
                whole.take(change)
                continue
            if change and self._job.schema_drift == "ignore":
                continue
            whole.take(change)
            news = kept.shape.learn(row, first=not kept.shape.fields) or news
            self._remember(row)
        if bad and self._job.schema_drift == "freeze":
            raise self._changed(whole)
        if news:
            self._note(whole if not bad else Change())
        return bad

    def _remember(self, row: Row) -> None:
        if len(self._seen) >= _SEEN:
            self._seen.clear()
        self._seen.add((*row, *map(type, row.values())))

    def _load(self) -> _Kept:
        if self._kept is None:
            with self._store.begin(self._scope, self._cause) as tx:
                self._kept = self._read(tx)
        return self._kept

    def _read(self, tx: Tx) -> _Kept:
        origin = _origin(self._job)
        row = tx.one(_LOAD, job=self._run.job_id)
        if row is None:
            tx.run(_FIRST, job=self._run.job_id, origin=origin, fields="{}")
            row = tx.one(_LOAD, job=self._run.job_id)
        if row is None or row.origin != origin:
            return _Kept(Shape(), revision=row.revision if row else 1)
        return _Kept(Shape.of_json(row.fields), row.is_settled, row.revision)

    def _note(self, change: Change) -> None:
        """Keep the shape and, where it has changed, say so, in one transaction."""
        for _ in range(_TRIES):
            try:
                with self._store.begin(self._scope, self._cause) as tx:
                    self._save(tx)
                    found = SYNC_JOBS.by_id(tx, self._run.job_id) if change else None
                    if found is not None and found.state != "archived":
                        found.note_schema(show("run", self._run.run), **change.as_dict())
                        SYNC_JOBS.save(tx, found)
            except PreconditionFailed:  # somebody changed the job just now
                continue
            return
        raise Retryable("the sync job is being changed", source="sync")

    def _save(self, tx: Tx) -> None:
        kept = self._load()
        values = {
            "job": self._run.job_id,
            "origin": _origin(self._job),
            "fields": write_json(kept.shape.as_json()),
            "is_settled": kept.is_settled,
        }
        row = tx.run(_SAVE + " RETURNING revision", **values, revision=kept.revision).first()
        if row is None:  # another worker has the run, or had it: what it has learned counts too
            self._kept = None
            raise Retryable("what the rows look like was noted by another worker", source="sync")
        tx.after_commit("shape", lambda: setattr(kept, "revision", row.revision))

    def _refused(self, row: Row, change: Change) -> Refused:
        values = [row.get(each) for each in self._job.source.primary_key]
        key = ledger.key_of(values) if values and None not in values else None
        return Refused(key, row, None, self._changed(change), "schema")

    def _changed(self, change: Change) -> Permanent:
        message = f"the rows of the source have changed; {change.described()}"
        return Permanent(message, code=SCHEMA_CHANGED, source="sync", **change.as_dict())


def _origin(job: Job) -> str:
    source = job.source
    known = [source.integration, source.operation, source.options, job.map]
    return blake2b(orjson.dumps(known, default=str, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()
