"""Receives requests: everything between the head of a request and its answer, on the event loop, without waiting in it.

    size ▸ endpoint ▸ hops ▸ networks ▸ rate ▸ body ▸ verify on raw bytes ▸ handshake ▸ unpack ▸ parse ▸ dedupe key ▸ STORE ▸ answer

What takes a thread (rates in Redis, schemes that fetch, reading endpoints anew) gets one; what is stored waits for its batch.
Refusals and rows rest on endpoints in memory: nobody is refused by what is older than the request, and what the storing statement
found verified by what is old is looked at again.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import time
from typing import TYPE_CHECKING, Protocol, TypeVar, TypeVarTuple, Unpack

import structlog

from server.events import hops
from server.kernel.errors import (
    CrossdockError,
    Invalid,
    Malformed,
    NotAllowed,
    NotFound,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
    Unsupported,
    code,
)
from server.queue.claims import Claim
from server.telemetry import logs
from server.webhooks.inbound import answers, metrics
from server.webhooks.inbound.arriving import address_of, admit, arrived_of, within
from server.webhooks.inbound.storing import FIRST_EPOCH, Outdated
from server.webhooks.inbound.taking import Taken, taken
from server.webhooks.verifiers.reading import refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from uuid import UUID

    from server.integrations.policies import RateFigures
    from server.kernel.clock import Clock
    from server.store import Scope
    from server.web.direct import Read
    from server.webhooks.inbound.answering import Made
    from server.webhooks.inbound.answers import Answer
    from server.webhooks.inbound.arrived import Arrived, Reply, Verified
    from server.webhooks.inbound.arriving import Head
    from server.webhooks.inbound.directory import Directory, Table
    from server.webhooks.inbound.routes import Endpoint
    from server.webhooks.inbound.storing import Asked, Outcome, Stored, Storer

log = structlog.get_logger("crossdock.inbound")
_Made = TypeVar("_Made")
_Values = TypeVarTuple("_Values")
INBOUND_IN_FLIGHT = code(
    "INBOUND_IN_FLIGHT", "A request with the same dedupe key is being mapped; its answer will be this one's."
)
NO_VERIFIER = code(
    "NO_VERIFIER", "The endpoint cannot verify senders now: a secret of its definition is missing or of no use."
)
LARGE = 32 * 1024
"""Bodies of more bytes are verified and read in a thread: reading a megabyte of JSON takes more than 10 ms."""
_ROUNDS = 4
_RETRY_SECONDS = 1.0
_DUMMY = os.urandom(32)


class NoVerifier(Unavailable):
    """Nobody can be known now; who comes again may be."""

    default_code = NO_VERIFIER


_LOOKED_AT_AGAIN = (NotFound, NotAllowed, Unauthenticated, Unsupported, NoVerifier, TooLarge, Malformed, Invalid)


class Limiter(Protocol):
    """Keeps the rates of endpoints."""

    def wait(self, workspace_id: int, owner_id: UUID, figures: RateFigures) -> float | None:
        """Take one token; return None when there was one, else the seconds to wait. May ask Redis."""
        ...


class MapNow(Protocol):
    """Maps a request that was just stored under a claim, publishes, and keeps what it is answered with its dedupe key."""

    def __call__(self, scope: Scope, claim: Claim) -> Made:
        """Return the answer.

        Raises:
            Unavailable: not now; a worker will, and the key's next request gets the answer.

        """
        ...


class Receiver:
    """Receives the requests of one process, on one event loop. `map_now` maps synchronous ones, in a thread.

    `verifying` has the threads of schemes that may wait for other hosts: those must not hold up what everybody needs.
    """

    def __init__(
        self,
        directory: Directory,
        storer: Storer,
        limiter: Limiter,
        clock: Clock,
        executor: Executor,
        body_limit: int,
        map_now: MapNow | None = None,
        verifying: Executor | None = None,
    ) -> None:
        self.directory = directory
        self.storer = storer
        self.body_limit = body_limit
        self._limiter = limiter
        self._clock = clock
        self._executor = executor
        self._map_now = map_now
        self._verifying = verifying or executor
        self._lines = logs.Bound()

    async def receive(self, head: Head, read: Read) -> Answer:
        """Return the answer to a request; `read` reads its body."""
        visit = _Visit(head, read)
        try:
            answer = await self._received(visit)
        except CrossdockError as error:
            endpoint = visit.endpoint
            request_id = answers.new_id()
            self._say(visit, error, request_id)
            answer = answers.of_error(error, request_id, endpoint.challenge if endpoint is not None else "Signature")
        known = visit.endpoint
        workspace = "/".join(head.names) if known is not None else ""
        metrics.received(workspace, known.webhook.name if known is not None else "", answer.outcome)
        return answer

    async def _received(self, visit: _Visit) -> Answer:
        admit(visit.head)
        since = self.directory.now()
        table = await self.directory.of(visit.head.names)
        for _ in range(_ROUNDS):
            try:
                outcome = await self._examined(table, visit)
            except _LOOKED_AT_AGAIN:
                newer = await self.directory.newer(table, since)
                if newer is None or visit.spent:
                    raise
                table = newer
                continue
            if not isinstance(outcome, Outdated):
                return outcome
            table = await self.directory.again(table)
        raise Unavailable("the workspace's definitions change just now", source="inbound", after=_RETRY_SECONDS)

    async def _examined(self, table: Table, visit: _Visit) -> Answer | Outdated:
        """Take a request by one table: answer it, or find the table old."""
        head = visit.head
        visit.endpoint = None
        try:
            endpoint, params = table.routes.find(head.method, head.path)
        except NotFound:
            body = await visit.read(self.body_limit)
            hmac.digest(_DUMMY, body, "sha256")  # as much work as a signature that does not fit
            raise
        visit.endpoint = endpoint
        hop = hops.hop_of(head.headers)
        hops.refuse(hop)
        _admit_network(endpoint, head)
        await self._admit_rate(table, endpoint, visit)
        if endpoint.verifier is None:
            raise NoVerifier("the endpoint cannot verify senders now", source="inbound", after=60)
        limit = min(endpoint.webhook.max_body, self.body_limit)
        arrived = arrived_of(head, await visit.read(limit))
        verified = await self._verified(endpoint, arrived)
        if not isinstance(verified, _Proof):
            return answers.of_handshake(verified)
        request = Taken(arrived, params, verified.of, hop, self._clock.now())
        if len(arrived.body) > LARGE or "content-encoding" in head.headers:
            asked = await self._aside(taken, table, endpoint, request, limit)
        else:
            asked = taken(table, endpoint, request, limit)
        outcome = await self.storer.put(asked)
        return await self._answered(table, endpoint, asked, outcome)

    async def _verified(self, endpoint: Endpoint, arrived: Arrived) -> _Proof | Reply:
        """Return who sent it, or the answer to a handshake.

        Raises:
            Unauthenticated: nobody that the scheme knows.

        """
        if endpoint.blocks:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._verifying, _verify, endpoint, arrived, time.time())
        if len(arrived.body) > LARGE:
            return await self._aside(_verify, endpoint, arrived, time.time())
        return _verify(endpoint, arrived, time.time())

    async def _aside(self, work: Callable[[Unpack[_Values]], _Made], *values: *_Values) -> _Made:
        """Do in a thread what takes long, or waits."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *values)

    async def _admit_rate(self, table: Table, endpoint: Endpoint, visit: _Visit) -> None:
        rate = endpoint.webhook.rate
        if rate is None or visit.admitted == endpoint.webhook_id or table.scope is None:
            return
        wait = await self._aside(self._limiter.wait, table.scope.workspace_id, endpoint.webhook_id, rate)
        if wait is not None:
            raise TooMany("requests come faster than the endpoint takes them", source="inbound", after=wait)
        visit.admitted = endpoint.webhook_id

    async def _answered(self, table: Table, endpoint: Endpoint, asked: Asked, outcome: Outcome) -> Answer | Outdated:
        if isinstance(outcome, CrossdockError):
            raise outcome
        if isinstance(outcome, Outdated):
            return outcome
        if not endpoint.webhook.sync:
            return answers.of_stored(outcome, endpoint.webhook.answer)
        if outcome.duplicate:
            if outcome.status is None:
                message = "the same request is being mapped"
                raise Unavailable(message, code=INBOUND_IN_FLIGHT, source="inbound", after=_RETRY_SECONDS)
            return answers.of_stored(outcome, endpoint.webhook.answer)
        return await self._mapped(table, endpoint, asked, outcome)

    async def _mapped(self, table: Table, endpoint: Endpoint, asked: Asked, stored: Stored) -> Answer:
        """Map a synchronous request that was stored under our claim; one that is held is answered as if it were not."""
        if self._map_now is None or table.scope is None or not asked.sync:
            return answers.of_definition(stored.first, endpoint.webhook.answer, "stored")
        claim = Claim(stored.first, table.scope.workspace_id, endpoint.webhook_id, FIRST_EPOCH, 1)
        made = await self._aside(self._map_now, table.scope, claim)
        return answers.of_made(stored.first, made)

    def _say(self, visit: _Visit, error: CrossdockError, request_id: str) -> None:
        """Tell our log why a request was refused; the sender is not told."""
        if self._lines.admits():
            log.info(
                "a request was refused",
                request_id=request_id,
                workspace="/".join(visit.head.names)[:128],
                webhook=visit.endpoint.webhook.name if visit.endpoint is not None else None,
                code=error.code,
                reason=error.details.get("reason", error.message),
                client=visit.head.client,
            )


class _Visit:
    """One request while it is received: its body is read once, its token taken once, however often it is looked at.

    `spent`: a part of its body was read and is gone, so it cannot be looked at again.
    """

    __slots__ = ("_body", "_read", "admitted", "endpoint", "head", "spent")

    def __init__(self, head: Head, read: Read) -> None:
        self.head = head
        self.endpoint: Endpoint | None = None
        self.admitted: UUID | None = None
        self.spent = False
        self._read = read
        self._body: bytes | None = None

    async def read(self, limit: int) -> bytes:
        """Return the body.

        Raises:
            TooLarge: more than `limit` bytes.

        """
        if self._body is None:
            try:
                self._body = await self._read(limit)
            except TooLarge:
                self.spent = "content-length" not in self.head.headers
                raise
        if len(self._body) > limit:  # it was read when its endpoint was not known yet
            raise TooLarge("the body is too large", source="inbound", limit=limit)
        return self._body


class _Proof:
    """Somebody known sent it."""

    __slots__ = ("of",)

    def __init__(self, of: Verified) -> None:
        self.of = of


def _verify(endpoint: Endpoint, arrived: Arrived, now: float) -> _Proof | Reply:
    verifier = endpoint.verifier
    if verifier is None:
        raise refused("no verifier")
    if arrived.method not in endpoint.webhook.methods:
        reply = verifier.handshake(arrived)
        if reply is None:
            methods = sorted(endpoint.webhook.methods)
            raise NotAllowed(f"this endpoint takes {', '.join(methods)}", source="inbound", allowed=methods)
        return reply
    verified = verifier.verify(arrived, now)
    return verifier.handshake(arrived) or _Proof(verified)


def _admit_network(endpoint: Endpoint, head: Head) -> None:
    networks = endpoint.webhook.networks
    if networks:
        address = address_of(head.client)
        if address is None or not within(address, networks):
            raise refused("network")
