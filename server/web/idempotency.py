"""`Idempotency-Key`: the same request again does its work once and gets the first answer, byte for byte, for 24 hours.

Before the view runs the guard claims (workspace, route, key). The view stores its answer with `remember(tx, response)` in the
transaction of its work, so that both are there or neither: whoever dies in between leaves a claim that is taken over after 60 s
and work that was never committed. A claim that was taken over refuses the late owner's answer, which rolls its work back.
A view that does not call `remember` gets its 2xx answer stored right after it, outside of its transaction: fit only for work
that is idempotent in itself. Answers of errors are not kept: they stored nothing, and the key is free again.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID, uuid4

import orjson
import structlog
from flask import Response, request
from sqlalchemy import text

from server.kernel.errors import Conflict, CrossdockError, Invalid, code
from server.web.bodies import raw_body
from server.web.current import cause, current, frame, scope
from server.web.problems import INVALID_VALUE, place

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Connection

    from server.store import Tx

F = TypeVar("F", bound="Callable[..., Any]")
IDEMPOTENCY_KEY_REUSED = code(
    "IDEMPOTENCY_KEY_REUSED", "This Idempotency-Key belongs to another request; take a new key for a new request."
)
IDEMPOTENCY_IN_FLIGHT = code(
    "IDEMPOTENCY_IN_FLIGHT",
    "The first request with this Idempotency-Key is still at work; `Retry-After` says when to ask.",
)
IDEMPOTENCY_LOST = code(
    "IDEMPOTENCY_LOST",
    "The request took over 60 s and another one with its Idempotency-Key went ahead; this one did nothing.",
)
ANSWER_NOT_KEPT = code(
    "ANSWER_NOT_KEPT",
    "The request with this Idempotency-Key succeeded; its answer held a secret, which is shown only once.",
)

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
LOCK_SECONDS = 60
KEPT_HOURS = 24
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_LONGEST_PATH = 1000
_KEPT_HEADERS = ("Content-Type", "ETag", "Location")
_MARK = "crossdock_secret_answer"
_log = structlog.get_logger(__name__)

_CLAIM = f"""
INSERT INTO idempotency_keys AS old (workspace_id, route, key, body_hash, owner, locked_until)
VALUES (:workspace_id, :route, :key, :body_hash, :owner, now() + interval '{LOCK_SECONDS} seconds')
ON CONFLICT (workspace_id, route, key) DO UPDATE
SET body_hash = EXCLUDED.body_hash, owner = EXCLUDED.owner, locked_until = EXCLUDED.locked_until, created_at = now(),
    status = NULL, headers = NULL, body = NULL
WHERE old.created_at < now() - interval '{KEPT_HOURS} hours'
   OR (old.status IS NULL AND old.locked_until < now() AND old.body_hash = EXCLUDED.body_hash)
RETURNING owner
"""
_FOUND = """
SELECT body_hash, status, headers, body, extract(epoch FROM locked_until - now())::float AS wait
FROM idempotency_keys WHERE workspace_id = :workspace_id AND route = :route AND key = :key
"""
_MINE = "workspace_id = :workspace_id AND route = :route AND key = :key AND owner = :owner AND status IS NULL"


@dataclass(slots=True)
class Claim:
    """A key that this request holds."""

    route: str
    key: str
    owner: UUID
    secret: bool
    remembered: bool = False

    def values(self) -> dict[str, Any]:
        """Return what names its row."""
        return {"route": self.route, "key": self.key, "owner": self.owner}


def secret_answer(view: F) -> F:
    """Mark a view whose answer shows a secret: its work is done once, its answer is never stored."""
    setattr(view, _MARK, True)
    return view


def claim(view: Any) -> Response | None:
    """Claim the request's key, if it has one; return the stored answer when there is one already.

    Raises:
        Invalid: a key of another form, or one that was used for another request.
        Conflict: the first request is in flight.

    """
    key = request.headers.get("Idempotency-Key")
    if key is None or request.method not in WRITES:
        return None
    if not _KEY.fullmatch(key):
        problem = place("/Idempotency-Key", "1 to 255 visible ASCII characters", INVALID_VALUE, "header")
        raise Invalid("the Idempotency-Key is malformed", source="web", errors=[problem])
    mine = Claim(_route(), key, uuid4(), getattr(view, _MARK, False))
    body_hash = _hash()
    with frame().store.begin(scope(), cause()) as tx:
        tx.run("SET LOCAL synchronous_commit = off")  # a claim that a crash loses was never used
        if tx.one(_CLAIM, **mine.values(), body_hash=body_hash) is not None:
            current().claim = mine
            return None
        found = tx.one(_FOUND, **mine.values())
    if found is None:  # its owner failed and let go between our two statements
        raise _in_flight(1.0)
    if bytes(found.body_hash) != body_hash:
        raise Invalid("this Idempotency-Key was used for another request", code=IDEMPOTENCY_KEY_REUSED, source="web")
    if found.status is None:
        raise _in_flight(found.wait)
    return _replay(found)


def remember(tx: Tx, response: Response) -> Response:
    """Store the answer in the transaction of the work; without a key it does nothing. Returns the response.

    Raises:
        Conflict: IDEMPOTENCY_LOST, somebody else took the key over; the transaction must roll back.

    """
    mine = current().claim
    if mine is None:
        return response
    stored = tx.run(
        f"UPDATE idempotency_keys SET status = :status, headers = CAST(:headers AS jsonb), body = :body WHERE {_MINE}",
        **mine.values(),
        status=response.status_code,
        headers=orjson.dumps(
            {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        ).decode(),
        body=None if mine.secret else response.get_data(),
    )
    if stored.rowcount != 1:
        raise Conflict("another request with this Idempotency-Key went ahead", code=IDEMPOTENCY_LOST, source="web")
    mine.remembered = True
    return response


def settle(response: Response) -> None:
    """After the view: store an answer that was not remembered, or let the key go when nothing was done."""
    mine = current().claim
    done = response.status_code < HTTPStatus.MULTIPLE_CHOICES
    if mine is None or (done and mine.remembered):
        return
    try:
        with frame().store.begin(scope(), cause()) as tx:
            if done:
                remember(tx, response)
            else:
                tx.run(f"DELETE FROM idempotency_keys WHERE {_MINE}", **mine.values())
    except CrossdockError as error:
        # The work is done or undone already and its answer is right: the claim just stays until its lock runs out.
        _log.warning("idempotency key not settled", code=error.code, route=mine.route)


def forget(connection: Connection, most: int = 5000) -> int:
    """Delete up to `most` keys older than 24 hours, over all workspaces; for the scheduler, under the engine's role."""
    gone = connection.execute(
        text(
            f"""DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
                  SELECT ctid FROM idempotency_keys WHERE created_at < now() - interval '{KEPT_HOURS} hours'
                  ORDER BY created_at LIMIT :most FOR UPDATE SKIP LOCKED))"""
        ),
        {"most": most},
    )
    return gone.rowcount


def _replay(found: Any) -> Response:
    if found.body is None:
        raise Conflict("it succeeded, and its answer is shown only once", code=ANSWER_NOT_KEPT, source="web")
    response = Response(bytes(found.body), found.status)
    response.headers.update(found.headers)
    response.headers["Idempotent-Replayed"] = "true"
    return response


def _in_flight(wait: float) -> Conflict:
    error = Conflict(
        "the first request with this key is at work",
        code=IDEMPOTENCY_IN_FLIGHT,
        source="web",
        after=min(max(wait, 1.0), 2.0),
    )
    error.retryable = True
    return error


def _route() -> str:
    """Return the method and the path; of a path that no index takes, its hash."""
    path = request.path.encode()
    return f"{request.method} {hashlib.sha256(path).hexdigest() if len(path) > _LONGEST_PATH else request.path}"


def _hash() -> bytes:
    parts = (request.query_string, (request.content_type or "").encode(), raw_body())
    return hashlib.sha256(b"".join(len(each).to_bytes(8) + each for each in parts)).digest()
