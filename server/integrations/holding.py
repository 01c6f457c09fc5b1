"""Claims that this process works on in threads: as many at once as there is room for, their leases renewed meanwhile."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from server.integrations.renewal import Renewal
from server.kernel.errors import CrossdockError
from server.queue import claims

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from server.queue.claims import Claim
    from server.store import Store

log = structlog.get_logger("crossdock.work")
HELD = "infinity"
"""When work is due whose definition rests: never, until that is resumed."""


class Holding:
    """The claims of one kind. Whoever takes one lets it go when its work has ended, however it did."""

    def __init__(self, store: Store, kind: str, most: int) -> None:
        self.store = store
        self.kind = kind
        self.most = most
        self._held: dict[UUID, Claim] = {}
        # One that remembers whose turn it was: of many lanes with a backlog, and of many workspaces, all have theirs.
        self._claim = claims.Claimer(kind, lives_on=False)
        self._lock, self._turns = threading.Lock(), threading.Lock()
        self._renewal = Renewal(kind, claims.HEARTBEAT_SECONDS, self._renew)

    @property
    def room(self) -> int:
        """How many more may be taken."""
        with self._lock:
            return max(self.most - len(self._held), 0)

    def take(self, limit: int, slow: Sequence[UUID] = ()) -> list[Claim]:
        """Claim up to `limit` of what is due, and renew it from now on; of each lane in `slow` only one, if none is under way.

        Raises:
            Unavailable: the database is away; nothing is held.

        """
        with self._turns, self.store.connect() as conn:
            mine = self._claim(conn, limit, slow)
        with self._lock:
            self._held.update((each.ref, each) for each in mine)
        if mine:
            self._renewal.start()
        return mine

    def let_go(self, claim: Claim) -> None:
        """Renew it no more."""
        with self._lock:
            if self._held.get(claim.ref) is claim:
                del self._held[claim.ref]

    def _renew(self) -> bool:
        with self._lock:
            held = list(self._held.values())
        try:
            if held:
                with self.store.connect() as conn:
                    claims.heartbeat(conn, self.kind, held)
        except CrossdockError as error:
            log.warning("cannot renew leases", kind=self.kind, code=error.code, leases=len(held))
        return bool(held)
