"""What a person does to webhooks and deliveries, each in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.events.envelope import NewEvent, to_json
from server.kernel.errors import Conflict, NotFound, code
from server.kernel.ids import new_uuid, show
from server.kernel.lifecycle import HELD_STATES
from server.kernel.policies import parse_duration
from server.queue import claims, dead_letters
from server.webhooks import ordering, queries, reading
from server.webhooks.ordering import Ended
from server.webhooks.outbound import DEFAULT_EXPIRES, webhook_of
from server.webhooks.owing import message_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from server.events.publishing import Publisher
    from server.store import Tx
    from server.store.repository import Repository
    from server.webhooks.aggregate import Webhook
    from server.webhooks.owing import Owing

DELIVERY_HELD = code(
    "DELIVERY_HELD", "The webhook or its integration is paused or disabled; resume it, and its deliveries go out."
)

DELIVERY_WAITS = code(
    "DELIVERY_WAITS",
    "Its turn in its order has not come: retry or discard what stands before it, or resume what rests.",
)

WEBHOOK_INBOUND = code("WEBHOOK_INBOUND", "An inbound webhook sends nothing: POST /api/v1/webhooks/{name}/requests.")


@dataclass(frozen=True, slots=True)
class Triggered:
    """What `trigger` made."""

    event_id: str
    delivery_id: UUID
    message_id: str


def trigger(
    tx: Tx, webhooks: Repository[Webhook], publisher: Publisher, owing: Owing, name: str, payload: dict[str, Any]
) -> Triggered:
    """Make one real signed delivery of `payload` through a webhook, and through no other.

    Raises:
        NotFound: no such webhook.
        Conflict: WRONG_STATE, a draft or archived webhook sends nothing; WEBHOOK_INBOUND.
        Invalid: SCHEMA_VIOLATION, the payload breaks the schema of the webhook's event type.

    """
    webhook = webhooks.get(tx, name)
    if webhook.body.get("direction") == "inbound":
        raise Conflict(f"{name} is inbound: bring it a request by hand", code=WEBHOOK_INBOUND)
    event_id = show("evt", new_uuid())
    asked = webhook.trigger(payload, tx.cause.principal, event_id)
    webhooks.save(tx, webhook)
    new = NewEvent(type=asked["type"], id=event_id, source="crossdock/trigger", data=to_json(asked["data"]))
    event = publisher.store_only(tx, new)
    delivery = owing.owe_one(
        tx,
        event,
        webhook.id,
        webhook_of(webhook.body),
        held=webhook.state in HELD_STATES,
    )
    return Triggered(event_id, delivery, message_id(event.uid, webhook.id))


class Reopening:
    """Implements `queue.dead_letters.Reopen` for deliveries: same message id, a new round of tries."""

    def __init__(self, hint: Callable[[], None]) -> None:
        self.hint = hint

    def reopen(self, tx: Tx, refs: Sequence[UUID]) -> None:
        """Make deliveries due with a new schedule and a new expiry; those of a held webhook are held.

        A dead one goes on in its place of the order, when its turn comes; one that has none any more goes now, beside it.
        """
        keys = _keys_of(tx, refs)
        if keys:  # the counter of a key that nobody used for long is gone: it comes back as the key's lock
            ordering.count_up(tx.conn, tx.scope.workspace_id, dict.fromkeys(keys, 0))
        expires = _expiries(tx, refs)
        rows = tx.all(
            """UPDATE deliveries d
               SET state = CASE WHEN w.state IN ('paused', 'disabled') THEN 'held' ELSE 'pending' END,
                   attempts_before = attempts, finished_at = NULL, reason = 'retried',
                   order_no = CASE WHEN d.state = 'dead' THEN d.order_no END,
                   expires_at = now() + e.seconds * interval '1 second'
               FROM webhooks w
               JOIN unnest(CAST(:webhooks AS uuid[]), CAST(:seconds AS float[])) AS e(id, seconds) ON e.id = w.id
               WHERE d.workspace_id = :workspace_id AND d.id = ANY(:refs) AND d.state <> 'pending' AND w.id = d.webhook_id
               RETURNING d.id, d.webhook_id, d.state, d.order_no,
                         coalesce(CAST(w.body ->> 'max_in_flight' AS int), :most) AS most,
                         w.body ->> 'priority' AS priority""",
            refs=list(refs),
            webhooks=list(expires),
            seconds=list(expires.values()),
            most=claims.LANE_LIMIT,
        )
        work = [
            claims.Due(
                row.id,
                tx.scope.workspace_id,
                row.webhook_id,
                "infinity" if row.state == "held" or row.order_no is not None else None,
                row.most,
                claims.PRIORITIES.get(row.priority, claims.NORMAL),
            )
            for row in rows
        ]
        claims.add(tx.conn, queries.KIND, work)
        if keys:
            ordering.wake_heads(tx.conn, keys)
        tx.after_commit("hint", self.hint)

    def discard(self, tx: Tx, refs: Sequence[UUID]) -> None:
        """Give deliveries up; the next of their order keys goes."""
        ordering.lock_keys(tx.conn, _keys_of(tx, refs))
        rows = tx.all(
            """UPDATE deliveries SET state = 'discarded', finished_at = now()
               WHERE workspace_id = :workspace_id AND id = ANY(:refs) AND state IN ('dead', 'held', 'pending')
               RETURNING id, webhook_id, order_key""",
            refs=list(refs),
        )
        tx.run(
            "DELETE FROM due WHERE workspace_id = :workspace_id AND kind = 'delivery' AND ref = ANY(:refs)",
            refs=[row.id for row in rows],
        )
        gone = [Ended(row.id, (row.webhook_id, row.order_key)) for row in rows if row.order_key is not None]
        if gone:
            ordering.ended(tx.conn, gone)
            tx.after_commit("hint", self.hint)


def _keys_of(tx: Tx, refs: Sequence[UUID]) -> list[ordering.Key]:
    """Return the order keys of deliveries: their lock comes before the deliveries themselves are touched."""
    rows = tx.all(
        """SELECT DISTINCT webhook_id, order_key FROM deliveries
           WHERE workspace_id = :workspace_id AND id = ANY(:refs) AND order_key IS NOT NULL""",
        refs=list(refs),
    )
    return [(row.webhook_id, row.order_key) for row in rows]


def _expiries(tx: Tx, refs: Sequence[UUID]) -> dict[UUID, float]:
    """Return the `expires` in seconds of the webhooks of deliveries, as they are defined now."""
    rows = tx.all(
        """SELECT DISTINCT w.id, coalesce(w.body ->> 'expires', :default) AS expires
           FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id
           WHERE d.workspace_id = :workspace_id AND d.id = ANY(:refs)""",
        refs=list(refs),
        default=DEFAULT_EXPIRES,
    )
    return {row.id: parse_duration(row.expires) for row in rows}


def retry(tx: Tx, reopening: Reopening, delivery_id: UUID) -> None:
    """Try one delivery again, whatever became of it: the same message id, so the receiver can tell.

    Raises:
        NotFound: no such delivery here.
        Conflict: DELIVERY_HELD, its webhook is paused or disabled, or its integration holds it; DELIVERY_WAITS, it is not its
            turn yet.

    """
    ordering.lock_keys(tx.conn, _keys_of(tx, [delivery_id]))
    row = reading.delivery(tx, delivery_id)
    if row is None:
        raise NotFound("no such delivery here")
    if row.webhook_state in HELD_STATES:
        raise Conflict("its webhook is paused or disabled; resume it first", code=DELIVERY_HELD)
    if row.reason != ordering.PARKED and (why := reading.why_held(row)):
        raise Conflict(f"{why}; resume it first", code=DELIVERY_HELD)
    if reading.waits(row):
        raise Conflict(
            "its turn in its order has not come; retry or discard what stands before it", code=DELIVERY_WAITS
        )
    if row.state == "pending":
        # Only the pause is cut short: whoever holds a lease on it keeps it.
        tx.run(
            """UPDATE due SET due_at = now() WHERE workspace_id = :workspace_id AND kind = 'delivery' AND ref = :ref
               AND NOT leased""",
            ref=delivery_id,
        )
        tx.after_commit("hint", reopening.hint)
        return
    reopening.reopen(tx, [delivery_id])
    dead_letters.resolve_refs(tx, [delivery_id], "replayed")


def retry_dead_letters(tx: Tx, ids: Sequence[UUID], reopens: dict[str, dead_letters.Reopen]) -> int:
    """Retry open dead letters, each by the capability that owns its kind; return how many were open."""
    return _resolve(tx, ids, reopens, "replayed")


def discard_dead_letters(tx: Tx, ids: Sequence[UUID], reopens: dict[str, dead_letters.Reopen]) -> int:
    """Give open dead letters up for good; return how many were open."""
    return _resolve(tx, ids, reopens, "discarded")


def _resolve(tx: Tx, ids: Sequence[UUID], reopens: dict[str, dead_letters.Reopen], resolution: str) -> int:
    opened = dead_letters.resolve(tx, ids, resolution)
    for kind, capability in reopens.items():
        refs = [ref for each, ref in opened if each == kind]
        if refs and resolution == "replayed":
            capability.reopen(tx, refs)
        elif refs:
            capability.discard(tx, refs)
    return len(opened)


def release(tx: Tx, webhook_ids: Sequence[UUID], hint: Callable[[], None], *, parked: bool = False) -> int:
    """Let the held deliveries of webhooks go, oldest first, at most 10,000 at a time; return how many went.

    With `parked` also those that wait behind a dead head: it gives up its place, and they keep their order without it.
    """
    found = tx.all(
        """SELECT id, webhook_id, order_key FROM deliveries
           WHERE workspace_id = :workspace_id AND state = 'held' AND webhook_id = ANY(:webhooks)
             AND (:parked OR reason IS DISTINCT FROM 'parked')
           ORDER BY id LIMIT :limit""",
        webhooks=list(webhook_ids),
        parked=parked,
        limit=ordering.AT_ONCE,
    )
    keys = {(row.webhook_id, row.order_key) for row in found if row.order_key is not None}
    ordering.lock_keys(tx.conn, keys)
    rows = tx.all(
        """WITH held AS (
             SELECT id, created_at, webhook_id, order_key, order_no, reason FROM deliveries
             WHERE workspace_id = :workspace_id AND state = 'held' AND id = ANY(:ids) ORDER BY id FOR UPDATE
           ), pending AS (
             UPDATE deliveries d SET state = 'pending', reason = NULL FROM held WHERE d.id = held.id
           ), placed AS (  -- their old dates would lie further back than claims look
             SELECT id, row_number() OVER (ORDER BY created_at DESC, id DESC) AS behind FROM held WHERE order_no IS NULL
           ), moved AS (
             UPDATE due SET due_at = now() - p.behind * interval '1 microsecond' FROM placed p
             WHERE due.kind = 'delivery' AND due.ref = p.id
           )
           SELECT webhook_id, order_key, reason FROM held""",
        ids=[row.id for row in found],
    )
    ordering.pass_over(tx.conn, [(row.webhook_id, row.order_key) for row in rows if row.reason == ordering.PARKED])
    ordering.wake_heads(tx.conn, keys)
    if rows:
        tx.after_commit("hint", hint)
    return len(rows)
