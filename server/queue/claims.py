"""Due work: one small table, claimed with a lease and an epoch.

A claim pushes `due_at` on by the lease, so that work whose worker died is due again by itself; a heartbeat pushes it
again. Every result carries the epoch of its claim, and one with an old epoch changes nothing. `infinity` is held: no
claim sees it. Times are the database's: workers' clocks do not matter.

A row belongs to a workspace and to a lane in it (the webhook of a delivery), with a limit of how many of the lane may be under
way. Behind a backlog workspaces take turns, and in each of them priorities and lanes do.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from orjson import dumps

from server.store import straight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.engine import Connection

LEASE_SECONDS = 6
HEARTBEAT_SECONDS = 2
LANE_LIMIT = 10
HIGH, NORMAL, LOW = 0, 1, 2
PRIORITIES = {"high": HIGH, "normal": NORMAL, "low": LOW}
_CHOOSES_FIRST = (16, 4, 1)  # how often each priority does, behind a backlog: none starves
_CURSORS = 1000
_SINCE_SECONDS = 1.0

# The rules of a claim (orphans first, lanes within their limits, workspaces and priorities in turn) are the function's, in
# migration 0019: one round trip, and claims of a kind go one after the other.
_CLAIM = f"""
SELECT ref, workspace_id, lane, priority, epoch, claims, was_due, turn
FROM crossdock_claim(%(kind)s, %(limit)s, {LEASE_SECONDS}, %(first)s, %(after)s, %(cursors)s::jsonb, %(slow)s::uuid[],
                     %(since)s::timestamptz)
"""
# Each row is looked up by its key and then touched where it lies: the table is empty one moment and full the next, so what the
# planner knows of its size is worth nothing: it takes `ours = 'yes'` for rare, and so starts from our rows. In the order of the
# refs, so that no two of us wait for each other.
_MINE = """
SELECT m.*, 'yes' AS ours, held.at FROM m CROSS JOIN LATERAL (
  SELECT due.ctid AS at FROM due WHERE due.kind = %(kind)s AND due.ref = m.ref AND due.epoch = m.epoch OFFSET 0) AS held
"""
# Two seconds less, for transactions that began before and have not committed yet.
_OLDEST = """
SELECT least((SELECT due_at FROM due WHERE kind = %(kind)s AND NOT leased AND lane_limit > 0 ORDER BY due_at LIMIT 1), now())
       - interval '2 seconds'
"""
_HEARTBEAT = f"""
WITH m AS (SELECT * FROM unnest(%(refs)s::uuid[], %(epochs)s::int[]) AS k(ref, epoch)), mine AS MATERIALIZED ({_MINE})
UPDATE due SET due_at = now() + interval '{LEASE_SECONDS} seconds'
FROM mine WHERE mine.ours = 'yes' AND due.ctid = mine.at AND due.epoch = mine.epoch AND leased RETURNING due.ref
"""
# By its key alone: one that waited for another renewal of the same lease finds the row where that has moved it.
HOLD = f"""
UPDATE due SET due_at = now() + interval '{LEASE_SECONDS} seconds'
WHERE kind = %(kind)s AND ref = %(ref)s AND epoch = %(epoch)s AND leased RETURNING ref
"""
_FINISH = f"""
WITH m AS (SELECT * FROM unnest(%(refs)s::uuid[], %(epochs)s::int[]) AS k(ref, epoch)), mine AS MATERIALIZED ({_MINE})
DELETE FROM due USING mine WHERE mine.ours = 'yes' AND due.ctid = mine.at AND due.epoch = mine.epoch RETURNING due.ref
"""
_POSTPONE = f"""
WITH m AS (
  SELECT * FROM unnest(%(refs)s::uuid[], %(epochs)s::int[], %(times)s::timestamptz[]) AS k(ref, epoch, due_at)
), mine AS MATERIALIZED ({_MINE})
UPDATE due SET due_at = mine.due_at, leased = false,
  claims = CASE WHEN %(uncount)s THEN greatest(claims - 1, 0) ELSE claims END
FROM mine WHERE mine.ours = 'yes' AND due.ctid = mine.at AND due.epoch = mine.epoch RETURNING due.ref
"""
_ADD = """
INSERT INTO due (kind, ref, workspace_id, lane, due_at, lane_limit, priority)
SELECT %(kind)s, ref, workspace_id, lane, coalesce(due_at, now()), lane_limit, priority
FROM unnest(%(refs)s::uuid[], %(workspaces)s::bigint[], %(lanes)s::uuid[], %(times)s::timestamptz[], %(limits)s::int[],
            %(priorities)s::int[])
  AS new(ref, workspace_id, lane, due_at, lane_limit, priority)
ON CONFLICT (kind, ref) DO UPDATE SET due_at = excluded.due_at, leased = false, epoch = due.epoch + 1, claims = 0
"""


@dataclass(slots=True)
class Claim:
    """Work that is ours until the lease ends. `claims` counts how often it was claimed: the poison guard."""

    ref: UUID
    workspace_id: int
    lane: UUID
    epoch: int
    claims: int


@dataclass(frozen=True, slots=True)
class Due:
    """Work to be done: at a moment, `infinity` for held, or None for at once; `lane_limit` of a lane go at a time."""

    ref: UUID
    workspace_id: int
    lane: UUID
    at: datetime | str | None = None
    lane_limit: int = LANE_LIMIT
    priority: int = NORMAL


class Claimer:
    """Claims work of one kind, and remembers where the round over workspaces and their lanes has got to.

    One that lives on asks once a second how old the oldest waiting row is, and claims look no further back; what is put behind
    that is found within the second.
    """

    def __init__(
        self,
        kind: str,
        random: Random | None = None,
        *,
        lives_on: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.kind = kind
        self._lives_on = lives_on
        self._monotonic = monotonic
        self._since = "-infinity"
        self._asked_at = -_SINCE_SECONDS
        self._random = random or Random()  # noqa: S311 - spreads turns, keeps no secret
        self._workspace = 0
        self._cursors: OrderedDict[str, str] = OrderedDict()

    def __call__(self, conn: Connection, limit: int, slow: Sequence[UUID] = ()) -> list[Claim]:
        """Claim at most `limit` due rows; of each lane in `slow` no more than one is under way, over all claimers."""
        values = {
            "kind": self.kind,
            "limit": limit,
            "first": self._random.choices((HIGH, NORMAL, LOW), _CHOOSES_FIRST)[0],
            "after": self._workspace,
            "cursors": dumps(self._cursors).decode(),
            "slow": list(slow),
            "since": self._oldest(conn),
        }
        rows = straight.named(conn, _CLAIM, values)
        for row in sorted(rows, key=_turn):
            self._remember(f"{row.workspace_id}:{row.priority}", str(row.lane))
            self._workspace = row.workspace_id
        return [Claim(row.ref, row.workspace_id, row.lane, row.epoch, row.claims) for row in sorted(rows, key=_age)]

    def _oldest(self, conn: Connection) -> str:
        now = self._monotonic()
        if self._lives_on and now - self._asked_at >= _SINCE_SECONDS:
            self._asked_at = now
            self._since = str(conn.exec_driver_sql(_OLDEST, {"kind": self.kind}).scalar())
        return self._since

    def _remember(self, place: str, lane: str) -> None:
        self._cursors[place] = lane
        self._cursors.move_to_end(place)
        if len(self._cursors) > _CURSORS:
            self._cursors.popitem(last=False)


def _turn(row: Any) -> int:
    """Sort by when the walk over lanes came to it; 0 without a backlog."""
    turn: int = row.turn
    return turn


def _age(row: Any) -> tuple[datetime, UUID]:
    return row.was_due, row.ref


def claim(conn: Connection, kind: str, limit: int) -> list[Claim]:
    """Claim at most `limit` due rows: for what is drained in small numbers, every round from the start."""
    return Claimer(kind, lives_on=False)(conn, limit)


# What waits, and what a worker that died has left, each by its index.
_DUE_KINDS = """
SELECT k.kind FROM unnest(%(kinds)s::text[]) AS k(kind)
WHERE EXISTS (SELECT FROM due WHERE NOT leased AND lane_limit > 0 AND kind = k.kind AND due_at <= now())
   OR EXISTS (SELECT FROM due WHERE leased AND kind = k.kind AND due_at <= now())
"""


def due_kinds(conn: Connection, kinds: Sequence[str]) -> set[str]:
    """Return those of some kinds of which work is due: one question before each of them is asked."""
    return {kind for (kind,) in straight.rows(conn, _DUE_KINDS, {"kinds": list(kinds)})}


def heartbeat(conn: Connection, kind: str, claims: Sequence[Claim]) -> set[UUID]:
    """Renew the leases; return the refs that are still ours."""
    return _sure(claims, lambda mine: straight.rows(conn, _HEARTBEAT, {"kind": kind, **_keys(sorted(mine, key=_ref))}))


def hold(conn: Connection, kind: str, claim: Claim) -> bool:
    """Renew one lease and hold its row until the transaction ends; say whether it is ours."""
    values = {"kind": kind, "ref": claim.ref, "epoch": claim.epoch}
    return conn.exec_driver_sql(HOLD, values).first() is not None


def finish(conn: Connection, kind: str, claims: Sequence[Claim]) -> set[UUID]:
    """Take done work off the table; return the refs that were still ours."""
    return _sure(claims, lambda mine: straight.rows(conn, _FINISH, {"kind": kind, **_keys(sorted(mine, key=_ref))}))


def postpone(
    conn: Connection, kind: str, claims: Sequence[Claim], times: Sequence[datetime | str], *, uncount: bool = False
) -> set[UUID]:
    """Make work due again at the given times (`infinity` holds it); `uncount` takes the claim back."""
    at = {each.ref: _moment(time) for each, time in zip(claims, times, strict=True)}

    def touch(mine: Sequence[Claim]) -> Iterable[tuple[UUID]]:
        values = {"kind": kind, **_keys(mine), "times": [at[each.ref] for each in mine], "uncount": uncount}
        return straight.rows(conn, _POSTPONE, values)

    return _sure(claims, touch)


def _sure(claims: Sequence[Claim], touch: Callable[[Sequence[Claim]], Iterable[tuple[UUID]]]) -> set[UUID]:
    """Touch rows, and once more those not found: a lease renewed meanwhile has moved its row from where it was found."""
    won = {ref for (ref,) in touch(claims)}
    missed = [each for each in claims if each.ref not in won]
    return won | {ref for (ref,) in touch(missed)} if missed else won


def add(conn: Connection, kind: str, work: Sequence[Due]) -> None:
    """Put work on the table; work that is there already is due anew, and whoever holds it loses it."""
    if not work:
        return
    values = {
        "kind": kind,
        "refs": [each.ref for each in work],
        "workspaces": [each.workspace_id for each in work],
        "lanes": [each.lane for each in work],
        "limits": [each.lane_limit for each in work],
        "priorities": [each.priority for each in work],
        "times": [None if each.at is None else _moment(each.at) for each in work],
    }
    straight.rows(conn, _ADD, values)


def _ref(claim: Claim) -> UUID:
    return claim.ref


def _keys(claims: Sequence[Claim]) -> dict[str, list[object]]:
    return {"refs": [each.ref for each in claims], "epochs": [each.epoch for each in claims]}


def _moment(value: datetime | str) -> str:
    return value if isinstance(value, str) else value.isoformat()
