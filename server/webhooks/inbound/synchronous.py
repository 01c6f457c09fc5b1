"""`sync: true`: a request that was just stored is mapped before it is answered, in a thread of the process that received it.

It was stored under a claim, so a worker takes it over should this process die; then the first one to ask again gets the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.kernel.errors import Unavailable
from server.webhooks.inbound.ending import Ending
from server.webhooks.inbound.loading import load

if TYPE_CHECKING:
    from server.events.publishing import Publisher
    from server.queue.claims import Claim
    from server.store import Scope, Store
    from server.webhooks.inbound.answering import Made

_AGAIN_SECONDS = 1.0


class MapNow:
    """Maps and publishes one request, and keeps its answer with its dedupe key, in one transaction."""

    def __init__(self, store: Store, publisher: Publisher) -> None:
        self._ending = Ending(store, publisher)

    def __call__(self, scope: Scope, claim: Claim) -> Made:
        """Return the answer: of what was emitted, or 422 with why the request is a dead letter now.

        Raises:
            Unavailable: not now; a worker will, and who asks again gets the answer.

        """
        with self._ending.store.statements() as conn:
            found = load(conn, [claim.ref])
        if found:
            stored = found[0][1]
            self._ending.prepare(scope, [stored])
            answers = self._ending.end(scope, [(claim, stored, self._ending.ready(scope, claim, stored))])
            if claim.ref in answers:
                return answers[claim.ref]
        raise Unavailable("a worker maps this request now", source="inbound", after=_AGAIN_SECONDS)
