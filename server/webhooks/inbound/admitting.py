"""Implements `events.admitting.Admit`: what a sync job finds missing is stored as if its sender had sent it, once."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from server.events.admitting import Admitted
from server.events.envelope import to_json
from server.kernel.clock import rfc3339
from server.kernel.errors import Conflict, Invalid, NotFound, code
from server.kernel.ids import new_uuid
from server.kernel.lifecycle import HELD_STATES, WAYS_OUT, WRONG_STATE
from server.webhooks.inbound import storing
from server.webhooks.inbound.answers import headers_of
from server.webhooks.inbound.deduping import key_of
from server.webhooks.inbound.endpoint import inbound_of
from server.webhooks.inbound.parsing import parse
from server.webhooks.inbound.seeing import kept_headers, kept_query, scope_of
from server.webhooks.inbound.storing import Asked, Outdated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any
    from uuid import UUID

    from server.events.admitting import Offered
    from server.kernel.clock import Clock
    from server.store import Tx
    from server.webhooks.inbound.endpoint import InboundWebhook

ADMIT_REFUSED = code(
    "ADMIT_REFUSED",
    "Requests of this webhook cannot be brought by others: it needs a `dedupe.key`, and bodies in JSON.",
)
CLIENT, BY_HAND = "reconcile", "trigger"
_JSON = "application/json"
_WEBHOOK = """
SELECT w.id, w.state, w.body, w.definition_version, s.routes_version, s.secrets_version
FROM webhooks w JOIN workspaces s ON s.id = w.workspace_id
WHERE w.workspace_id = :workspace_id AND w.name = :name AND w.deleted_at IS NULL AND w.body ->> 'direction' = 'inbound'
"""


def _found(tx: Tx, webhook: str) -> tuple[Any, InboundWebhook]:
    row = tx.one(_WEBHOOK, name=webhook)
    if row is None:
        raise NotFound(f"no inbound webhook {webhook} in {tx.scope}")
    return row, inbound_of(row.body)


class Admitting:
    """Stores requests that nobody has sent."""

    def __init__(self, clock: Clock, hint: Callable[[], None]) -> None:
        self.clock = clock
        self.hint = hint

    def __call__(self, tx: Tx, webhook: str, offered: Sequence[Offered]) -> list[Admitted]:
        """Store those that are new: see `Admit`.

        Raises:
            NotFound: no such inbound webhook here.
            Invalid: ADMIT_REFUSED or DEDUPE_FAILED.
            Conflict: the definitions of the workspace change just now; try again.

        """
        row, view = _found(tx, webhook)
        if view.key is None or view.format not in (None, "json"):
            raise Invalid(f"{webhook} needs a dedupe key, and bodies in JSON", code=ADMIT_REFUSED, source="inbound")
        asked = [self._asked(tx, row, view, each, CLIENT) for each in offered]
        if any(each.key is None for each in asked):
            raise Invalid("the dedupe key of one of them is null", code=ADMIT_REFUSED, source="inbound")
        return self._put(tx, asked)

    def by_hand(self, tx: Tx, webhook: str, offered: Offered) -> UUID:
        """Store a request that a person brings, whatever came before it; return its id.

        Raises:
            NotFound: no such inbound webhook here.
            Invalid: ADMIT_REFUSED or DEDUPE_FAILED.
            Conflict: WRONG_STATE, the webhook is a draft; or the definitions change just now.

        """
        row, view = _found(tx, webhook)
        if view.format not in (None, "json"):
            raise Invalid(f"{webhook} takes bodies in {view.format}", code=ADMIT_REFUSED, source="inbound")
        if row.state == "draft":
            message = f"webhook {webhook} is draft: it takes nothing; {WAYS_OUT['draft']}"
            raise Conflict(message, code=WRONG_STATE, allowed=["activate"])
        asked = self._asked(tx, row, view, offered, BY_HAND)
        [admitted] = self._put(tx, [replace(asked, key=None, sync=False)])
        return admitted.request_id

    def _put(self, tx: Tx, asked: Sequence[Asked]) -> list[Admitted]:
        admitted = []
        for each in storing.put(tx.conn, asked) if asked else ():
            if isinstance(each, Outdated):
                raise Conflict("the definitions of the workspace change just now", source="inbound")
            admitted.append(Admitted(each.first, each.duplicate))
        tx.after_commit("hint", self.hint)
        return admitted

    def _asked(self, tx: Tx, row: Any, view: InboundWebhook, offered: Offered, client: str) -> Asked:
        identity, now, body = new_uuid(), self.clock.now(), to_json(offered.body).encode()
        given = {name.lower(): value for name, value in offered.headers.items()}
        headers, query = {**kept_headers(given), "content-type": _JSON}, kept_query(offered.query)
        method = min(view.methods, key=("POST", "PUT", "GET").index)
        key = key_of(
            view,
            scope_of(
                request_id=identity,
                received_at=now,
                method=method,
                path=view.path.text,
                query=query,
                client=client,
                params=offered.params,
                headers=headers,
                body=parse(body, "json"),
            ),
        )
        held = row.state in HELD_STATES
        mapped_first, said = view.sync and not held, view.answer
        return Asked(
            id=identity,
            workspace_id=tx.scope.workspace_id,
            webhook_id=row.id,
            definition_version=row.definition_version,
            routes=row.routes_version,
            secrets=row.secrets_version,
            held=held,
            sync=mapped_first,  # so that the sender, should it come after all, gets the answer that is made of the events
            priority=view.priority,
            received_at=rfc3339(now),
            method=method,
            path=view.path.text,
            query=query,
            params=offered.params,
            headers=headers,
            body=body,
            message_id="",
            client=client,
            hops=0,
            correlation_id=tx.cause.correlation_id,
            key=None if key is None else hashlib.sha256(key).hexdigest(),
            ttl=view.ttl,
            status=None if mapped_first or (said.plain and not view.sync) else said.status,
            answer_headers=None if said.plain else headers_of(said),
            answer_body=None if said.plain else said.body,
        )
