"""The row behind a token: what all processes share of it. Times are the database's; one at a time asks for a new one.

look ─▶ fresh: use it
     └▶ not: lease (compare-and-set) ─▶ ask, with no transaction open ─▶ store (while the lease is ours) or failed
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.access.keyring import place_of
from server.kernel.errors import Retryable, Unavailable
from server.kernel.ids import new_uuid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from server.access.keyring import KeyRing
    from server.store import Scope, Store

LEASE_SECONDS = 15.0  # a little more than the longest token request
FORCED_SECONDS = 30.0  # a receiver that refuses every token does not make us ask at every delivery
LONGEST_BACKOFF = 60.0
KEPT = "7 days"

_LOOK = """
SELECT generation, key_id, ciphertext, failure,
  extract(epoch FROM expires_at - now())::float AS left, extract(epoch FROM expires_at - asked_at)::float AS lifetime,
  greatest(extract(epoch FROM retry_at - now())::float, 0) AS pause, coalesce(leased_until > now(), false) AS busy
FROM credential_tokens WHERE workspace_id = %(workspace)s AND fingerprint = %(fingerprint)s
"""
_MAKE = """
INSERT INTO credential_tokens (workspace_id, fingerprint) VALUES (%(workspace)s, %(fingerprint)s)
ON CONFLICT DO NOTHING
"""
_LEASE = f"""
UPDATE credential_tokens SET lease = %(lease)s, leased_until = now() + interval '{LEASE_SECONDS} seconds'
WHERE workspace_id = %(workspace)s AND fingerprint = %(fingerprint)s AND generation = %(generation)s
  AND (leased_until IS NULL OR leased_until <= now()) AND (retry_at IS NULL OR retry_at <= now())
  AND (NOT %(forced)s OR forced_at IS NULL OR forced_at < now() - interval '{FORCED_SECONDS} seconds')
RETURNING generation
"""
_STORE = """
UPDATE credential_tokens SET
  generation = generation + 1, key_id = %(key_id)s, ciphertext = %(ciphertext)s,
  asked_at = now() - %(took)s * interval '1 second',
  expires_at = now() + (%(seconds)s - %(took)s) * interval '1 second',
  forced_at = CASE WHEN %(forced)s THEN now() ELSE forced_at END,
  lease = NULL, leased_until = NULL, failures = 0, failure = NULL, retry_at = NULL
WHERE workspace_id = %(workspace)s AND fingerprint = %(fingerprint)s AND lease = %(lease)s
RETURNING generation
"""
_FAILED = f"""
UPDATE credential_tokens SET
  lease = NULL, leased_until = NULL, failures = failures + 1, failure = %(failure)s,
  retry_at = now() + greatest(least(power(2, least(failures, 10)), {LONGEST_BACKOFF}), %(after)s) * interval '1 second',
  forced_at = CASE WHEN %(forced)s THEN now() ELSE forced_at END
WHERE workspace_id = %(workspace)s AND fingerprint = %(fingerprint)s AND lease = %(lease)s
RETURNING extract(epoch FROM retry_at - now())::float AS pause
"""
_FREE = """
UPDATE credential_tokens SET lease = NULL, leased_until = NULL
WHERE workspace_id = %(workspace)s AND fingerprint = %(fingerprint)s AND lease = %(lease)s
"""
_REFRESH = ".refresh"
_KEPT_REFRESH = """
SELECT fingerprint, key_id, ciphertext FROM credential_tokens
WHERE workspace_id = %(workspace)s AND fingerprint = ANY(%(fingerprints)s) AND ciphertext IS NOT NULL
ORDER BY array_position(%(fingerprints)s, fingerprint)
"""
_KEEP_REFRESH = """
INSERT INTO credential_tokens (workspace_id, fingerprint, generation, key_id, ciphertext, asked_at, expires_at)
VALUES (%(workspace)s, %(fingerprint)s, 1, %(key_id)s, %(ciphertext)s, now(), now() + interval '10 years')
ON CONFLICT (workspace_id, fingerprint) DO UPDATE SET
  generation = credential_tokens.generation + 1, key_id = excluded.key_id, ciphertext = excluded.ciphertext,
  asked_at = excluded.asked_at, expires_at = excluded.expires_at
"""
_LEFT_BEHIND = """
SELECT count(*) FROM credential_tokens WHERE fingerprint LIKE %(pattern)s AND ciphertext IS NOT NULL AND key_id <> %(newest)s
"""
_PAUSE = 0.5


@dataclass(frozen=True, slots=True)
class Seen:
    """What stands in the row. `token` is None where there is none that is good and readable; times in seconds.

    For `pause` nobody asks again, because of `failure`; `busy` while somebody asks.
    """

    generation: int
    token: str | None = None
    left: float = 0.0
    lifetime: float = 0.0
    pause: float = 0.0
    failure: dict[str, Any] | None = None
    busy: bool = False


class TokenRow:
    """The row of one declaration in one workspace."""

    def __init__(self, store: Store, ring: KeyRing, scope: Scope, fingerprint: str) -> None:
        self._store = store
        self._ring = ring
        self._scope = scope
        self._fingerprint = fingerprint
        self._key = {"workspace": scope.workspace_id, "fingerprint": fingerprint}

    def look(self) -> Seen:
        """Return what all know.

        Raises:
            Unavailable: the database is away.

        """
        with self._store.connect() as conn:
            row = conn.exec_driver_sql(_LOOK, self._key).first()
            if row is None:
                conn.exec_driver_sql(_MAKE, self._key)
        if row is None:
            return Seen(0)
        token = self._read(row) if row.ciphertext is not None and (row.left or 0) > 0 else None
        pause = row.pause or 0.0
        failure = row.failure if pause else None
        return Seen(row.generation, token, row.left or 0.0, row.lifetime or 0.0, pause, failure, row.busy)

    def _read(self, row: Any) -> str | None:
        try:
            return self._ring.decrypt(row.key_id, bytes(row.ciphertext), self._place(row.generation)).decode()
        except Retryable:  # written under a key that is gone: a new token takes its place
            return None

    def lease(self, generation: int, *, forced: bool) -> UUID | None:
        """Become the one who asks for the token after that generation; None while another is, or nobody may."""
        mine = new_uuid()
        values = {**self._key, "lease": mine, "generation": generation, "forced": forced}
        with self._store.connect() as conn:
            return mine if conn.exec_driver_sql(_LEASE, values).first() is not None else None

    def store(self, lease: UUID, generation: int, token: str, seconds: float, took: float, *, forced: bool) -> bool:
        """Keep a token that is good for `seconds` from when it was asked for, `took` ago; say whether the lease held."""
        key_id, ciphertext = self._ring.encrypt(token.encode(), self._place(generation + 1))
        values = {"key_id": key_id, "ciphertext": ciphertext, "seconds": seconds, "took": took, "forced": forced}
        with self._store.connect() as conn:
            return conn.exec_driver_sql(_STORE, {**self._key, **values, "lease": lease}).first() is not None

    def failed(self, lease: UUID, failure: str, after: float, *, forced: bool) -> float:
        """Note a failure (JSON) for all; return for how many seconds nobody asks again, `after` at least."""
        values = {**self._key, "lease": lease, "failure": failure, "after": after, "forced": forced}
        with self._store.connect() as conn:
            row = conn.exec_driver_sql(_FAILED, values).first()
        return float(row.pause) if row is not None else 1.0

    def free(self, lease: UUID) -> None:
        """Give the lease back without a result."""
        with self._store.connect() as conn:
            conn.exec_driver_sql(_FREE, {**self._key, "lease": lease})

    def _place(self, generation: int) -> str:
        scope = self._scope
        return place_of(scope.organization_id, scope.workspace_id, f"token/{self._fingerprint}", generation)


class RefreshRow:
    """The refresh token that a server gave last, in the place of the declared one: a server that rotates takes each once.

    Only who holds the lease of the access token asks, and so keeps. It is kept for ten years: without it a person must log in. It
    stands under a fingerprint of each key of the ring, so that it is found still when the oldest key is taken out.
    """

    def __init__(self, store: Store, ring: KeyRing, scope: Scope, fingerprints: Sequence[str]) -> None:
        self._store = store
        self._ring = ring
        self._scope = scope
        self._fingerprints = [each + _REFRESH for each in fingerprints]

    def read(self) -> str | None:
        """Return the token kept, None while it is the declared one. Raises Unavailable: the database is away."""
        values = {"workspace": self._scope.workspace_id, "fingerprints": self._fingerprints}
        with self._store.connect() as conn:
            rows = conn.exec_driver_sql(_KEPT_REFRESH, values).all()
        if not rows:
            return None
        first = rows[0]
        token = self._ring.decrypt(first.key_id, bytes(first.ciphertext), self._place(first.fingerprint)).decode()
        if len(rows) < len(self._fingerprints) or any(each.key_id != self._ring.newest for each in rows):
            self.keep(token)  # the ring has changed
        return token

    def keep(self, token: str) -> None:
        """Keep a token, before anything else is done with what came beside it; tried thrice, since it cannot be asked for."""
        rows = []
        for each in self._fingerprints:
            key_id, ciphertext = self._ring.encrypt(token.encode(), self._place(each))
            key = {"workspace": self._scope.workspace_id, "fingerprint": each}
            rows.append({**key, "key_id": key_id, "ciphertext": ciphertext})
        for left in (2, 1, 0):
            try:
                with self._store.connect() as conn:
                    for row in rows:
                        conn.exec_driver_sql(_KEEP_REFRESH, row)
            except Unavailable:
                if not left:
                    raise
                time.sleep(_PAUSE)
            else:
                return

    def _place(self, fingerprint: str) -> str:
        return place_of(self._scope.organization_id, self._scope.workspace_id, f"token/{fingerprint}", 0)


def left_behind(store: Store, ring: KeyRing) -> int:
    """Return how many kept refresh tokens, of all workspaces, nobody has used since the ring has its newest key."""
    with store.connect() as conn:
        found = conn.exec_driver_sql(_LEFT_BEHIND, {"pattern": f"%{_REFRESH}", "newest": ring.newest}).scalar()
    return int(found or 0)


def purge(store: Store) -> int:
    """Delete what nobody has asked for in a week, over all workspaces; for the scheduler. Returns how many."""
    with store.connect() as conn:
        return conn.exec_driver_sql(f"""DELETE FROM credential_tokens
                WHERE greatest(created_at, asked_at, expires_at, retry_at) < now() - interval '{KEPT}'""").rowcount
