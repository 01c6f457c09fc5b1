"""The worker's part: stored requests that are due are mapped, and their events published, many in one transaction.

claim (lease) → load → parse and map → take the due rows away by their epoch, publish, keep how each ended: one transaction
per workspace (`ending.py`). Whoever dies before it has done nothing; whoever comes late, with a lease that is another's by now,
finds no due row of its epoch, and publishes nothing.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from server.kernel.lifecycle import HELD_STATES
from server.queue import claims
from server.queue.claims import Claimer
from server.store import Scope
from server.webhooks.inbound.ending import Ending
from server.webhooks.inbound.loading import load
from server.webhooks.inbound.storing import KIND
from server.webhooks.outcomes import SUSPECT_CLAIMS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from server.events.publishing import Publisher
    from server.queue.claims import Claim
    from server.store import Store
    from server.webhooks.inbound.emitting import Ready
    from server.webhooks.inbound.loading import Stored

log = structlog.get_logger("crossdock.webhooks")
BATCH = 200
SLICE_SECONDS = 1.0
BATCH_SECONDS = 2.0  # of mapping, whosever requests they are: what is left then is given back, since leases end
ALONE_SECONDS = 1.0  # more, for those that go one at a time
_SUSPECTS_SHARE = 4  # as with deliveries: of so many that may be what kills workers one goes at a time
_NEXT_SUSPECT_SECONDS = 0.2


class Inbound:
    """Maps due requests: a chore of the worker. Nobody else uses it while it drains."""

    def __init__(self, store: Store, publisher: Publisher, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self.ending = Ending(store, publisher)
        self._claimer = Claimer(KIND)
        self._clock = publisher.clock
        self._monotonic = monotonic

    def drain(self) -> int:
        """Map what is due, for a second at most; return how many requests were claimed.

        Raises:
            Unavailable: the database is away; what was claimed is due again when its lease ends.

        """
        until, total = self._monotonic() + SLICE_SECONDS, 0
        while True:
            claimed = self._batch()
            total += claimed
            if claimed < BATCH or self._monotonic() > until:
                return total

    def _batch(self) -> int:
        with self.store.statements() as conn:
            claimed = self._claimer(conn, BATCH)
            if not claimed:
                return 0
            found = load(conn, [each.ref for each in claimed])
        by_ref = {stored.work.id: (row, stored) for row, stored in found}
        kept = self._few_suspects(claimed)
        waiting: defaultdict[Scope, list[tuple[Claim, Stored]]] = defaultdict(list)
        alone: list[tuple[Scope, tuple[Claim, Stored]]] = []
        back: list[Claim] = []
        for claim in kept:
            if claim.ref not in by_ref:
                back.append(claim)
                continue
            row, stored = by_ref[claim.ref]
            scope = Scope(row.organization_id, row.workspace_id, row.organization, row.workspace)
            if claim.claims > SUSPECT_CLAIMS:
                alone.append((scope, (claim, stored)))
            else:
                waiting[scope].append((claim, stored))
        self._give_back(back, by_ref)
        until = self._monotonic() + BATCH_SECONDS
        for scope, batch in waiting.items():
            self._map(scope, batch, until)
        for scope, one in alone:
            self._map(scope, [one], until + ALONE_SECONDS)
        return len(claimed)

    def _few_suspects(self, claimed: list[Claim]) -> list[Claim]:
        """Keep few of those that may be what kills workers, and give the others back: they would die with it, and look alike."""
        suspects = [each for each in claimed if each.claims > SUSPECT_CLAIMS]
        if not suspects:
            return claimed
        share = {each.ref for each in random.sample(suspects, max(1, len(suspects) // _SUSPECTS_SHARE))}
        back = [each for each in suspects if each.ref not in share]
        self._postpone(back, _NEXT_SUSPECT_SECONDS)
        gone = {each.ref for each in back}
        return [each for each in claimed if each.ref not in gone]

    def _give_back(self, left: list[Claim], loaded: dict[UUID, Any]) -> None:
        """Let those go that memory has no room for; those that retention has taken away go for good."""
        if not left:
            return
        if not loaded:  # one at least is always loaded: all of these are gone
            with self.store.statements() as conn:
                claims.finish(conn, KIND, left)
            return
        self._postpone(left, 0.0)

    def _postpone(self, left: list[Claim], seconds: float) -> None:
        if left:
            at = self._clock.now() + timedelta(seconds=seconds)
            with self.store.statements() as conn:
                claims.postpone(conn, KIND, left, [at] * len(left), uncount=True)

    def _map(self, scope: Scope, batch: Sequence[tuple[Claim, Stored]], until: float) -> None:
        """Map and end requests of one workspace; those that are not begun by then are given back."""
        held = [claim for claim, stored in batch if stored.webhook_state in HELD_STATES]
        if held:
            with self.store.statements() as conn:
                claims.postpone(conn, KIND, held, ["infinity"] * len(held), uncount=True)
        wanted = [each for each in batch if each[1].webhook_state not in HELD_STATES]
        self.ending.prepare(scope, [stored for _, stored in wanted])
        ready: list[tuple[Claim, Stored, Ready]] = []
        for claim, stored in wanted:
            if self._monotonic() > until:
                break
            ready.append((claim, stored, self.ending.ready(scope, claim, stored)))
        self._postpone([claim for claim, _ in wanted[len(ready) :]], 0.0)
        if ready:
            self.ending.end(scope, ready)
