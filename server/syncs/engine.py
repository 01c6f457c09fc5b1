"""One slice of a run: as many pages as five seconds hold, each written and then checkpointed in one transaction of ours.

Who dies between the target's commit and ours has written a batch that comes again, under the same keys: every mode but `append`
has the same effect twice as once. A checkpoint that finds the lease gone changes nothing.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from server.kernel.errors import Postponed, Retryable
from server.kernel.ids import show
from server.sdk.sources import ReadRequest
from server.sdk.targets import Destination
from server.syncs import batches, ledger, parked, parts, progress, references, refused, windows
from server.syncs.ahead import Ahead
from server.syncs.batches import Look, Outcome
from server.syncs.guarding import Guarded
from server.syncs.images import Images
from server.syncs.readable import keys_of, shapes_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from sqlalchemy.engine import Connection

    from server.queue.claims import Claim
    from server.sdk.sources import Key, Page, Row
    from server.store import Store
    from server.syncs.batches import Leaves
    from server.syncs.drift import Drift
    from server.syncs.ends import SourceEnd, TargetEnd
    from server.syncs.job import Job
    from server.syncs.progress import Progress

SLICE_SECONDS = 5.0


def destination_of(job: Job, run: str = "", epoch: int = 0) -> Destination:
    """Return where the records of a job go."""
    mode = "upsert" if job.target.mode == "mirror" else job.target.mode
    return Destination(options=job.target.options, match_on=job.target.match_on, mode=mode, run=run, epoch=epoch)


class Slice(Guarded):
    """A slice of a run under way: `work` returns whether the run has ended."""

    def __init__(
        self,
        store: Store,
        claim: Claim,
        run: Progress,
        job: Job,
        source: SourceEnd,
        target: TargetEnd,
        drift: Drift | None = None,
    ) -> None:
        self.store, self.claim, self.run, self.job = store, claim, run, job
        self.source, self.target, self.drift = source, target, drift
        self.to = destination_of(job, show("run", run.run), claim.epoch)
        self.keeps = batches.keeps_ledger(job)
        self.until = time.monotonic() + SLICE_SECONDS
        self.lock = threading.RLock()
        self.images = Images(store, claim, run, job, target, self.lock)
        began = run.started_at or run.now
        self._shown = {
            "id": show("run", run.run),
            "job": job.name,
            "cause": run.cause,
            "started_at": began.isoformat().replace("+00:00", "Z"),
            "nominal": run.nominal.isoformat().replace("+00:00", "Z") if run.nominal else None,
        }

    def work(self) -> bool:
        """Go on where the run has got to, until it ends or the time is over.

        Raises:
            TakenOver: another worker has the run.
            Retryable, Postponed: the batch under way comes again later. Permanent: the run fails.

        """
        if self.run.key == list(parked.WHAT_WAITED):
            return self._waited()
        if self.run.key is not None:
            self._one()
            return True
        steps = {"begin": self._begin, "read": self._read, "snapshot": self._snapshot, "delete": self._delete}
        while self.run.phase != "finish":
            if not steps[self.run.phase]():
                return False
        self._finish()
        return True

    def abandon(self) -> None:
        """Throw away what mode `replace` has written beside."""
        if self.to.mode == "replace":
            self.target.do(lambda target, context: target.abandon(self.to, context))

    def _begin(self) -> bool:
        run = self.run
        run.bounds = windows.first(self.job, run.job_position, run.now)
        run.token = run.job_token
        run.total = self.source.count(self.request())
        if self.to.mode == "replace":
            self.target.do(lambda target, context: target.begin(self.to, context))
        with self.store.connect() as conn:
            progress.fence(conn, self.claim)
            run.known = ledger.count(conn, run) if self.keeps else 0
            run.phase = "read"
            progress.save(conn, run)
        return True

    def _read(self) -> bool:
        """Read and write the windows of the run; say whether the last one was read to its end."""
        while True:
            if not (parts.read(self) if self.job.source.partitions > 1 else self.read_ahead(self.request())):
                return False
            cursor = self.job.source.cursor
            following = windows.following(cursor, self.run.bounds) if cursor else None
            with self.store.connect() as conn:
                progress.fence(conn, self.claim)
                self.run.position = None
                self.run.bounds = following or self.run.bounds
                self.run.phase = "read" if following else self._after_reading()
                progress.save(conn, self.run)
            if following is None:
                return True

    def read_ahead(self, request: ReadRequest, part: dict[str, Any] | None = None) -> bool:
        """Write and record pages, each while the next one is read and mapped; say whether the last one was among them."""
        found = Ahead(self._looked(request), lambda: time.monotonic() <= self.until)
        try:
            for page, look in found:
                self._finish_page(page, look, part)
        finally:
            found.close()
        return found.ended

    def _looked(self, request: ReadRequest) -> Generator[tuple[Page, Look], None, None]:
        pages = self.source.pages(request)
        before = None
        try:
            for page in pages:
                look = self._look(page.rows, before)
                before = look.leaves(self.run.definition_version) if self.keeps else None
                yield page, look
        finally:
            pages.close()

    def request(self) -> ReadRequest:
        """Return what the source is asked for: the window under way, from the last page's position on."""
        source, run = self.job.source, self.run
        cursor = source.cursor
        by_fields = cursor is not None and bool(cursor.fields)
        return ReadRequest(
            options=source.options,
            primary_key=source.primary_key,
            window=run.bounds.window(cursor) if cursor is not None and by_fields else None,
            token=run.job_token if cursor is not None and not by_fields else None,
            position=run.position,
            size=self.job.batch,
        )

    def _after_reading(self) -> progress.Phase:
        delete = self.job.target.delete
        if delete is None or delete.detect != "key_snapshot":
            return "snapshot" if self.job.target.mode == "mirror" else "finish"
        at = self.run.snapshot_at
        is_due = at is None or (self.run.now - at).total_seconds() >= delete.every
        return "snapshot" if is_due or self.job.target.mode == "mirror" else "finish"

    def _finish_page(self, page: Page, look: Look, part: dict[str, Any] | None) -> None:
        """Write a page and record it: of the whole window, or of a part."""
        done = self._write(look, self._place(part))
        with self.lock:
            removed = [each for each in done.gone if self._vet_deletes(len(done.gone))]
            tombstones = self._of_tombstones(page.deleted)
            removed += tombstones if self._vet_deletes(len(tombstones)) else []
            self._remove(removed)
            self._advance(page, part)
            self._checkpoint(done, [key for key, _ in removed if key is not None], go_on=part is None)
            self._vet_refused(done)

    def _checkpoint(self, done: Outcome, gone: Sequence[str], *, go_on: bool) -> None:
        if not (done.entries or done.refused or gone or self.job.references):
            self._add(done, 0)  # one statement of its own
            with self.store.statements() as conn:
                progress.checkpoint(conn, self.claim, self.run, go_on=go_on)
            return
        with self.store.connect() as conn:
            progress.fence(conn, self.claim)
            self._record(conn, done, gone)
            progress.save(conn, self.run)
            if go_on and self.run.high is not None:
                progress.go_on_from(conn, self.run)

    def _place(self, part: dict[str, Any] | None) -> batches.Place:
        """Return which page comes now: after a crash the same one begins where the last checkpoint is."""
        at = self.run.position if part is None else part["position"]
        lane = "" if part is None else batches.digest(part["of"])
        return batches.Place(str(self.run.run), lane, batches.digest([self.run.bounds.as_json(), at]))

    def _written(self, rows: Sequence[Row], place: batches.Place) -> Outcome:
        """Map and write rows; nothing of it is recorded yet."""
        return self._write(self._look(rows), place)

    def _look(self, rows: Sequence[Row], before: Leaves | None = None) -> Look:
        """Map rows. `before` is what the page before, which is perhaps not written yet, will have left in the ledger."""
        done = Outcome(read=len(rows))
        shapes = shapes_of(rows)
        if self.drift is not None:
            rows = self.drift.vet(rows, done.refused, shapes)
        skips, fields = self.keeps and self.job.target.skip_unchanged, self.job.source.primary_key
        known: dict[str, tuple[bytes, int]] = {}
        keys = [each for each in keys_of(fields, rows) if each is not None] if skips or self.job.references else []
        if skips:
            with self.store.connect() as conn:
                known = ledger.known(conn, self.run, keys)
            if before is not None:
                known = before.over(known)
        done.keys = keys if self.job.references else []
        made = batches.prepare(self.job, self.run.definition_version, rows, self._shown, known, done, frozenset(shapes))
        return Look(made, done)

    def _write(self, look: Look, place: batches.Place) -> Outcome:
        made, done = look.made, look.done
        if self.job.references and made:
            with self.store.connect() as conn:
                made = references.resolve(conn, self.run.workspace_id, self.job, made, done)
        self._vet_changes(len(made))
        self.images.writing(self.to, made)
        try:
            batches.write(self.job, self.target, self.to, made, place, done)
        except (Retryable, Postponed):
            self._keep(done)
            raise
        return done

    def _keep(self, done: Outcome) -> None:
        """Note what was written of a batch that comes again, so that only the rest of it is sent then."""
        if done.entries:
            with self.store.connect() as conn:
                progress.fence(conn, self.claim)
                ledger.put(conn, self.run, done.entries)

    def _add(self, done: Outcome, gone: int) -> None:
        run = self.run
        run.batches += 1
        run.attempts = 0
        run.error = None
        run.read += done.read
        run.written += done.written
        run.unchanged += done.unchanged
        run.refused += len(done.refused)
        run.parked += len(done.parked)
        run.deleted += gone

    def _record(self, conn: Connection, done: Outcome, gone: Sequence[str]) -> None:
        run = self.run
        self._add(done, len(gone))
        ledger.put(conn, run, done.entries)
        parked.note(conn, run, self.job, done)
        if gone:
            ledger.gone(conn, run, gone)
        if self.job.on_record_error == "dead_letter":
            refused.put(conn, run, done.refused, self.job.target.integration, run.now)

    def _advance(self, page: Page, part: dict[str, Any] | None) -> None:
        cursor = self.job.source.cursor
        if part is None:
            self.run.position = page.position
        else:
            part["position"] = page.position
        if page.token is not None:
            self.run.token = page.token
        if cursor is None or not cursor.fields:
            return
        values = next((each for each in map(self._cursor_of, reversed(page.rows)) if None not in each), None)
        if values is not None and (part is None or self.run.high is None or values > self.run.high):
            self.run.high = values

    def _cursor_of(self, row: Row) -> tuple[Any, ...]:
        cursor = self.job.source.cursor
        return tuple(row.get(each) for each in cursor.fields) if cursor else ()

    def _of_tombstones(self, keys: Sequence[Key]) -> list[tuple[str | None, Key]]:
        if not keys:
            return []
        with self.store.connect() as conn:
            found = ledger.targets(conn, self.run, [ledger.key_of(each) for each in keys])
        return list(found)

    def _remove(self, records: Sequence[tuple[str | None, Key]]) -> None:
        delete = self.job.target.delete
        if records:
            self.images.removing(self.to, records)
            keys = [target_key for _, target_key in records]
            result = self.target.remove(self.to, keys, delete.action if delete else "delete")
            if result.failed:
                raise result.failed[min(result.failed)]

    def _snapshot(self) -> bool:
        """Mark what the source has, all in one go: a snapshot that was broken off tells nothing of what is gone."""
        request = replace(self.request(), window=None, token=None, position=None, size=max(self.job.batch, 1000))
        for keys in self.source.keys(request):
            with self.store.connect() as conn:
                progress.fence(conn, self.claim)
                ledger.seen(conn, self.run, keys)
        with self.store.connect() as conn:
            progress.fence(conn, self.claim)
            lost = ledger.missing_count(conn, self.run)
            self._vet_deletes(lost)
            self.run.phase = "delete"
            progress.snapshot_taken(conn, self.run)
            progress.save(conn, self.run)
        return True

    def _delete(self) -> bool:
        """Remove what the snapshot did not have, batch by batch; say whether nothing is left."""
        while time.monotonic() <= self.until:
            with self.store.connect() as conn:
                found = ledger.missing(conn, self.run, self.job.batch)
            if not found:
                self.run.phase = "finish"
                return True
            self._remove(found)
            with self.store.connect() as conn:
                progress.fence(conn, self.claim)
                ledger.gone(conn, self.run, [key for key, _ in found])
                self.run.deleted += len(found)
                progress.save(conn, self.run)
        return False

    def _finish(self) -> None:
        if self.drift is not None:
            self.drift.settle()
        if self.to.mode == "replace":
            self.target.do(lambda target, context: target.finish(self.to, context))
        with self.store.connect() as conn:
            progress.fence(conn, self.claim)
            if self.run.high is not None or self.run.token is not None:
                progress.go_on_from(conn, self.run, token=True)
            progress.end(conn, self.claim, self.run, "succeeded")

    def _one(self) -> None:
        """Sync the one record that an event names; one that is no more is removed, where the job removes."""
        key = tuple(self.run.key)
        rows = self.source.fetch(self.request(), [key])
        done = self._written(rows, batches.Place(str(self.run.run)))
        lost = [] if rows or self.job.target.delete is None else self._of_tombstones([key])
        removed = [*done.gone, *lost]
        self._remove(removed)
        with self.store.connect() as conn:
            progress.fence(conn, self.claim)
            self._record(conn, done, [each for each, _ in removed if each is not None])
            progress.end(conn, self.claim, self.run, "succeeded")

    def _waited(self) -> bool:
        """Sync what waited for records of other jobs: as the source has it now, where it can be asked for single rows."""
        fetches = self.source.fetches()
        while time.monotonic() <= self.until:
            with self.store.connect() as conn:
                ready = parked.ready(conn, self.run, self.job.batch)
            if not ready:
                with self.store.connect() as conn:
                    progress.fence(conn, self.claim)
                    progress.end(conn, self.claim, self.run, "succeeded")
                return True
            keys = [ledger.values_of(each) for each in ready]
            place = batches.Place(str(self.run.run), page=batches.digest(list(ready)))
            done = self._written(self.source.fetch(self.request(), keys) if fetches else list(ready.values()), place)
            done.keys = list(ready)
            self._remove(done.gone)
            with self.store.connect() as conn:
                progress.fence(conn, self.claim)
                self._record(conn, done, [each for each, _ in done.gone if each is not None])
                progress.save(conn, self.run)
            self._vet_refused(done)
        return False
