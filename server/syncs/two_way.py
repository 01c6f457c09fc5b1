"""One slice of a run that goes both ways: first what changed at the source, then what changed at the target, under one lease.

Whichever side a change is read on, the record is read on the other side too, merged against what both agreed on last, and written
where it has to change. What is about to be written is kept before it is (a plan), so that whoever comes after a crash can tell our
own writing from an edit.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from server.kernel.errors import Permanent, PreconditionFailed, Retryable, code
from server.kernel.ids import show
from server.sdk.positions import packed, unpacked
from server.sdk.targets import Destination
from server.syncs import bases, batches, ledger, progress, windows
from server.syncs.bases import Kept, Known, plain_key
from server.syncs.batches import Outcome, Place
from server.syncs.both_ways import CrossingDeletes, asking
from server.syncs.ledger import Entry
from server.syncs.merging import Contested, Plan, agreed, changed, merge, recovered
from server.syncs.repository import SYNC_JOBS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from server.queue.claims import Claim
    from server.sdk.sources import Key, Page, Row
    from server.store import Store
    from server.syncs.batches import Made
    from server.syncs.drift import Drift
    from server.syncs.ends import SourceEnd, TargetEnd
    from server.syncs.pairs import Pair
    from server.syncs.progress import Progress

TWO_WAY_FIELD = code(
    "TWO_WAY_FIELD",
    "A row of the target lacks a field of the map: a two-way job reads them under the names that it writes them.",
)
_STATE = "SELECT back_position, back_token FROM sync_states WHERE workspace_id = %(workspace)s AND job_id = %(job)s"
_GO_ON = """
INSERT INTO sync_states (workspace_id, job_id, back_position, back_token, run_id)
VALUES (%(workspace)s, %(job)s, %(position)s, %(token)s, %(run)s)
ON CONFLICT (job_id) DO UPDATE SET back_position = coalesce(excluded.back_position, sync_states.back_position),
  back_token = coalesce(excluded.back_token, sync_states.back_token), run_id = excluded.run_id, updated_at = now()
"""


@dataclass(slots=True)
class Twin:
    """A record on both sides: its rows, what they say of the fields, and what becomes of them."""

    key: str
    source_key: Key
    target_key: Key
    made: Made | None = None
    """What the source's row makes."""
    target_row: Row | None = None
    source: Row | None = None
    target: Row | None = None
    base: Row = field(default_factory=dict)
    plan: Plan = field(default_factory=Plan)
    in_source: bool = True
    in_target: bool = True

    @property
    def ledger_key(self) -> str:
        """The key by which ledger and runs know it."""
        return ledger.key_of(self.source_key)


@dataclass(slots=True)
class Done:
    """What became of some records: counters, what to keep of each, and their conflicts."""

    outcome: Outcome
    kept: list[Kept] = field(default_factory=list)
    conflicts: dict[str, tuple[Key, dict[str, Contested]]] = field(default_factory=dict)


class TwoWay(CrossingDeletes):
    """A slice that goes both ways; in phase `back`, `job`, `source` and `target` are those of the way back."""

    def __init__(
        self,
        store: Store,
        claim: Claim,
        run: Progress,
        pair: Pair,
        ends: tuple[SourceEnd, TargetEnd],
        back: tuple[SourceEnd, TargetEnd],
        drift: Drift | None = None,
    ) -> None:
        super().__init__(store, claim, run, pair.there, *ends, drift)
        self.pair, self.ends, self.back = pair, ends, back
        self.to_source = Destination(
            options=pair.back.target.options, match_on=pair.back.target.match_on, run=show("run", run.run)
        )

    def work(self) -> bool:
        """Go on where the run has got to, until it ends or the time is over; raises what a slice raises."""
        if self.run.key is not None:
            self._one()
            return True
        if self.run.phase == "begin":
            self._begin()
        if self.run.phase == "read" and not self._direction():
            return False
        if self.run.phase == "back":
            self._face_back()
            if not self._direction():
                return False
        if self.run.phase == "snapshot":
            self._look_for_deletes()
        if self.run.phase == "delete" and not self._cross():
            return False
        self._finish()
        return True

    def _page(self, page: Page) -> None:
        """Sync the records of a page, of either side, and record it."""
        is_back = self.run.phase == "back"
        done = self._of_target(page.rows) if is_back else self._of_source(page.rows)
        self._advance(page, None)
        with self._kept(done) as conn:
            progress.save(conn, self.run)
            if self.run.high is not None:
                self._go_on(conn)
        self._vet_refused(done.outcome)

    def _pages(self) -> bool:
        pages = self.source.pages(self.request())
        try:
            for page in pages:
                self._page(page)
                if time.monotonic() > self.until:
                    return False
        finally:
            pages.close()
        return True

    def _direction(self) -> bool:
        """Read one side to its end; say whether there was time."""
        while True:
            if not self._pages():
                return False
            cursor = self.job.source.cursor
            following = windows.following(cursor, self.run.bounds) if cursor else None
            with self.store.connect() as conn:
                progress.fence(conn, self.claim)
                self.run.position = None
                if following is None:
                    self._turn(conn)
                else:
                    self.run.bounds = following
                progress.save(conn, self.run)
            if following is None:
                return True

    def _turn(self, conn: Connection) -> None:
        """Go on with the other direction, or with the end."""
        run = self.run
        self._go_on(conn, token=True)
        if run.phase == "back":
            run.phase = "snapshot" if self._deletes_are_due() else "finish"
            return
        position, token = self._back_state(conn)
        run.phase, run.high, run.token = "back", None, token
        run.bounds = windows.first(self.pair.back, position, run.now)

    def _face_back(self) -> None:
        self.job = self.pair.back
        self.source, self.target = self.back
        with self.store.connect() as conn:
            _, self.run.job_token = self._back_state(conn)

    def _back_state(self, conn: Connection) -> tuple[Any, Any]:
        row = conn.exec_driver_sql(_STATE, {"workspace": self.run.workspace_id, "job": self.run.job_id}).first()
        if row is None:
            return None, None
        return None if row.back_position is None else unpacked(row.back_position), row.back_token

    def _go_on(self, conn: Connection, *, token: bool = False) -> None:
        run = self.run
        if run.phase != "back":
            if run.high is not None or token:
                progress.go_on_from(conn, run, token=token)
            return
        values = {
            "workspace": run.workspace_id,
            "job": run.job_id,
            "position": None if run.high is None else progress.stored(packed(run.high)),
            "token": progress.stored(run.token) if token else None,
            "run": run.run,
        }
        conn.exec_driver_sql(_GO_ON, values)

    def _finish(self) -> None:
        if self.drift is not None:
            self.drift.settle()
        with self.store.connect() as conn:
            progress.fence(conn, self.claim)
            progress.end(conn, self.claim, self.run, "succeeded")

    def _one(self) -> None:
        """Sync one record, by the primary key of the source's row; the target's alone counts where that is gone."""
        key = tuple(self.run.key)
        rows = self.ends[0].fetch(asking(self.pair.there.source), [key]) if key else []
        done = self._of_source(rows, always=True)
        if not rows and key:
            with self.store.connect() as conn:
                known = bases.load(conn, self.run, [plain_key(key)]).get(plain_key(key), Known())
            if known.target_key:
                done = self._of_target(
                    self.back[0].fetch(asking(self.pair.back.source), [known.target_key]), always=True
                )
        with self._kept(done) as conn:
            progress.end(conn, self.claim, self.run, "succeeded")

    @contextmanager
    def _kept(self, done: Done) -> Iterator[Connection]:
        """Keep what became of records in one transaction with what the caller does; conflicts that are new are told of in it."""
        contested = any(fields for _, fields in done.conflicts.values())
        if self.drift is None or not contested:
            with self.store.connect() as conn:
                self._keep_done(conn, done)
                yield conn
            return
        try:
            with self.drift.begin() as tx:
                opened = self._keep_done(tx.conn, done)
                job = SYNC_JOBS.by_id(tx, self.run.job_id) if opened else None
                if job is not None and job.state != "archived":
                    job.note_conflicts(show("run", self.run.run), opened)
                    SYNC_JOBS.save(tx, job)
                yield tx.conn
        except PreconditionFailed as error:  # somebody changed the job just now: the batch comes again
            raise Retryable("the sync job is being changed", source="sync") from error

    def _keep_done(self, conn: Connection, done: Done) -> list[dict[str, Any]]:
        """Write it under the fence; return the conflicts that are new."""
        progress.fence(conn, self.claim)
        bases.put(conn, self.run, done.kept)
        opened = bases.contest(conn, self.run, done.conflicts)
        self._record(conn, done.outcome, [])
        return opened

    def _of_source(self, rows: Sequence[Row], *, always: bool = False) -> Done:
        """Sync what rows of the source tell of; without `always` only what was not agreed on."""
        done = Done(Outcome(read=len(rows)))
        if self.drift is not None:
            rows = self.drift.vet(rows, done.outcome.refused)
        twins = self._from_source(rows, done.outcome)
        known = self._known(twins)
        asked = [
            each for each in twins.values() if always or _is_news(known.get(each.key), each.source or {}, done.outcome)
        ]
        fields = self.pair.back.source.primary_key
        wanted = {plain_key(each.target_key): each for each in asked}
        for row in self._fetched(self.back[0], self.pair.back.source, [each.target_key for each in asked]):
            twin = wanted.get(plain_key([row.get(name) for name in fields]))
            if twin is not None:
                self._see_target(twin, row)
        return self._synced(asked, known, done)

    def _of_target(self, rows: Sequence[Row], *, always: bool = False) -> Done:
        """Sync what rows of the target tell of."""
        done = Done(Outcome(read=len(rows)))
        twins: dict[str, Twin] = {}
        fields = self.pair.back.source.primary_key
        mapped = batches.prepare(self.pair.back, self.run.definition_version, rows, self._shown, {}, done.outcome)
        done.outcome.refused = [replace(each, key=None) for each in done.outcome.refused]  # none that the source knows
        for made in mapped:
            twin = Twin(plain_key(made.target_key), made.target_key, tuple(made.row[name] for name in fields))
            self._see_target(twin, made.row)
            twins[twin.key] = twin
        known = self._known(twins)
        asked = {
            each.key: each
            for each in twins.values()
            if always or _is_news(known.get(each.key), each.target or {}, done.outcome)
        }
        found = self._fetched(self.ends[0], self.pair.there.source, [each.source_key for each in asked.values()])
        for key, twin in self._from_source(found, done.outcome).items():
            if key in asked:
                asked[key].made, asked[key].source = twin.made, twin.source
                asked[key].source_key = twin.source_key
        broken = {plain_key(ledger.values_of(each.key)) for each in done.outcome.refused if each.key is not None}
        return self._synced([each for each in asked.values() if each.key not in broken], known, done)

    def _from_source(self, rows: Sequence[Row], outcome: Outcome) -> dict[str, Twin]:
        """Return what rows of the source make, by plain key."""
        made = batches.prepare(self.pair.there, self.run.definition_version, rows, self._shown, {}, outcome)
        names = self.pair.there.source.primary_key
        twins = {}
        for each in made:
            key = tuple(each.row[name] for name in names)
            image = {name: each.record.get(name) for name in self.pair.fields}
            twins[plain_key(key)] = Twin(plain_key(key), key, each.target_key, each, source=image)
        return twins

    def _see_target(self, twin: Twin, row: Row) -> None:
        lost = next((name for name in self.pair.fields if name not in row), None)
        if lost is not None:
            raise Permanent(f"the target's row has no {lost}", code=TWO_WAY_FIELD, source="sync", field=lost)
        twin.target_row, twin.target = row, {name: row[name] for name in self.pair.fields}

    def _known(self, twins: Mapping[str, Twin]) -> dict[str, Known]:
        with self.store.connect() as conn:
            return bases.load(conn, self.run, list(twins)) if twins else {}

    def _synced(self, twins: Sequence[Twin], known: Mapping[str, Known], done: Done) -> Done:
        """Merge records and write where one has to change; what is agreed on after it is for the checkpoint to keep."""
        for twin in twins:
            kept = known.get(twin.key, Known())
            was = kept.plan
            twin.base = recovered(kept.base, was, twin.source, twin.target) if was else kept.base
            later = self.pair.later(twin.made.row if twin.made else None, twin.target_row)
            twin.plan = merge(self.pair.rules, twin.base, twin.source, twin.target, later, kept.decided)
        writing = [each for each in twins if each.plan.to_source or each.plan.to_target]
        self._vet_changes(len(writing))
        if writing:
            with self.store.connect() as conn:
                progress.fence(conn, self.claim)
                bases.put(
                    conn,
                    self.run,
                    [Kept(each.key, each.target_key, each.base, each.ledger_key, each.plan) for each in writing],
                )
            self._write_target([each for each in writing if each.plan.to_target], done.outcome)
            self._write_source([each for each in writing if each.plan.to_source and each.in_target], done.outcome)
        for twin in twins:
            base = agreed(twin.base, twin.plan, source=twin.in_source, target=twin.in_target)
            done.kept.append(Kept(twin.key, twin.target_key, base, twin.ledger_key))
            if twin.plan.conflicts or (twin.key in known and known[twin.key].has_conflict):
                done.conflicts[twin.key] = (twin.source_key, twin.plan.conflicts)
            if twin.in_source and twin.in_target:
                entry = Entry(twin.ledger_key, ledger.hash_of(base), twin.target_key)
                done.outcome.entries.append(entry)
        done.outcome.written += sum(each.in_source and each.in_target for each in writing)
        done.outcome.unchanged += len(twins) - len(writing)
        return done

    def _write_target(self, twins: Sequence[Twin], outcome: Outcome) -> None:
        made = {}
        match_on = self.pair.there.target.match_on
        for twin in twins:
            if twin.made is not None:
                key = dict(zip(match_on, twin.target_key, strict=True))
                record = {**key, **(twin.target or {}), **twin.plan.to_target}
                made[twin.ledger_key] = replace(twin.made, key=twin.ledger_key, record=record, hash=self._hash(record))
        written = Outcome()
        batches.write(self.pair.there, self.ends[1], self.to, list(made.values()), Place(str(self.run.run)), written)
        outcome.refused += written.refused
        keys = {each.key for each in written.entries}
        for twin in twins:
            twin.in_target = twin.ledger_key in keys

    def _write_source(self, twins: Sequence[Twin], outcome: Outcome) -> None:
        """Make the source's records of the target's rows with the merged values, and write them."""
        rows = [{**(each.target_row or {}), **(each.source or {}), **each.plan.to_source} for each in twins]
        by_row = {id(row): twin for row, twin in zip(rows, twins, strict=True)}
        made, written = [], Outcome()
        for each in batches.prepare(self.pair.back, self.run.definition_version, rows, self._shown, {}, written):
            twin = by_row[id(each.row)]
            made.append(replace(each, key=twin.ledger_key, hash=self._hash(each.record)))
        batches.write(self.pair.back, self.back[1], self.to_source, made, Place(str(self.run.run)), written)
        outcome.refused += [replace(each, key=by_row[id(each.row)].ledger_key) for each in written.refused]
        keys = {each.key for each in written.entries}
        for twin in twins:
            twin.in_source = twin.ledger_key in keys

    def _hash(self, record: Row) -> bytes:
        """Return what makes the idempotency key: a value that comes back in a later run is written again."""
        return ledger.hash_of({"run": str(self.run.run), "record": record})


def _is_news(known: Known | None, side: Row, outcome: Outcome) -> bool:
    """Say whether a side has what was not agreed on; what has nothing is counted as unchanged: an echo, or read twice."""
    if known is None or not known.base or known.plan is not None or changed(known.base, side):
        return True
    outcome.unchanged += 1
    return False
