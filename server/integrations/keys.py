"""The results of writes under their idempotency key, in SQL: one execution, and its result for everybody who asks for a day.

    absent ──claim──▶ held ──keep, fail──▶ kept for 24 h ──▶ absent
                       ▲ └──free, lease over──▶ open ─┐
                       └────────────────claim─────────┘

A success is kept, and so is a permanent failure: the work began, and the same again would be refused again, or done twice.
What may pass (retryable, postponed) frees the key, for the next try. The request stays bound to its key in any case.
A hold is a lease by the database's time, as long as that of a claim, renewed while the process lives, for five minutes or as long
as the call may take, if that is more; its epoch rises with every owner, so that a late result of one who was given up changes
nothing.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
import structlog

from server.integrations.guards import Claimed, Hold
from server.integrations.renewal import Renewal
from server.kernel.errors import CrossdockError, Permanent, Postponed, Skipped, Unavailable, code
from server.queue.claims import LEASE_SECONDS

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from server.integrations.guards import Call
    from server.store import Store

log = structlog.get_logger("crossdock.integrations")
CALL_KEY_REUSED = code(
    "CALL_KEY_REUSED", "This key belongs to another call of the integration: another operation or another input."
)
CALL_IN_PROGRESS = code(
    "CALL_IN_PROGRESS", "Another call with this key is at work; its result is there for who asks again."
)
_FIRST_LOOK, _LAST_LOOK = 0.02, 0.25
_LONGEST_PAUSE = 5.0
_KEEP_TRIES = (0.1, 0.4, 1.0)

_CLAIM = """
INSERT INTO call_results AS old (workspace_id, integration_id, key, operation, request_hash, owner, epoch, started_at,
                                 lease_until, expires_at)
VALUES (%(workspace)s, %(integration)s, %(key)s, %(operation)s, %(hash)s, %(owner)s, 1, now(),
        now() + %(lease)s * interval '1 second', now() + %(kept)s * interval '1 second')
ON CONFLICT (workspace_id, integration_id, key) DO UPDATE
SET operation = excluded.operation, request_hash = excluded.request_hash, owner = excluded.owner, epoch = old.epoch + 1,
    started_at = clock_timestamp(), lease_until = clock_timestamp() + %(lease)s * interval '1 second',
    finished_at = NULL, result = NULL, error = NULL, expires_at = clock_timestamp() + %(kept)s * interval '1 second'
WHERE (old.finished_at IS NOT NULL AND old.expires_at < clock_timestamp())
   OR (old.finished_at IS NULL AND old.lease_until < clock_timestamp()
       AND (old.request_hash = excluded.request_hash OR old.expires_at < clock_timestamp()))
RETURNING epoch
"""
_FOUND = """
SELECT request_hash, finished_at, result::text AS result, error::text AS error, operation,
       extract(epoch FROM lease_until - clock_timestamp())::float AS wait
FROM call_results WHERE workspace_id = %(workspace)s AND integration_id = %(integration)s AND key = %(key)s
"""
_MINE = """workspace_id = %(workspace)s AND integration_id = %(integration)s AND key = %(key)s
  AND owner = %(owner)s AND epoch = %(epoch)s AND finished_at IS NULL"""
_FINISH = f"""
UPDATE call_results SET finished_at = now(), lease_until = now(), result = %(result)s::json, error = %(error)s::json,
       expires_at = now() + %(kept)s * interval '1 second'
WHERE {_MINE} RETURNING epoch
"""
_FREE = f"UPDATE call_results SET lease_until = now() - interval '1 microsecond' WHERE {_MINE}"
_RENEW = f"""
UPDATE call_results SET lease_until = least(now() + %(lease)s * interval '1 second', started_at + %(most)s * interval '1 second')
WHERE {_MINE} AND started_at + %(most)s * interval '1 second' > now() RETURNING epoch
"""
_FORGET = """
DELETE FROM call_results WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM call_results WHERE expires_at < now() ORDER BY expires_at LIMIT %(most)s FOR UPDATE SKIP LOCKED))
"""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds: of a lease, of all its renewals at least, that a result is kept, and that others wait for the first one's."""

    lease: float = LEASE_SECONDS  # whoever takes work over finds its keys free
    most: float = 300.0
    kept: float = 86_400.0
    wait: float = 2.0


class SqlKeys:
    """Implements `guards.Keys`, over all processes. Calls without a link belong to no workspace: nothing is kept."""

    def __init__(self, store: Store, times: Times | None = None) -> None:
        self.store = store
        self.times = times or Times()
        self._held: dict[Any, Hold] = {}
        self._lock = threading.Lock()
        self._renewal = Renewal("keys", self.times.lease / 3, self._renew)

    def claim(self, call: Call) -> Claimed:
        """Take the key, or return what is kept under it; wait up to two seconds for whoever is at work on it.

        Raises:
            Permanent: CALL_KEY_REUSED, or the failure that is kept.
            Postponed: CALL_IN_PROGRESS.
            Unavailable: the database is away; nothing was called.

        """
        if call.link is None or call.link.integration_id is None or call.idempotency_key is None:
            return Claimed()
        place = (call.link.workspace_id, call.link.integration_id, call.idempotency_key)
        hold = Hold(*place, uuid4(), source=call.source, seconds=call.timeout)
        digest, pause = _digest(call), _FIRST_LOOK
        until = time.monotonic() + min(call.patience, self.times.wait)
        while True:
            found = self._try(hold, call.operation, digest)
            if isinstance(found, Hold):
                return Claimed(hold=self._remember(found))
            if found is not None and bytes(found.request_hash) != digest:
                raise Permanent("the key was used for another call", code=CALL_KEY_REUSED, source=call.source)
            if found is not None and found.finished_at is not None:
                return Claimed(output=_outcome(found, call.source))
            if time.monotonic() + pause > until:
                raise in_progress(call.source, found.wait if found is not None else 0.0)
            time.sleep(pause)
            pause = min(pause * 2, _LAST_LOOK)

    def keep(self, hold: Hold, output: dict[str, Any]) -> dict[str, Any]:
        """Keep the output and let the key go; return the output that counts: another's, when this one came too late.

        Raises:
            Permanent, Postponed: it came too late, and whoever took over failed or is at work.

        """
        found = self._finish(hold, result=orjson.dumps(output).decode())
        return output if found is None else self._other(hold, found)

    def fail(self, hold: Hold, error: Permanent) -> None:
        """Keep a failure and let the key go; the caller raises it."""
        kept = {"kind": "skipped" if isinstance(error, Skipped) else "permanent", **asdict(error.failure)}
        self._finish(hold, error=orjson.dumps(kept, default=str).decode())

    def free(self, hold: Hold) -> None:
        """Let the key go without a result. Without the database it goes by itself when the lease ends."""
        self._forget(hold)
        try:
            with self.store.connect() as conn:
                conn.exec_driver_sql(_FREE, _place(hold))
        except Unavailable as error:
            log.warning("a key is free only when its lease ends", code=error.code, source=hold.source)

    def _try(self, hold: Hold, operation: str, digest: bytes) -> Hold | Row[Any] | None:
        values = {**_place(hold), "operation": operation, "hash": digest, **asdict(self.times)}
        with self.store.connect() as conn:
            row = conn.exec_driver_sql(_CLAIM, values).first()
            if row is not None:
                return hold.at(row.epoch)
            return conn.exec_driver_sql(_FOUND, values).first()

    def _finish(self, hold: Hold, result: str | None = None, error: str | None = None) -> Row[Any] | None:
        """Store an end; return the row of whoever took over, None when it was still ours or the database stays away."""
        self._forget(hold)
        values = {**_place(hold), "result": result, "error": error, "kept": self.times.kept}
        for pause in (*_KEEP_TRIES, None):
            try:
                with self.store.connect() as conn:
                    if conn.exec_driver_sql(_FINISH, values).first() is not None:
                        return None
                    return conn.exec_driver_sql(_FOUND, values).first()
            except Unavailable as away:
                if pause is None:  # the work is done, and its result is worth more than that it can be asked for again
                    log.warning("the result of a call was not kept", code=away.code, source=hold.source)
                    return None
                time.sleep(pause)
        return None

    def _other(self, hold: Hold, found: Row[Any]) -> dict[str, Any]:
        log.warning("a call took so long that another went ahead under its key", source=hold.source)
        if found.finished_at is None:
            raise in_progress(hold.source, found.wait)
        return _outcome(found, hold.source)

    def _remember(self, hold: Hold) -> Hold:
        with self._lock:
            self._held[hold.owner] = hold
        self._renewal.start()
        return hold

    def _forget(self, hold: Hold) -> None:
        with self._lock:
            self._held.pop(hold.owner, None)

    def _renew(self) -> bool:
        with self._lock:
            held = list(self._held.values())
        try:
            if held:
                with self.store.connect() as conn:
                    for hold in held:
                        if conn.exec_driver_sql(_RENEW, {**_place(hold), **self._lasting(hold)}).first() is None:
                            self._forget(hold)  # ended, taken over, or at work for too long
        except CrossdockError as error:
            log.warning("cannot renew the leases of keys", code=error.code, keys=len(held))
        return bool(held)

    def _lasting(self, hold: Hold) -> dict[str, float]:
        """Return for how long to renew it: whoever is still at it must not be overtaken."""
        return {"lease": self.times.lease, "most": max(self.times.most, hold.seconds + self.times.lease)}


def forget(conn: Connection, most: int = 1000) -> int:
    """Delete up to `most` results whose day is over, over all workspaces; for the scheduler, under the engine's role."""
    return conn.exec_driver_sql(_FORGET, {"most": most}).rowcount


def in_progress(source: str, wait: float) -> Postponed:
    """Build the error for a key on which another is at work for `wait` more seconds at most."""
    after = min(max(wait, 1.0), _LONGEST_PAUSE)
    return Postponed("another call with this key is at work", code=CALL_IN_PROGRESS, source=source, after=after)


def _outcome(found: Row[Any], source: str) -> dict[str, Any]:
    if found.error is None:
        output: dict[str, Any] = json.loads(found.result)
        return output
    kept = json.loads(found.error)
    kind = Skipped if kept["kind"] == "skipped" else Permanent
    error = kind(kept["message"], code=kept["code"], source=source)
    error.details = kept["details"]
    raise error


def _digest(call: Call) -> bytes:
    request = [call.operation, dict(call.input)]
    return hashlib.sha256(json.dumps(request, sort_keys=True, separators=(",", ":"), default=str).encode()).digest()


def _place(hold: Hold) -> dict[str, Any]:
    return {
        "workspace": hold.workspace_id,
        "integration": hold.integration_id,
        "key": hold.key,
        "owner": hold.owner,
        "epoch": hold.epoch,
    }
