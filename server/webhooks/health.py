"""The health of endpoints: a webhook whose deliveries die is failing (and still tried), one that works again recovers, one
that answers 410, or nothing but failures for days, is disabled. Each move is a domain event with its reason.

`endpoint_health` keeps since when a webhook fails. It is written when that changes, and once a minute while it fails: not per
delivery. Every process keeps the failing ones in mind, read anew every five seconds; what it misses in between (the first
success just after another's first failure) the next outcome mends, and the rule looks itself before it disables.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import structlog

from server.events.routes import touch_routes
from server.kernel.errors import Conflict, PreconditionFailed, Unavailable
from server.kernel.lifecycle import TRANSITIONS
from server.store import Cause
from server.store.scopes import scope_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.kernel.lifecycle import Action
    from server.store import Store, Tx
    from server.store.repository import SqlRepository
    from server.webhooks.aggregate import Webhook
    from server.webhooks.job import Job
    from server.webhooks.queries import Outcome

log = structlog.get_logger("crossdock.webhooks")
FRESH_SECONDS = 5.0
NOTE_SECONDS = 60.0
_MOST = 100_000
_AT_ONCE = 100

_FAILING = f"SELECT webhook_id FROM endpoint_health WHERE failing_since IS NOT NULL LIMIT {_MOST}"
_FAILED = """
INSERT INTO endpoint_health AS h (workspace_id, webhook_id, failing_since)
SELECT * FROM (SELECT workspace, webhook, now() FROM unnest(%(workspaces)s::bigint[], %(webhooks)s::uuid[]) AS f(workspace, webhook)
               ORDER BY webhook) AS failed
ON CONFLICT (webhook_id) DO UPDATE SET failing_since = coalesce(h.failing_since, now()), last_failure_at = now()
"""
_WORKED = """
UPDATE endpoint_health SET failing_since = NULL, last_success_at = now() WHERE webhook_id IN (
  SELECT webhook_id FROM endpoint_health WHERE webhook_id = ANY(%(webhooks)s::uuid[]) AND failing_since IS NOT NULL
  ORDER BY webhook_id FOR UPDATE)
"""
# Nothing but failures over that time, the first and the last of them that far apart: one failure long ago is not enough.
_HOPELESS = f"""
SELECT h.workspace_id, h.webhook_id, h.failing_since FROM endpoint_health h JOIN webhooks w ON w.id = h.webhook_id
WHERE h.failing_since <= now() - %(seconds)s * interval '1 second'
  AND h.last_failure_at >= h.failing_since + %(seconds)s * interval '1 second'
  AND w.state IN ('active', 'failing') AND w.deleted_at IS NULL
ORDER BY h.failing_since LIMIT {_AT_ONCE}
"""
# Of deliveries that could be tried since: none is older than the longest expiry but those that a person has retried.
_LAST_SUCCESS = """
SELECT max(finished_at) AS at FROM deliveries WHERE workspace_id = :workspace_id AND webhook_id = :webhook
  AND state = 'delivered' AND finished_at > :since AND id >= crossdock_first_uuid(:since - interval '31 days')
"""


def judge(outcome: Outcome, webhook_state: str) -> tuple[Action, str] | None:
    """Return what an outcome means for its webhook: an action and its reason, or None."""
    if outcome.state == "delivered" and webhook_state == "failing":
        return "recover", "a delivery got through"
    if outcome.reason == "gone" and webhook_state in ("active", "failing"):
        return "disable", "the receiver answered 410: it is gone"
    if outcome.state == "dead" and outcome.reason in ("exhausted", "expired", "refused") and webhook_state == "active":
        return "fail", f"a delivery ended as a dead letter: {outcome.reason}"
    return None


class EndpointHealth:
    """What a worker does after recording: notes which webhooks begin or cease to fail, and moves those that must be."""

    def __init__(
        self, store: Store, webhooks: SqlRepository[Webhook], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._webhooks = webhooks
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._failing: dict[UUID, float] = {}  # when its last failure was noted; minus infinity: not by us
        self._fresh_until = float("-inf")

    def __call__(self, outcomes: Sequence[Outcome], jobs: Mapping[UUID, Job]) -> None:
        """Follow up recorded outcomes.

        Raises:
            Unavailable: DATABASE_AWAY; the next outcomes say the same again.

        """
        self._note(outcomes)
        self._move(outcomes, jobs)

    def _note(self, outcomes: Sequence[Outcome]) -> None:
        worked, failed = set(), {}
        for each in outcomes:
            attempt = each.attempt
            if attempt is None:
                continue
            if attempt.outcome == "success":
                worked.add(each.claim.lane)
            elif attempt.request_headers:  # else nothing was sent: a fault on our side, not the endpoint's
                failed[each.claim.lane] = each.claim.workspace_id
        with self._lock:
            now = self._monotonic()
            if now >= self._fresh_until:
                self._refresh(now)
            mended = [id_ for id_ in worked if id_ in self._failing]
            # One that works and fails in the same batch is not failing: it has had a success meanwhile.
            news = {
                id_: workspace
                for id_, workspace in failed.items()
                if id_ not in worked and self._failing.get(id_, float("-inf")) + NOTE_SECONDS <= now
            }
            if mended or news:
                with self._store.connect() as conn:
                    _write(conn, mended, news)
            for id_ in mended:
                del self._failing[id_]
            self._failing.update(dict.fromkeys(news, now))

    def _refresh(self, now: float) -> None:
        with self._store.connect() as conn:
            found = {row.webhook_id for row in conn.exec_driver_sql(_FAILING)}
        self._failing = {id_: self._failing.get(id_, float("-inf")) for id_ in found}
        self._fresh_until = now + FRESH_SECONDS

    def _move(self, outcomes: Sequence[Outcome], jobs: Mapping[UUID, Job]) -> None:
        """Move webhooks to the state that these outcomes say, each in a transaction of its own."""
        wanted = {}
        for outcome in outcomes:
            job = jobs[outcome.claim.ref]
            judged = judge(outcome, job.row.webhook_state)
            if judged:
                wanted[job.row.webhook_id, judged[0]] = (job, judged[1])
        for (webhook_id, action), (job, reason) in wanted.items():
            try:
                with self._store.begin(job.scope, job.cause) as tx:
                    move(tx, self._webhooks, webhook_id, action, reason)
            except (Conflict, PreconditionFailed) as error:
                log.info("another worker was faster", webhook=job.row.webhook_name, action=action, code=error.code)


def move(tx: Tx, webhooks: SqlRepository[Webhook], webhook_id: UUID, action: Action, reason: str) -> bool:
    """Move a webhook where its state allows it; a disabled one begins with a clean record when a person activates it.

    Raises:
        Conflict, PreconditionFailed: somebody else moves it at the same time.

    """
    touch_routes(tx)
    webhook = webhooks.by_id(tx, webhook_id)
    if webhook is None or (webhook.state, action) not in TRANSITIONS:
        return False
    webhook.act(action, reason)
    webhooks.save(tx, webhook)
    if action == "disable":
        forget(tx, webhook_id)
    return True


def forget(tx: Tx, webhook_id: UUID) -> None:
    """Forget how long a webhook has failed."""
    tx.run("DELETE FROM endpoint_health WHERE workspace_id = :workspace_id AND webhook_id = :id", id=webhook_id)


def disable_hopeless(store: Store, webhooks: SqlRepository[Webhook], seconds: float) -> int:
    """Disable webhooks that have had failures only for that long (0: none ever); return how many: a scheduler's chore."""
    if seconds <= 0:
        return 0
    with store.connect() as conn:
        rows = conn.exec_driver_sql(_HOPELESS, {"seconds": seconds}).all()
    disabled = 0
    for row in rows:
        try:
            disabled += _disable(store, webhooks, row, seconds)
        except (Conflict, PreconditionFailed, Unavailable) as error:
            log.info("a failing webhook is left for the next run", webhook=str(row.webhook_id), code=error.code)
    return disabled


def _disable(store: Store, webhooks: SqlRepository[Webhook], row: Any, seconds: float) -> bool:
    with store.connect() as conn:
        scope = scope_of(conn, row.workspace_id)
    with store.begin(scope, Cause("scheduler", "disable-failing-webhooks")) as tx:
        last = tx.one(_LAST_SUCCESS, webhook=row.webhook_id, since=row.failing_since)
        if last is not None and last.at is not None:  # a success that no worker lived to note
            tx.run(
                """UPDATE endpoint_health SET failing_since = :at, last_success_at = :at
                   WHERE workspace_id = :workspace_id AND webhook_id = :webhook""",
                at=last.at,
                webhook=row.webhook_id,
            )
            return False
        reason = f"no delivery got through in {_shown(seconds)}, since {row.failing_since:%Y-%m-%d %H:%M} UTC"
        return move(tx, webhooks, row.webhook_id, "disable", reason)


def _shown(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _write(conn: Connection, mended: Collection[UUID], failed: Mapping[UUID, int]) -> None:
    if mended:
        conn.exec_driver_sql(_WORKED, {"webhooks": list(mended)})
    if failed:
        conn.exec_driver_sql(_FAILED, {"workspaces": list(failed.values()), "webhooks": list(failed)})
