"""What a person does with replays, each in one transaction."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.kernel.errors import Conflict, Invalid, NotFound, code
from server.kernel.ids import new_uuid, show
from server.queue import claims
from server.replays import candidates, jobs, requests
from server.replays.aggregate import WORKING, Replay, ReplayCancelled, ReplayMoved, ReplayPaused, ReplayResumed
from server.replays.candidates import FIRST
from server.replays.drain import KIND
from server.replays.filters import REPLAY_REFUSED, STATUSES, refused
from server.replays.jobs import Job
from server.web.problems import place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from sqlalchemy.engine import Row

    from server.replays.filters import Filter, Options
    from server.store import Tx

SAMPLES = 20
MOST_AT_WORK = 100
COUNT_SECONDS = 20.0
REPLAYS_FULL = code("REPLAYS_FULL", "So many replays of the workspace are at work; wait for one of them, or cancel it.")
REPLAY_UNCOUNTED = code(
    "REPLAY_UNCOUNTED",
    "There is too much to count within one request; a replay counts before it begins, and can be paused.",
)
_MOVES: dict[str, type[ReplayMoved]] = {"pause": ReplayPaused, "resume": ReplayResumed, "cancel": ReplayCancelled}


@dataclass(frozen=True, slots=True)
class Found:
    """What a dry run answers: how many there are, and the first of them."""

    count: int
    samples: Sequence[Row[Any]]


def start(tx: Tx, filter_: Filter, options: Options, hint: Callable[[], None]) -> UUID:
    """Begin a replay; return its id.

    Raises:
        Invalid: REPLAY_REFUSED, it names a webhook or delivery that is not here.
        Conflict: REPLAYS_FULL.

    """
    job = _job(tx, filter_, options)
    if jobs.unfinished(tx) >= MOST_AT_WORK:
        raise Conflict(f"{MOST_AT_WORK} replays are at work", code=REPLAYS_FULL, source="replays")
    jobs.add(tx, job)
    _due(tx, job, hint)
    return job.replay.id


def dry_run(tx: Tx, filter_: Filter, options: Options, monotonic: Callable[[], float] = time.monotonic) -> Found:
    """Count what a replay would make, to the last one, and write nothing.

    Raises:
        Invalid: as `start`; REPLAY_UNCOUNTED after 20 s.

    """
    job = _job(tx, filter_, options)
    search = jobs.search_of(tx, job)
    until, counted, position, ended = monotonic() + COUNT_SECONDS, 0, FIRST, False
    while not ended:
        if monotonic() > until:
            raise Invalid("too much to count at once", code=REPLAY_UNCOUNTED, source="replays", counted=counted)
        more, position, ended = candidates.count(tx.conn, search, position)
        counted += more
    rows: list[Row[Any]] = []
    position, ended = FIRST, counted == 0
    while not ended and len(rows) < SAMPLES:
        page = candidates.page(tx.conn, search, position, SAMPLES - len(rows))
        rows += page.rows
        position, ended = page.position, page.ended
    return Found(counted, candidates.describe(tx.conn, search, rows))


def act(tx: Tx, identity: UUID, action: str, hint: Callable[[], None]) -> None:
    """Pause, resume or cancel a replay; a slice that is under way ends first.

    Raises:
        NotFound: no such replay here.
        Conflict: WRONG_STATE.

    """
    job = jobs.lock(tx, identity)
    if job is None:
        raise NotFound("no such replay here")
    job.replay.move(_MOVES[action]())
    if job.replay.state == "counting":
        # What is left is counted anew: while it stood still, deliveries came, ended, or went another way.
        job.counted, job.counted_to, job.total, job.error = 0, job.done_to, None, None
    jobs.save(tx, job)
    if job.replay.state == "cancelled":
        tx.run(
            "DELETE FROM due WHERE workspace_id = :workspace_id AND kind = :kind AND ref = :ref",
            kind=KIND,
            ref=identity,
        )
    else:
        _due(tx, job, hint)


def _due(tx: Tx, job: Job, hint: Callable[[], None]) -> None:
    """Put it on the table, or hold it there; whoever had a lease on it loses that."""
    identity = job.replay.id
    at = None if job.replay.state in WORKING else "infinity"
    claims.add(tx.conn, KIND, [claims.Due(identity, tx.scope.workspace_id, identity, at, lane_limit=1)])
    tx.after_commit("hint", hint)


def _job(tx: Tx, filter_: Filter, options: Options) -> Job:
    """Return the job of a request whose names are all there."""
    now = jobs.moment(tx)
    webhook_id = None if filter_.webhook is None else _webhook(tx, filter_, options)
    _insist(tx, "deliveries", "dlv", filter_.deliveries)
    _insist(tx, "inbound_requests", "req", filter_.requests)
    if webhook_id is None and not set(filter_.status) <= set(STATUSES):
        raise refused("/filter/status", f"deliveries end {', '.join(STATUSES)}; name the inbound webhook for others")
    replay = Replay(new_uuid())
    replay.start(filter_.as_json(), options.as_json())
    return Job(replay, webhook_id, jobs.bound(now), now, now)


def _webhook(tx: Tx, filter_: Filter, options: Options) -> UUID:
    name = filter_.webhook
    row = tx.one(
        """SELECT id, state, body ->> 'direction' AS direction FROM webhooks
           WHERE workspace_id = :workspace_id AND name = :name AND deleted_at IS NULL""",
        name=name,
    )
    if row is None:
        raise refused("/filter/webhook", f"no webhook {name} here")
    if row.direction == "inbound":
        _only_requests(filter_, options)
    elif not set(filter_.status) <= set(STATUSES):
        raise refused("/filter/status", f"deliveries end {', '.join(STATUSES)}")
    if options.backfill and row.state == "draft":
        raise refused("/filter/webhook", f"{name} is inactive: nothing is owed to it; activate it first")
    identity: UUID = row.id
    return identity


def _only_requests(filter_: Filter, options: Options) -> None:
    """Refuse what is said of events and deliveries where requests are meant."""
    for name in ("type", "subject"):
        if getattr(filter_, name) is not None:
            raise refused(f"/filter/{name}", "requests of an inbound webhook are found by status and time")
    if options.backfill:
        raise refused("/backfill", "an inbound webhook has no deliveries to be made")
    if "delivered" in filter_.status:
        raise refused("/filter/status", f"requests end {', '.join(requests.STATUSES)}")


def _insist(tx: Tx, table: str, prefix: str, named: Sequence[UUID]) -> None:
    """Refuse what is not here; the table's name is ours."""
    if not named:
        return
    rows = tx.all(f"SELECT id FROM {table} WHERE workspace_id = :workspace_id AND id = ANY(:ids)", ids=list(named))
    here = {row.id for row in rows}
    what, one = {"dlv": ("deliveries", "delivery"), "req": ("requests", "request")}[prefix]
    missing = [
        place(f"/filter/{what}/{number}", f"no {one} {show(prefix, each)} here", REPLAY_REFUSED)
        for number, each in enumerate(named)
        if each not in here
    ]
    if missing:
        raise Invalid(missing[0]["message"], code=REPLAY_REFUSED, source="replays", errors=missing[:50])
