"""A slice of a run that goes both ways, as far as deletes cross over: looked for, counted against their guard, done on the other side."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from server.sdk.sources import ReadRequest
from server.syncs import batches, crossing, progress
from server.syncs.bases import plain_key
from server.syncs.batches import Outcome
from server.syncs.engine import Slice
from server.syncs.merging import changed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.sdk.sources import Key, Row
    from server.sdk.targets import Destination
    from server.syncs.ends import SourceEnd, TargetEnd
    from server.syncs.job import From
    from server.syncs.pairs import Pair


class CrossingDeletes(Slice):
    """The last two phases of a two-way run: `snapshot` and `delete`."""

    pair: Pair
    ends: tuple[SourceEnd, TargetEnd]
    back: tuple[SourceEnd, TargetEnd]
    to_source: Destination

    def _deletes_are_due(self) -> bool:
        deletes, at = self.pair.deletes, self.run.snapshot_at
        return deletes is not None and (at is None or (self.run.now - at).total_seconds() >= deletes.every)

    def _look_for_deletes(self) -> None:
        """Mark what each side has, all in one go: a snapshot that was broken off tells nothing of what is gone."""
        ends: tuple[tuple[crossing.Side, SourceEnd, From], ...] = (
            ("source", self.ends[0], self.pair.there.source),
            ("target", self.back[0], self.pair.back.source),
        )
        for side, end, source in ends:
            for keys in end.keys(replace(asking(source), size=max(self.job.batch, 1000))):
                with self.store.connect() as conn:
                    progress.fence(conn, self.claim)
                    crossing.seen(conn, self.run, side, keys)
        deletes = self.pair.deletes
        with self.store.connect() as conn:
            progress.fence(conn, self.claim)
            self.run.known = crossing.known(conn, self.run)
            lost = crossing.lost_count(conn, self.run, deletes.of) if deletes else 0
            if deletes is not None and self._above(lost, deletes.max_percent):
                raise self._stopped("deleted", lost, deletes.max_percent)
            self.run.phase = "delete"
            progress.snapshot_taken(conn, self.run)
            progress.save(conn, self.run)

    def _cross(self) -> bool:
        """Remove on each side what the other has no more, batch by batch; say whether nothing is left."""
        for side in self.pair.deletes.of if self.pair.deletes else ():
            while True:
                if time.monotonic() > self.until:
                    return False
                with self.store.connect() as conn:
                    found = crossing.lost(conn, self.run, side, self.job.batch)
                if not found:
                    break
                self._remove_lost(side, found)
        self.run.phase = "finish"
        return True

    def _remove_lost(self, side: crossing.Side, found: Sequence[crossing.Lost]) -> None:
        """Remove records that one side has lost on the other, but for those that were edited there."""
        there = self._there(side, found)
        spared = [each for each in found if each.key in there and _was_edited(each, there[each.key])]
        gone = [each for each in found if each not in spared]
        removing = [each for each in gone if each.key in there]
        if removing and self.pair.deletes is not None:
            end, to = (self.ends[1], self.to) if side == "source" else (self.back[1], self.to_source)
            keys = [each.target_key if side == "source" else each.source_key for each in removing]
            result = end.remove(to, keys, self.pair.deletes.action)
            if result.failed:
                raise result.failed[min(result.failed)]
        with self.store.connect() as conn:
            progress.fence(conn, self.claim)
            crossing.settle(conn, self.run, gone, spared)
            self.run.deleted += len(removing)
            progress.save(conn, self.run)

    def _there(self, side: crossing.Side, found: Sequence[crossing.Lost]) -> dict[str, Row | None]:
        """Return what the other side says of the fields of records, by their keys; those that it lacks too are left out.

        None is a row that is there and makes no record.
        """
        if side == "target":
            rows = self._fetched(self.ends[0], self.pair.there.source, [each.source_key for each in found])
            made = batches.prepare(self.pair.there, self.run.definition_version, rows, self._shown, {}, Outcome())
            names = self.pair.there.source.primary_key
            unreadable: dict[str, Row | None] = {plain_key([row.get(name) for name in names]): None for row in rows}
            return unreadable | {
                plain_key([each.row[name] for name in names]): {
                    name: each.record.get(name) for name in self.pair.fields
                }
                for each in made
            }
        fields = self.pair.back.source.primary_key
        by_target = {plain_key(each.target_key): each.key for each in found}
        rows = self._fetched(self.back[0], self.pair.back.source, [each.target_key for each in found])
        return {
            by_target[key]: {name: row.get(name) for name in self.pair.fields}
            for row in rows
            if (key := plain_key([row.get(name) for name in fields])) in by_target
        }

    def _fetched(self, end: SourceEnd, source: From, keys: Sequence[Key]) -> Sequence[Row]:
        return end.fetch(asking(source), keys) if keys else []


def _was_edited(lost: crossing.Lost, there: Row | None) -> bool:
    return there is None or changed(lost.base, there)


def asking(source: From) -> ReadRequest:
    """Return what a side is asked by keys alone."""
    return ReadRequest(options=source.options, primary_key=source.primary_key)
