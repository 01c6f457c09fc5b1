"""From stored requests under a claim to their end: what the worker does with many, and `sync: true` with one.

Parsing and mapping happen with no transaction open. Then one transaction takes the due rows away by their epoch, publishes,
keeps how each ended, and, of those whose senders wait for the result, the answer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from server.kernel.errors import CrossdockError, Failure, Unavailable, code
from server.kernel.ids import show
from server.kernel.stacks import stack_of
from server.queue import claims
from server.store import Cause
from server.store.values import write_json
from server.webhooks.inbound import metrics
from server.webhooks.inbound.answering import Made, refusal
from server.webhooks.inbound.emitting import Emitter, Ready
from server.webhooks.inbound.loading import Definitions, seen
from server.webhooks.inbound.seeing import ID_PREFIX
from server.webhooks.inbound.storing import KIND
from server.webhooks.outcomes import POISON_CLAIMS, WEBHOOK_REMOVED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from server.events.publishing import Publisher
    from server.queue.claims import Claim
    from server.store import Scope, Store, Tx
    from server.webhooks.inbound.emitting import Ended
    from server.webhooks.inbound.loading import Stored

log = structlog.get_logger("crossdock.webhooks")
INBOUND_POISON = code(
    "INBOUND_POISON", "Workers died or stalled on this request again and again; it is not mapped by itself any more."
)
CAUSE = Cause("inbound", "inbound")
# Only synchronous ones that are not answered yet have such a key, so nearly always none is found.
_ANSWER = """
UPDATE inbound_keys k SET mapping = false, status = n.status, headers = n.headers, body = convert_to(n.body, 'UTF8')
FROM json_to_recordset(%(made)s::json) AS n(request_id uuid, status int, headers json, body text)
WHERE k.mapping AND k.request_id = n.request_id AND k.request_id = ANY(%(ids)s::uuid[]) AND k.workspace_id = %(workspace)s
"""
_NOTE = """
UPDATE inbound_requests SET reason = 'answer', error = CAST(:error AS jsonb) WHERE workspace_id = :workspace_id AND id = :id
"""


class Ending:
    """Maps requests and ends them. One is shared by all threads of a process."""

    def __init__(self, store: Store, publisher: Publisher) -> None:
        self.store = store
        self.emitter = Emitter(publisher)
        self.definitions = Definitions()

    def prepare(self, scope: Scope, stored: Iterable[Stored]) -> None:
        """Read the definitions of requests of a workspace that are not known yet."""
        missing = self.definitions.missing((scope.workspace_id, each) for each in stored)
        if missing:
            with self.store.begin(scope, CAUSE) as tx:
                self.definitions.read(tx, missing)

    def ready(self, scope: Scope, claim: Claim, stored: Stored) -> Ready:
        """Return what a claimed request becomes; whatever fails is its own, and nothing of it is kept yet."""
        work = stored.work
        if stored.webhook_state == "archived":
            failure = Failure(WEBHOOK_REMOVED, "the webhook was removed", "webhooks")
            return Ready(work, failure=failure, reason="removed")
        if claim.claims > POISON_CLAIMS:
            failure = Failure(INBOUND_POISON, "claimed again and again without an outcome", "webhooks")
            return Ready(work, failure=failure, reason="poison")
        try:
            definition = self.definitions.get(scope, work)
            shown = seen(definition.webhook, stored)
            answering = (definition.answerer, shown) if definition.webhook.sync else None
            made = definition.mapper.run(shown, work.id, work.round, work.correlation_id)
        except Unavailable:
            raise
        except CrossdockError as error:
            return Ready(work, failure=error.failure)
        except Exception as error:  # the border of one request: a fault of ours must not end the others
            log.exception("mapping broke", request=str(work.id), webhook=work.webhook, workspace=str(scope))
            message = f"{type(error).__name__} while mapping"
            return Ready(work, failure=Failure("INTERNAL", message, "mapping", {"stack": stack_of(error)}))
        return Ready(work, made, answering=answering)

    def end(self, scope: Scope, ready: Sequence[tuple[Claim, Stored, Ready]]) -> Mapping[UUID, Made]:
        """Publish and keep, in one transaction, those that are still ours; return the answers of those that are synchronous.

        Raises:
            Unavailable: the database is away; nothing of it counts.

        """
        with self.store.begin(scope, CAUSE) as tx:
            ours = claims.finish(tx.conn, KIND, [claim for claim, _, _ in ready])
            mine = [each for claim, stored, each in ready if claim.ref in ours and stored.state == "received"]
            ended = self.emitter.emit(tx, mine)
            answers = _answers(tx, mine, ended)
        metrics.mapped(str(scope), ((each.work.webhook, each.state) for each in ended))
        return answers


def _answers(tx: Tx, ready: Sequence[Ready], ended: Sequence[Ended]) -> dict[UUID, Made]:
    """Make and keep the answers of those that have one, and of all that died: those may be synchronous too."""
    answers: dict[UUID, Made] = {}
    for each, end in zip(ready, ended, strict=True):
        if end.state != "dead" and each.answering is None:
            continue
        request = show(ID_PREFIX, each.work.id)
        if end.state == "dead" and end.error is not None:
            answers[each.work.id] = refusal(request, end.error)
        elif each.answering is not None:
            answerer, shown = each.answering
            made = answerer(shown, request, end.events)
            if made.noted is not None:
                tx.run(_NOTE, id=each.work.id, error=write_json(made.noted.as_dict()))
                made = replace(made, noted=None)
            answers[each.work.id] = made
    if answers:
        rows = [
            {
                "request_id": id_,
                "status": made.status,
                "headers": {"content-type": made.content_type, **made.headers},
                "body": made.body.decode(),
            }
            for id_, made in answers.items()
        ]
        values = {"made": write_json(rows), "ids": list(answers), "workspace": tx.scope.workspace_id}
        tx.conn.exec_driver_sql(_ANSWER, values)
    return answers
