"""Reconciling a job: every row of its source against what the target holds; with `repair` what differs is written at once.

Rows are mapped as a run maps them, so a repair is what a run would have written, within the same guards, and can be reverted like a
run. What the target has too much is removed only where the job removes, and only what it has written itself.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from server.kernel.errors import Conflict, code
from server.syncs import batches, differences, ledger, parked, progress, references
from server.syncs.batches import Outcome, Place
from server.syncs.differences import Difference
from server.syncs.engine import Slice
from server.syncs.images import lookup
from server.syncs.preview import changes_of
from server.syncs.reverting import store_result, upserting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from server.sdk.sources import Key, Page, ReadRequest
    from server.syncs.batches import Made
    from server.syncs.job import Job

NOT_RECONCILABLE = code(
    "NOT_RECONCILABLE",
    "The job cannot be reconciled: it needs primary_key and match_on, and a target that can be asked.",
)
_SURPLUS_AT_ONCE = 1000


def vet(job: Job, *, repair: bool) -> None:
    """Vet that a job can be reconciled.

    Raises:
        Conflict: NOT_RECONCILABLE.

    """
    if not (job.source.primary_key and job.target.match_on) or job.target.mode in ("append", "replace"):
        message = "reconciling needs a primary_key, match_on, and a mode that writes single records"
        raise Conflict(message, code=NOT_RECONCILABLE, source="sync")
    if repair and job.two_way is not None:
        message = "a two-way job is repaired by its runs: a repair would not ask which side is right"
        raise Conflict(message, code=NOT_RECONCILABLE, source="sync")


class Reconciling(Slice):
    """A slice of a reconcile. Counters: unchanged is at one, written and deleted are repaired, refused could not be mapped."""

    def work(self) -> bool:
        """Compare page by page, then look for what the target has too much, then remove it where that is asked for."""
        self.repairs = bool((self.run.options or {}).get("repair"))
        self.to = upserting(self.to)
        if self.run.phase == "begin":
            self._start()
        steps = {"read": self._compare, "snapshot": self._look_for_surplus, "delete": self._remove_surplus}
        while self.run.phase != "finish":
            if not steps[self.run.phase]():
                return False
        self._conclude()
        return True

    def request(self) -> ReadRequest:
        """Ask for all rows, wherever the cursor is."""
        return replace(super().request(), window=None, token=None)

    def _start(self) -> None:
        self.run.total = self.source.count(self.request())
        with self.store.connect() as conn:
            progress.fence(conn, self.claim)
            self.run.known = ledger.count(conn, self.run)
            self.run.phase = "read"
            progress.save(conn, self.run)

    def _compare(self) -> bool:
        pages = self.source.pages(self.request())
        try:
            for page in pages:
                self._compare_page(page)
                if time.monotonic() > self.until:
                    return False
        finally:
            pages.close()
        self._turn("snapshot")
        return True

    def _compare_page(self, page: Page) -> None:
        done = Outcome(read=len(page.rows))
        made = batches.prepare(self.job, self.run.definition_version, page.rows, self._shown, {}, done)
        if self.job.references and made:
            with self.store.connect() as conn:
                made = references.resolve(conn, self.run.workspace_id, self.job, made, done)
        there = lookup(self.target, self.to, [each.target_key for each in made])
        found: list[tuple[Made, Difference]] = []
        for each, live in zip(made, there, strict=True):
            if live is None or live[0] is None:
                reason = "the target cannot tell what is there" if live is None else None
                found.append((each, Difference("missing", each.key, each.target_key, reason=reason)))
                continue
            fields = changes_of(each.record, live[0])
            if fields:
                found.append((each, Difference("differing", each.key, each.target_key, fields)))
        done.unchanged = len(made) - len(found)
        if self.repairs and found:
            self._repair(found, done)
        self.run.position = page.position
        # what could not be mapped is none of the target's surplus: it is met by what the ledger knows of it
        refused = [each.key for each in done.refused if each.key is not None] + [each.key for each in done.parked]
        with self.store.connect() as conn:
            progress.fence(conn, self.claim)
            known = ledger.targets(conn, self.run, sorted(refused)) if refused else []
            differences.meet(conn, self.run, [*(each.target_key for each in made), *(key for _, key in known)])
            differences.put(conn, self.run, [each for _, each in found])
            self._count(done)
            ledger.put(conn, self.run, done.entries)
            if self.repairs:
                parked.note(conn, self.run, self.job, done)
            progress.save(conn, self.run)

    def _repair(self, found: Sequence[tuple[Made, Difference]], done: Outcome) -> None:
        made = [each for each, _ in found]
        self._vet_changes(len(made))
        self.images.writing(self.to, made)
        before = len(done.refused)
        unchanged = done.unchanged
        batches.write(self.job, self.target, self.to, made, Place(str(self.run.run)), done)
        done.unchanged = unchanged
        failed = {each.key: each.error.message for each in done.refused[before:]}
        for each, difference in found:
            difference.state = "left" if each.key in failed else "repaired"
            difference.reason = failed.get(each.key)

    def _count(self, done: Outcome) -> None:
        run = self.run
        run.batches, run.attempts, run.error = run.batches + 1, 0, None
        run.read += done.read
        run.written += done.written
        run.unchanged += done.unchanged
        run.refused += len(done.refused)

    def _look_for_surplus(self) -> bool:
        """Ask the target for all its keys, or, where it tells none, the ledger for what it has written."""
        for keys in self._target_keys():
            with self.store.connect() as conn:
                progress.fence(conn, self.claim)
                surplus = [
                    Difference(
                        "surplus", key, target_key, reason=None if key is not None else "not written by this job"
                    )
                    for key, target_key in differences.unmet(conn, self.run, keys)
                ]
                for each in surplus:
                    each.state = "open" if each.key is not None else "left"
                differences.put(conn, self.run, surplus)
        self._turn("delete" if self.repairs and self.job.target.delete is not None else "finish")
        return True

    def _target_keys(self) -> Iterator[Sequence[Key]]:
        if self.target.do(lambda target, _context: target.snapshots):
            yield from self.target.keys(self.to, _SURPLUS_AT_ONCE)
            return
        last: str | None = ""
        while last is not None:
            with self.store.connect() as conn:
                keys, last = differences.written(conn, self.run, last, _SURPLUS_AT_ONCE)
            if keys:
                there = lookup(self.target, self.to, keys)
                yield [key for key, live in zip(keys, there, strict=True) if live is not None and live[0] is not None]

    def _remove_surplus(self) -> bool:
        while time.monotonic() <= self.until:
            with self.store.connect() as conn:
                surplus = differences.open_surplus(conn, self.run, self.job.batch)
            if not surplus:
                self.run.phase = "finish"
                return True
            self._vet_deletes(len(surplus))
            self._remove([(each.key, each.target_key) for each in surplus])
            with self.store.connect() as conn:
                progress.fence(conn, self.claim)
                ledger.gone(conn, self.run, [each.key for each in surplus if each.key is not None])
                differences.put(conn, self.run, [replace(each, state="repaired") for each in surplus])
                self.run.deleted += len(surplus)
                progress.save(conn, self.run)
        return False

    def _turn(self, phase: progress.Phase) -> None:
        with self.store.connect() as conn:
            progress.fence(conn, self.claim)
            self.run.phase, self.run.position = phase, None
            progress.save(conn, self.run)

    def _conclude(self) -> None:
        run = self.run
        with self.store.connect() as conn:
            progress.fence(conn, self.claim)
            result: dict[str, Any] = {"rows": run.read, "at_one": run.unchanged, **differences.counts(conn, run)}
            store_result(conn, run, {**result, "not_mapped": run.refused})
            differences.end(conn, run)
            progress.end(conn, self.claim, run, "succeeded")
