"""A webhook whose deliveries die is failing (and still tried); one that answers 410 is disabled; one that works recovers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from server.events.routes import touch_routes
from server.kernel.errors import Conflict, PreconditionFailed
from server.kernel.lifecycle import TRANSITIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from server.kernel.lifecycle import Action
    from server.store import Store
    from server.store.repository import SqlRepository
    from server.webhooks.aggregate import Webhook
    from server.webhooks.job import Job
    from server.webhooks.queries import Outcome

log = structlog.get_logger("crossdock.webhooks")


def judge(outcome: Outcome, webhook_state: str) -> tuple[Action, str] | None:
    """Return what an outcome means for its webhook: an action and its reason, or None."""
    if outcome.state == "delivered" and webhook_state == "failing":
        return "recover", "a delivery got through"
    if outcome.reason == "gone" and webhook_state in ("active", "failing"):
        return "disable", "the receiver answered 410: it is gone"
    if outcome.state == "dead" and outcome.reason in ("exhausted", "expired", "refused") and webhook_state == "active":
        return "fail", f"a delivery ended as a dead letter: {outcome.reason}"
    return None


def react(
    store: Store, webhooks: SqlRepository[Webhook], outcomes: Sequence[Outcome], jobs: Mapping[UUID, Job]
) -> None:
    """Move webhooks to the state that these outcomes say, each in a transaction of its own."""
    wanted = {}
    for outcome in outcomes:
        job = jobs[outcome.claim.ref]
        judged = judge(outcome, job.row.webhook_state)
        if judged:
            wanted[job.row.webhook_id, judged[0]] = (job, judged[1])
    for (webhook_id, action), (job, reason) in wanted.items():
        try:
            with store.begin(job.scope, job.cause) as tx:
                touch_routes(tx)
                webhook = webhooks.by_id(tx, webhook_id)
                if webhook is not None and (webhook.state, action) in TRANSITIONS:
                    webhook.act(action, reason)
                    webhooks.save(tx, webhook)
        except (Conflict, PreconditionFailed) as error:
            log.info("another worker was faster", webhook=job.row.webhook_name, action=action, code=error.code)
