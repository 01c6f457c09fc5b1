"""What happens when: the page to read first. Our own events on the left, what follows from them on the right.

A reaction is owed by its event in the event's own transaction, and runs after the commit from a due row: it may be late,
it is never lost, and it may run twice, so each is idempotent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from server.events import queries as event_store
from server.events.envelope import from_json
from server.flows import holding as held_runs
from server.kernel.errors import CrossdockError, Failure
from server.queue import claims, dead_letters
from server.queue.dead_letters import DeadLetter
from server.store import Cause
from server.store.scopes import scope_of
from server.syncs import holding, runs, ticks
from server.webhooks import health, ordering
from server.webhooks import usecases as webhooks
from server.webhooks.inbound import reopening as inbound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from server.events.envelope import Event
    from server.queue.claims import Claim
    from server.store import Store, Tx

log = structlog.get_logger("crossdock.reactions")
KIND = "reaction"
AT_ONCE = 50
_TRIES = 10
_FULL = 10_000


@dataclass(frozen=True, slots=True)
class Services:
    """What reactions may use."""

    hint: Callable[[], None]


def release_webhook(services: Services, tx: Tx, event: Event) -> bool:
    """Send or map what was held while the webhook stood still, and what is parked behind a dead letter; True while there is more."""
    identity = _aggregate_of(event)
    health.forget(tx, identity)  # a person has mended it: its time to fail begins anew
    requests = inbound.release(tx, [identity], services.hint)
    return max(requests, webhooks.release(tx, [identity], services.hint, parked=True)) >= _FULL


def let_orders_go(services: Services, tx: Tx, event: Event) -> bool:
    """Let the keys of a webhook go on that dead letters hold, when its `on_stuck` is `skip` now, or it was removed."""
    identity = _aggregate_of(event)
    row = tx.one(
        """SELECT 1 FROM webhooks WHERE workspace_id = :workspace_id AND id = :id
           AND (state = 'archived' OR body ->> 'on_stuck' = 'skip')""",
        id=identity,
    )
    passed = 0 if row is None else ordering.pass_over_webhook(tx.conn, tx.scope.workspace_id, identity)
    if passed:
        tx.after_commit("hint", services.hint)
    removed = event.type == "crossdock.webhook.archived"
    requests = inbound.release(tx, [identity], services.hint) if removed else 0  # held ones become dead letters now
    return max(passed, requests) >= _FULL


def release_integration(services: Services, tx: Tx, event: Event) -> bool:
    """Send what was held by all webhooks of the integration; True while there is more."""
    name = from_json(event.data)["name"]
    rows = tx.all(
        """SELECT id FROM webhooks WHERE workspace_id = :workspace_id AND deleted_at IS NULL
           AND state IN ('active', 'failing') AND body ->> 'integration' = :name""",
        name=name,
    )
    return webhooks.release(tx, [row.id for row in rows], services.hint) >= _FULL


def reschedule_sync_job(_services: Services, tx: Tx, event: Event) -> bool:
    """Bring the next time of a sync job up to its present definition and state."""
    row = tx.one("SELECT now() AS at")
    if row is not None:
        ticks.reschedule(tx.conn, _aggregate_of(event), row.at)
    return False


def wake_sync_job(services: Services, tx: Tx, event: Event) -> bool:
    """Find its next time for a sync job that works again, and let the runs go that were held."""
    reschedule_sync_job(services, tx, event)
    if holding.release(tx, _aggregate_of(event)):
        tx.after_commit("hint", services.hint)
    return False


def end_sync_job(services: Services, tx: Tx, event: Event) -> bool:
    """Take the times of a sync job that was removed, and have its runs end."""
    runs.cancel(tx.conn, [_aggregate_of(event)])
    return wake_sync_job(services, tx, event)


def wake_flow(services: Services, tx: Tx, event: Event) -> bool:
    """Let the runs go that were held while the flow stood still."""
    if held_runs.release(tx, _aggregate_of(event)):
        tx.after_commit("hint", services.hint)
    return False


def _aggregate_of(event: Event) -> UUID:
    return UUID(from_json(event.data)["aggregate_id"])


REACTIONS: dict[str, Callable[[Services, Tx, Event], bool]] = {
    "crossdock.webhook.activated": release_webhook,
    "crossdock.webhook.resumed": release_webhook,
    "crossdock.webhook.changed": let_orders_go,
    "crossdock.webhook.archived": let_orders_go,
    "crossdock.integration.activated": release_integration,
    "crossdock.integration.resumed": release_integration,
    "crossdock.sync_job.activated": wake_sync_job,
    "crossdock.sync_job.changed": reschedule_sync_job,
    "crossdock.sync_job.resumed": wake_sync_job,
    "crossdock.sync_job.deactivated": reschedule_sync_job,
    "crossdock.sync_job.paused": reschedule_sync_job,
    "crossdock.sync_job.disabled": reschedule_sync_job,
    "crossdock.sync_job.archived": end_sync_job,
    "crossdock.flow.activated": wake_flow,
    "crossdock.flow.resumed": wake_flow,
    "crossdock.flow.archived": wake_flow,
}


def owe(tx: Tx, events: Sequence[Event]) -> None:
    """Implement `events.Owes`: events of the table above owe their reaction."""
    work = [
        claims.Due(event.uid, event.workspace_id, event.uid)
        for event in events
        if event.source == "crossdock" and event.type in REACTIONS
    ]
    claims.add(tx.conn, KIND, work)


def drain(store: Store, services: Services) -> int:
    """Run the reactions that are due; return how many were claimed."""
    with store.connect() as conn:
        mine = claims.claim(conn, KIND, AT_ONCE)
        found = {event.uid: event for event in event_store.by_uids(conn, {each.ref for each in mine})}
    for claim in mine:
        event = found.get(claim.ref)
        if event is None:
            with store.connect() as conn:
                claims.finish(conn, KIND, [claim])
            continue
        _run(store, services, claim, event)
    return len(mine)


def _run(store: Store, services: Services, claim: Claim, event: Event) -> None:
    with store.connect() as conn:
        scope = scope_of(conn, claim.workspace_id)
    cause = Cause("worker", event.correlation_id, event.id)
    try:
        with store.begin(scope, cause) as tx:
            more = REACTIONS[event.type](services, tx, event)
            if more:
                claims.postpone(tx.conn, KIND, [claim], [datetime.now(UTC)], uncount=True)
            elif not claims.finish(tx.conn, KIND, [claim]):
                log.info("reaction was taken over", event_type=event.type)
    except CrossdockError as error:
        log.warning("reaction failed", event_type=event.type, event=event.id, code=error.code, claims=claim.claims)
        with store.begin(scope, cause) as tx:
            if claim.claims < _TRIES:
                claims.postpone(tx.conn, KIND, [claim], [datetime.now(UTC) + timedelta(seconds=2**claim.claims)])
            elif claims.finish(tx.conn, KIND, [claim]):
                dead_letters.add(tx.conn, [_letter(claim, event, error.failure)])


def _letter(claim: Claim, event: Event, failure: Failure) -> DeadLetter:
    return DeadLetter(
        workspace_id=claim.workspace_id,
        kind=KIND,
        ref=event.uid,
        owner=event.subject or event.type,
        owner_id=event.uid,
        reason="exhausted",
        error=failure,
        attempts=claim.claims,
        correlation_id=event.correlation_id,
    )


class Reopening:
    """Implements `queue.dead_letters.Reopen` for reactions."""

    def reopen(self, tx: Tx, refs: Sequence[UUID]) -> None:
        """Let them run again."""
        claims.add(tx.conn, KIND, [claims.Due(ref, tx.scope.workspace_id, ref) for ref in refs])

    def discard(self, tx: Tx, refs: Sequence[UUID]) -> None:
        """Nothing is left to give up: the due row is gone."""
