"""Before a run writes, it notes what the target holds: from that the run can be reverted, and a record explained.

The note is committed before the target is touched. A batch that comes again finds its own records over there, so what was noted
first stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from server.kernel.errors import Permanent
from server.syncs import changes, progress
from server.syncs.changes import Change

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import RLock

    from server.queue.claims import Claim
    from server.sdk.sources import Key, Row
    from server.sdk.targets import Destination
    from server.store import Store
    from server.syncs.batches import Made
    from server.syncs.ends import TargetEnd
    from server.syncs.job import Job
    from server.syncs.progress import Progress

log = structlog.get_logger("crossdock.syncs")
KEPT_SECONDS = 7 * 86_400.0
"""How long what was there before is kept where the definition says nothing and the target is asked for many records at once."""
_NEVER = ("append", "replace")


class Images:
    """Notes what is there before a run's batches."""

    def __init__(self, store: Store, claim: Claim, run: Progress, job: Job, target: TargetEnd, lock: RLock) -> None:
        self._store, self._claim, self._run, self._target, self._lock = store, claim, run, target, lock
        kept = job.target.revertible
        self._keep = KEPT_SECONDS if kept is None else kept
        self._is_asked_for = kept is not None
        self._able: bool | None = None
        if not (job.source.primary_key and job.target.match_on and self._keep) or job.target.mode in _NEVER:
            self._able = False

    def writing(self, to: Destination, made: Sequence[Made]) -> None:
        """Note what is there before these records are written."""
        if self._able is False:
            return
        self._note(to, [(each.key, each.target_key, each.record) for each in made])

    def removing(self, to: Destination, keys: Sequence[tuple[str | None, Key]]) -> None:
        """Note what is there before these are removed."""
        self._note(to, [(key, target_key, None) for key, target_key in keys])

    def _note(self, to: Destination, records: Sequence[tuple[str | None, Key, Row | None]]) -> None:
        keyed = [(key, target_key, record) for key, target_key, record in records if key is not None]
        if not keyed or not self._can():
            return
        found = lookup(self._target, to, [target_key for _, target_key, _ in keyed])
        known = [
            Change(key, target_key, there[0], record)
            for (key, target_key, record), there in zip(keyed, found, strict=True)
            if there is not None
        ]
        if known:
            with self._lock, self._store.connect() as conn:
                progress.fence(conn, self._claim)
                changes.put(conn, self._run, known, self._keep)

    def _can(self) -> bool:
        if self._able is None:
            self._able = self._target.do(
                lambda target, _context: target.looks_up and (self._is_asked_for or target.looks_up_at_once)
            )
        return self._able


def lookup(target: TargetEnd, to: Destination, keys: Sequence[Key]) -> list[tuple[Row | None] | None]:
    """Return what is there of each key, in a tuple of one; None for a key of which the target cannot tell.

    A key that is no value over there fails a whole question: it is halved until that key is found.
    """
    try:
        return [(each,) for each in target.do(lambda end, context: end.lookup(to, keys, context))]
    except Permanent as error:
        if len(keys) == 1:
            log.info("what is there before a record is not known", code=error.code)
            return [None]
        middle = len(keys) // 2
        return [*lookup(target, to, keys[:middle]), *lookup(target, to, keys[middle:])]
