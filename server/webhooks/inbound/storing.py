"""Stores requests before they are answered: all that wait, in one statement, which is one transaction.

While one batch commits the next one gathers, so that a commit is paid by many. With its requests a statement takes their dedupe
keys and what is due, and compares the versions of routes and secrets under which they were verified: of a workspace whose
definitions or secrets have changed since, nothing is stored, and it is looked at again. A key that is known gets the answer of
the first, and stores nothing.
"""

from __future__ import annotations

import threading
import time
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import orjson
import structlog

from server.kernel.errors import CrossdockError, Unavailable
from server.queue.claims import LEASE_SECONDS
from server.store.engine import DATABASE_AWAY, reachable
from server.webhooks.inbound import metrics

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.engine import Connection

    from server.store import Store

log = structlog.get_logger("crossdock.inbound")
KIND = "inbound"
LANE_LIMIT = 1000
"""Mapping calls nobody, so a lane has no receiver to spare; the number only keeps webhooks taking turns."""
MOST_ROWS = 256
MOST_BYTES = 4 * 1024 * 1024
MOST_WAITING = 4096
MOST_WAITING_BYTES = 128 * 1024 * 1024
"""Bodies as they are stored: one that came compressed takes more memory than it did on its way."""
_STOP_SECONDS = 5.0
_HINT_SECONDS = 0.005
FIRST_EPOCH = 1
"""The epoch of the claim under which a synchronous request is stored: whoever stored it maps it, or a worker once the lease ends."""

_OLD = "k.expires_at <= now()"
_REPLACED = ", ".join(
    f"{name} = CASE WHEN {_OLD} THEN excluded.{name} ELSE k.{name} END"
    for name in ("workspace_id", "request_id", "mapping", "status", "headers", "body", "expires_at")
)
# Keys in one order, so that no two statements wait for each other. Of two that are equal the first is the one.
_STORE = f"""
WITH asked AS MATERIALIZED (
  SELECT * FROM json_to_recordset(%(rows)s::json)
    AS a(n int, id uuid, workspace_id bigint, webhook_id uuid, definition_version int, routes bigint, secrets bigint,
         held boolean, sync boolean, priority int, received_at timestamptz, method text, path text, query text, params json,
         headers json, body text, message_id text, client text, hops int, correlation_id text, key text, ttl float8,
         status int, answer_headers json, answer_body text)
), fresh AS MATERIALIZED (
  SELECT a.* FROM asked a JOIN workspaces w ON w.id = a.workspace_id AND w.routes_version = a.routes AND w.secrets_version = a.secrets
), keyed AS (
  INSERT INTO inbound_keys AS k (workspace_id, webhook_id, key, request_id, expires_at, mapping, status, headers, body)
  SELECT DISTINCT ON (webhook_id, key) workspace_id, webhook_id, decode(key, 'hex'), id, now() + make_interval(secs => ttl),
         sync, status, answer_headers, decode(answer_body, 'base64')
  FROM fresh WHERE key IS NOT NULL ORDER BY webhook_id, key, n
  ON CONFLICT (webhook_id, key) DO UPDATE SET {_REPLACED}
  RETURNING k.webhook_id, encode(k.key, 'hex') AS key, k.request_id, k.status, k.headers, k.body
), new AS MATERIALIZED (
  SELECT f.* FROM fresh f LEFT JOIN keyed k ON k.request_id = f.id WHERE f.key IS NULL OR k.request_id IS NOT NULL
), stored AS (
  INSERT INTO inbound_requests (id, workspace_id, webhook_id, definition_version, state, received_at, method, path, query, params,
                                headers, body, message_id, client, hops, correlation_id)
  SELECT id, workspace_id, webhook_id, definition_version, 'received', received_at, method, path, query, params, headers,
         decode(body, 'base64'), message_id, client, hops, correlation_id
  FROM new
), owed AS (
  INSERT INTO due (kind, ref, workspace_id, lane, lane_limit, priority, due_at, leased, epoch, claims)
  SELECT '{KIND}', id, workspace_id, webhook_id, {LANE_LIMIT}, priority,
         CASE WHEN held THEN 'infinity' WHEN sync THEN now() + interval '{LEASE_SECONDS} seconds' ELSE now() END,
         sync AND NOT held, CASE WHEN sync THEN {FIRST_EPOCH} ELSE 0 END, CASE WHEN sync THEN 1 ELSE 0 END
  FROM new
)
SELECT a.n, f.n IS NOT NULL AS fresh, k.request_id, k.status, k.headers, k.body
FROM asked a LEFT JOIN fresh f ON f.n = a.n LEFT JOIN keyed k ON k.webhook_id = f.webhook_id AND k.key = f.key
"""


@dataclass(slots=True)
class Asked:
    """A request that was verified and is to be stored. `routes` and `secrets` are the versions under which it was.

    `received_at` is RFC 3339; `key` is the SHA-256 of the dedupe key in hexadecimal. `status` is None for one that is answered
    once it is mapped; `answer_body` is None where the answer is made of the request's id.
    """

    id: UUID
    workspace_id: int
    webhook_id: UUID
    definition_version: int
    routes: int
    secrets: int
    held: bool
    sync: bool
    priority: int
    received_at: str
    method: str
    path: str
    query: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    message_id: str
    client: str
    hops: int
    correlation_id: str
    key: str | None
    ttl: float
    status: int | None
    answer_headers: Mapping[str, str] | None
    answer_body: bytes | None


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a request. `first` is the id of the one with its key: its own, unless it is a duplicate.

    `status`, `headers` and `body` are what the first was answered; None each where that is the plain answer, or, for `status`,
    where the first is still being mapped.
    """

    first: UUID
    duplicate: bool
    status: int | None
    headers: Mapping[str, str] | None
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Outdated:
    """Nothing was stored: routes or secrets of the workspace have changed since the request was verified."""


OUTDATED = Outdated()
Outcome = Stored | Outdated | CrossdockError


class Clock(Protocol):
    """Measures durations in seconds."""

    def __call__(self) -> float:
        """Return the time since some moment."""
        ...


class Storer:
    """Takes requests from an event loop and stores them from threads of its own; `hint` is given after each batch, apart from it."""

    def __init__(
        self, store: Store, hint: Callable[[], None], *, threads: int = 2, monotonic: Clock = time.perf_counter
    ) -> None:
        self._store = store
        self._hint = hint
        self._threads = threads
        self._monotonic = monotonic
        self._waiting: list[tuple[Asked, asyncio.Future[Outcome]]] = []
        self._bytes = 0
        self._changed = threading.Condition()
        self._hinted = threading.Event()
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: list[threading.Thread] = []

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin, inside the process that serves."""
        self._loop = loop
        self._stopped = False
        work = [(self._work, f"inbound-store-{number}") for number in range(self._threads)]
        self._running = [
            threading.Thread(target=target, name=name, daemon=True)
            for target, name in (*work, (self._tell, "inbound-hint"))
        ]
        for thread in self._running:
            thread.start()

    def stop(self) -> None:
        """End the threads once nothing waits, and close the store."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._hinted.set()
        for thread in self._running:
            thread.join(_STOP_SECONDS)
        self._store.close()

    def put(self, asked: Asked) -> asyncio.Future[Outcome]:
        """Let a request wait for the next batch; on the loop only.

        Raises:
            Unavailable: too many wait already.

        """
        if self._loop is None:
            raise RuntimeError("the storer was not started")
        future: asyncio.Future[Outcome] = self._loop.create_future()
        with self._changed:
            size = len(asked.body)
            if len(self._waiting) >= MOST_WAITING or (self._waiting and self._bytes + size > MOST_WAITING_BYTES):
                raise Unavailable("too many requests wait to be stored", source="inbound", after=1)
            self._waiting.append((asked, future))
            self._bytes += size
            self._changed.notify()
        return future

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._stopped:
                    self._changed.wait()
                if not self._waiting:
                    return
                batch = self._taken()
            outcomes = self._outcomes([asked for asked, _ in batch])
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(_settle, [future for _, future in batch], outcomes)
            self._hinted.set()

    def _taken(self) -> list[tuple[Asked, asyncio.Future[Outcome]]]:
        size = count = 0
        for asked, _ in self._waiting[:MOST_ROWS]:
            size += len(asked.body)
            if count and size > MOST_BYTES:
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        self._bytes -= sum(len(asked.body) for asked, _ in batch)
        return batch

    def _outcomes(self, asked: Sequence[Asked]) -> Sequence[Outcome]:
        began = self._monotonic()
        try:
            outcomes: Sequence[Outcome] = store(self._store, asked)
        except CrossdockError as error:
            outcomes = [error] * len(asked)
        except Exception as error:  # noqa: BLE001 - a thread that ends would leave every later request without an answer
            outcomes = self._halved(asked, error)
        metrics.stored(len(asked), self._monotonic() - began)
        return outcomes

    def _halved(self, asked: Sequence[Asked], error: Exception) -> Sequence[Outcome]:
        """Store the halves by themselves, down to the one that the database refuses."""
        if len(asked) > 1:
            half = len(asked) // 2
            return [*self._outcomes(asked[:half]), *self._outcomes(asked[half:])]
        log.error(
            "a request could not be stored",
            webhook=str(asked[0].webhook_id),
            workspace=asked[0].workspace_id,
            error=type(error).__name__,
            sqlstate=getattr(getattr(error, "orig", None), "sqlstate", None),
        )
        return [Unavailable("the request cannot be stored now", code=DATABASE_AWAY, source="inbound", after=60)]

    def _tell(self) -> None:
        """Give hints beside the batches: Redis must not hold them up."""
        while not self._stopped:
            self._hinted.wait()
            self._hinted.clear()
            self._hint()
            time.sleep(_HINT_SECONDS)  # one hint is enough for all that was stored meanwhile


def store(store: Store, asked: Sequence[Asked]) -> list[Stored | Outdated]:
    """Store requests in one transaction; what became of each, in their order.

    Raises:
        Unavailable: DATABASE_AWAY; nothing was stored, or it was and its answer was lost: dedupe tells them apart.

    """
    with reachable(), store.statements() as connection:
        return put(connection, asked)


def put(connection: Connection, asked: Sequence[Asked]) -> list[Stored | Outdated]:
    """Do the same with a connection of the caller's: at its commit, where it has a transaction open."""
    rows = orjson.dumps([_row(number, each) for number, each in enumerate(asked)])
    found = connection.exec_driver_sql(_STORE, {"rows": rows.decode()}).all()
    outcomes: dict[int, Stored | Outdated] = {}
    for n, fresh, first, status, headers, body in found:
        if not fresh:
            outcomes[n] = OUTDATED
        elif first is None:
            outcomes[n] = Stored(asked[n].id, duplicate=False, status=None, headers=None, body=None)
        else:
            kept = None if body is None else bytes(body)
            outcomes[n] = Stored(first, duplicate=first != asked[n].id, status=status, headers=headers, body=kept)
    return [outcomes[n] for n in range(len(asked))]


def _row(number: int, asked: Asked) -> dict[str, Any]:
    return {
        "n": number,
        "id": asked.id,
        "workspace_id": asked.workspace_id,
        "webhook_id": asked.webhook_id,
        "definition_version": asked.definition_version,
        "routes": asked.routes,
        "secrets": asked.secrets,
        "held": asked.held,
        "sync": asked.sync,
        "priority": asked.priority,
        "received_at": asked.received_at,
        "method": asked.method,
        "path": asked.path,
        "query": asked.query,
        "params": asked.params,
        "headers": asked.headers,
        "body": b64encode(asked.body).decode(),
        "message_id": asked.message_id,
        "client": asked.client,
        "hops": asked.hops,
        "correlation_id": asked.correlation_id,
        "key": asked.key,
        "ttl": asked.ttl,
        "status": asked.status,
        "answer_headers": asked.answer_headers,
        "answer_body": None if asked.answer_body is None else b64encode(asked.answer_body).decode(),
    }


def _settle(futures: Sequence[asyncio.Future[Outcome]], outcomes: Sequence[Outcome]) -> None:
    for future, outcome in zip(futures, outcomes, strict=True):
        if not future.done():
            future.set_result(outcome)
