"""Where a reader of the stream stands: exactly which transactions' events it has had. Pure.

Ids of events are made before their transaction commits, so whoever reads on from the newest id that they saw misses what commits
later with an older one. A position is a PostgreSQL snapshot instead: `ended` is the first transaction that had not begun, `open`
are those below it that had not ended. An event is still to come if and only if its transaction is one of `open` or not below
`ended`: nothing waits for a slow transaction, and nothing of it is lost. `part` is a transaction of which only the events up to
an id were had; `since` is the id up to which the events of before the snapshot were had, by those who asked for the past.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NamedTuple
from uuid import UUID

from server.kernel.errors import Conflict, Invalid, code

POSITION_INVALID = code("POSITION_INVALID", "`Last-Event-ID` is not an id that this stream gave.")
POSITION_LOST = code(
    "POSITION_LOST", "The database was restored since this id was given; begin anew, with `since` if need be."
)
_TEXT = re.compile(r"([0-9]{1,19})((?:-[0-9]{1,19})*)(?:\.p([0-9]{1,19})-([0-9a-f]{32}))?(?:\.s([0-9a-f]{32}))?")
_LONGEST = 16_384
_HIGHEST = 2**63


class Part(NamedTuple):
    """One transaction, up to one event of it."""

    xid: int
    uid: UUID


@dataclass(frozen=True, slots=True)
class Position:
    """See above; `open` is sorted. Positions of one database can be compared with its transactions and with nothing else."""

    ended: int
    open: tuple[int, ...] = ()
    part: Part | None = None
    since: UUID | None = None

    @classmethod
    def of_snapshot(cls, text: str) -> Position:
        """Read what `pg_current_snapshot()` writes: `xmin:xmax:xip,…`."""
        _, ended, running = text.split(":")
        return cls(int(ended), tuple(sorted(int(each) for each in running.split(",") if each)))

    @classmethod
    def read(cls, text: str) -> Position:
        """Read what `str` wrote.

        Raises:
            Invalid: POSITION_INVALID.

        """
        found = _TEXT.fullmatch(text) if len(text) <= _LONGEST else None
        if found is None:
            raise Invalid("not an id that this stream gave", code=POSITION_INVALID, source="events")
        ended = int(found[1])
        behind = [ended - int(each) for each in found[2].split("-") if each]
        part = Part(int(found[3]), UUID(found[4])) if found[3] else None
        since = UUID(found[5]) if found[5] else None
        if ended >= _HIGHEST or any(not 0 <= each < ended for each in behind) or (part and part.xid >= ended):
            raise Invalid("not an id that this stream gave", code=POSITION_INVALID, source="events")
        return cls(ended, tuple(sorted(behind)), part, since)

    def __str__(self) -> str:
        """Write it as the `id:` of a stream: digits, letters, hyphens and dots."""
        behind = "".join(f"-{self.ended - each}" for each in self.open)
        part = f".p{self.part.xid}-{self.part.uid.hex}" if self.part else ""
        return f"{self.ended}{behind}{part}" + (f".s{self.since.hex}" if self.since else "")

    def after(self, xid: int, uid: UUID, seen: Position) -> Position:
        """Return the position after one more event, which was read under the snapshot `seen`.

        Events come in this order: the rest of `part`, then by transaction, then by id. `seen` tells which transactions before
        this one are had with it, and which were still open.
        """
        below = tuple(each for each in seen.open if each < xid)
        if self.part is not None and xid == self.part.xid:
            return replace(self, part=Part(xid, uid))
        if xid < self.ended:
            above = tuple(each for each in self.open if each > xid)
            return Position(self.ended, (*below, *above), Part(xid, uid))
        return Position(xid + 1, below, Part(xid, uid))

    def rested(self, seen: Position) -> Position:
        """Return the position of who has had all that was awaited under the snapshot `seen`.

        It goes no further than the last event: a crash of the database takes back the newest transactions that nobody waited
        for, and gives their numbers to others, never one whose event could be seen.
        """
        return Position(self.ended, tuple(each for each in self.open if each in seen.open))

    def known_to(self, seen: Position) -> None:
        """Insist that this position is of the life of the database that `seen` is of.

        Raises:
            Conflict: POSITION_LOST.

        """
        if self.ended > seen.ended:
            raise Conflict("that id is of a later state of the database", code=POSITION_LOST, source="events")
