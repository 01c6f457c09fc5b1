"""The circuit breaker of an integration: one row in SQL that all processes share, and exactly one probe while half-open.

    closed ──failures in a row──▶ open ──reset──▶ half-open ──successes in a row──▶ closed
                                    ▲                 └──────── one failure ────────┘ (to open)

Whoever asks shows a ticket, and shows it again with the outcome: half-open heeds the probe's alone, not what a call brings that began
before the breaker opened. A probe is leased and renewed: where its process dies, another goes when the lease is over, which is when
its work is due again. A process remembers for a second that a breaker is closed and clean, so that healthy calls cost no statement.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import structlog

from server.integrations.renewal import Renewal
from server.kernel.errors import Unavailable
from server.queue import claims

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.integrations.policies import BreakerFigures
    from server.store import Store

log = structlog.get_logger("crossdock.integrations")
REMEMBERED_SECONDS = 1.0
_MARGIN_SECONDS = 15.0
"""A probe that has brought nothing that long after its time is over was forgotten, and is renewed no more."""
_REMEMBERED = 10_000

_READ = """
SELECT state, failures, extract(epoch FROM opened_at + %(reset)s * interval '1 second' - now())::float AS wait
FROM breakers WHERE integration_id = %(id)s
"""
_PROBE = """
UPDATE breakers SET state = 'half-open', probe = %(ticket)s, probe_until = now() + %(lease)s * interval '1 second'
WHERE integration_id = %(id)s AND state <> 'closed' AND opened_at + %(reset)s * interval '1 second' <= now()
  AND (probe_until IS NULL OR probe_until < now())
RETURNING integration_id
"""
_RENEW = """
UPDATE breakers SET probe_until = now() + %(lease)s * interval '1 second'
WHERE integration_id = ANY(%(ids)s) AND probe = ANY(%(tickets)s) RETURNING probe
"""
_FAILED = """
INSERT INTO breakers AS b (workspace_id, integration_id, state, failures, opened_at)
VALUES (%(workspace)s, %(id)s, CASE WHEN %(most)s <= 1 THEN 'open' ELSE 'closed' END, 1, now())
ON CONFLICT (integration_id) DO UPDATE SET
  failures = b.failures + 1, successes = 0, probe = NULL, probe_until = NULL,
  state = CASE WHEN b.state <> 'closed' OR b.failures + 1 >= %(most)s THEN 'open' ELSE 'closed' END,
  opened_at = CASE WHEN b.state <> 'open' THEN now() ELSE b.opened_at END
WHERE b.state <> 'half-open' OR b.probe = %(ticket)s
RETURNING state
"""
_SUCCEEDED = """
UPDATE breakers SET
  successes = CASE WHEN state = 'half-open' AND successes + 1 < %(most)s THEN successes + 1 ELSE 0 END,
  failures = CASE WHEN state = 'half-open' AND successes + 1 < %(most)s THEN failures ELSE 0 END,
  state = CASE WHEN state = 'half-open' AND successes + 1 < %(most)s THEN state ELSE 'closed' END,
  probe = NULL, probe_until = NULL
WHERE integration_id = %(id)s AND (state = 'closed' OR (state = 'half-open' AND probe = %(ticket)s)) RETURNING state
"""
_NOTHING = """
UPDATE breakers SET probe = NULL, probe_until = NULL WHERE integration_id = %(id)s AND probe = %(ticket)s RETURNING state
"""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a call shows when it asks, and again when it tells what became of it; `seconds` is how long it may take."""

    seconds: float
    id: UUID = field(default_factory=uuid4)


@dataclass(frozen=True, slots=True)
class Guarded:
    """What is guarded: an integration of a workspace, and its figures."""

    workspace_id: int
    integration_id: UUID
    figures: BreakerFigures


@dataclass(frozen=True, slots=True)
class _Probe:
    integration_id: UUID
    until: float


class Breakers:
    """The breakers of all integrations, from any thread."""

    def __init__(
        self,
        store: Store,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        lease: float = claims.LEASE_SECONDS,
    ) -> None:
        self.store = store
        self._monotonic = monotonic
        self._lease = lease
        self._clean: dict[UUID, float] = {}
        self._probes: dict[UUID, _Probe] = {}
        self._lock = threading.Lock()
        self._renewal = Renewal("probes", lease / 3, self._renew)

    def wait(self, guarded: Guarded, ticket: Ticket) -> float | None:
        """Return None to go ahead, else the seconds to wait. Whoever goes ahead must `record` what became of it.

        Raises:
            Unavailable: the database is away.

        """
        if self.is_clean(guarded.integration_id):
            return None
        values = {
            "id": guarded.integration_id,
            "reset": guarded.figures.reset,
            "ticket": ticket.id,
            "lease": self._lease,
        }
        with self.store.connect() as conn:
            row = conn.exec_driver_sql(_READ, values).first()
            if row is None or row.state == "closed":
                if row is None or row.failures == 0:
                    self._remember(guarded.integration_id)
                return None
            if row.wait is not None and row.wait > 0:
                return float(row.wait)
            probing = conn.exec_driver_sql(_PROBE, values).first()
        if probing is None:
            return 1.0
        self._began(guarded, ticket)
        return None

    def record(self, guarded: Guarded, ticket: Ticket, *, succeeded: bool | None) -> None:
        """Count an outcome; None: there was none, so a probe is given back.

        Raises:
            Unavailable: the database is away.

        """
        with self._lock:
            self._probes.pop(ticket.id, None)
        if succeeded is not False and self.is_clean(guarded.integration_id):
            return
        figures = guarded.figures
        values: dict[str, Any] = {
            "id": guarded.integration_id,
            "workspace": guarded.workspace_id,
            "ticket": ticket.id,
        }
        sql, most = {
            True: (_SUCCEEDED, figures.successes),
            False: (_FAILED, figures.failures),
            None: (_NOTHING, 0),
        }[succeeded]
        with self._lock:
            self._clean.pop(guarded.integration_id, None)
        with self.store.connect() as conn:
            conn.exec_driver_sql(sql, {**values, "most": most})

    def is_clean(self, integration_id: UUID) -> bool:
        """Tell whether this process saw a second ago at most that it is closed, without a failure."""
        return self._clean.get(integration_id, 0.0) > self._monotonic()

    def _began(self, guarded: Guarded, ticket: Ticket) -> None:
        with self._lock:
            until = self._monotonic() + ticket.seconds + _MARGIN_SECONDS
            self._probes[ticket.id] = _Probe(guarded.integration_id, until)
        self._renewal.start()

    def _renew(self) -> bool:
        """Renew the probes under way; those that were replaced, or that nobody ended in time, are forgotten."""
        now = self._monotonic()
        with self._lock:
            self._probes = {ticket: each for ticket, each in self._probes.items() if each.until > now}
            held = dict(self._probes)
        if not held:
            return False
        values = {"ids": [each.integration_id for each in held.values()], "tickets": [*held], "lease": self._lease}
        try:
            with self.store.connect() as conn:
                ours = {row.probe for row in conn.exec_driver_sql(_RENEW, values)}
        except Unavailable as error:
            log.warning("cannot renew probes of breakers", code=error.code, probes=len(held))
            return True
        with self._lock:
            for ticket in held.keys() - ours:
                self._probes.pop(ticket, None)
            return bool(self._probes)

    def _remember(self, integration_id: UUID) -> None:
        with self._lock:
            if len(self._clean) >= _REMEMBERED:
                self._clean.clear()
            self._clean[integration_id] = self._monotonic() + REMEMBERED_SECONDS
