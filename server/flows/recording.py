"""Records of many runs share a transaction: while one commits, those that come meanwhile wait for the next.

A commit costs the disk a write, and us five round trips; a step has one of its own only where its run is alone.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from server.flows import progress
from server.flows.progress import TakenOver
from server.kernel.errors import Unavailable

if TYPE_CHECKING:
    from server.flows.progress import Record
    from server.store import Store

LEADERS = 2
"""Transactions under way at once: while one waits for the disk the next is made."""
MOST = 100
WAIT_SECONDS = 45.0


@dataclass(slots=True, eq=False)
class _Member:
    record: Record
    woken: threading.Event = field(default_factory=threading.Event)
    batch: list[_Member] | None = None
    error: Exception | None = None


class Recorder:
    """Writes the records of one process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._waiting: deque[_Member] = deque()
        self._leaders = 0

    def record(self, record: Record) -> None:
        """Write a record; it is stored when this returns.

        Raises:
            TakenOver: the lease is another's; nothing was stored.
            Unavailable: the database is away, or too slow.

        """
        member = _Member(record)
        with self._lock:
            self._waiting.append(member)
            if self._leaders < LEADERS:
                self._leaders += 1
                self._call()
        if not member.woken.wait(WAIT_SECONDS) and self._leaves(member):
            raise Unavailable("the database takes too long", source="flow", after=1)
        if member.batch is not None:
            self._lead(member.batch)
        if member.error is not None:
            raise member.error

    def _leaves(self, member: _Member) -> bool:
        """Stop waiting; False for one who has just been called to lead: without them nobody behind them would go on."""
        with self._lock:
            if member in self._waiting:
                self._waiting.remove(member)
            return member.batch is None

    def _call(self) -> None:
        """Give the first that waits its turn to lead, with those behind it."""
        batch = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
        batch[0].batch = batch
        batch[0].woken.set()

    def _lead(self, batch: list[_Member]) -> None:
        try:
            self._write(batch)
        except Unavailable as error:
            for each in batch:
                each.error = Unavailable(error.message, code=error.code, source=error.source, after=error.after)
        except Exception:  # noqa: BLE001 - whoever is to blame meets it again by itself, and the others are spared it
            for each in batch:
                self._write_alone(each)
        finally:
            with self._lock:
                if self._waiting:
                    self._call()
                else:
                    self._leaders -= 1
            for each in batch[1:]:
                each.woken.set()

    def _write_alone(self, member: _Member) -> None:
        try:
            self._write([member])
        except Exception as error:  # noqa: BLE001 - it is raised where its run waits
            member.error = error

    def _write(self, batch: list[_Member]) -> None:
        with self._store.connect() as conn:
            ours = progress.fence(conn, [each.record.claim for each in batch])
            progress.write(conn, [each.record for each in batch if each.record.claim.ref in ours])
        for each in batch:
            if each.record.claim.ref not in ours:
                each.error = TakenOver()
