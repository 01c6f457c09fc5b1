"""One try: render, sign, send, and say what it means."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from server.events import hops, loops
from server.integrations.breakers import Ticket
from server.integrations.gates import Wait
from server.kernel.errors import CrossdockError, Postponed, Unavailable
from server.kernel.ids import new_uuid
from server.kernel.retryable import answered
from server.telemetry.redaction import HIDDEN
from server.transport.aio import Request
from server.transport.redaction import hide, hide_bytes, redact_headers
from server.webhooks import identifying, outcomes, recording
from server.webhooks.queries import Attempt, Outcome
from server.webhooks.rendering import Rendered, Skipped, render

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from server.integrations.gates import Gate
    from server.kernel.clock import Clock
    from server.kernel.errors import Failure
    from server.transport.aio import Answer, AsyncSender
    from server.webhooks.job import Job
    from server.webhooks.targets import Target

AGENT = "Crossdock/1"
_USUAL = {"Content-Type": "application/json"}
_NONE: Mapping[str, str] = {}


class Sending:
    """Makes tries over the guarded transport."""

    def __init__(self, sender: AsyncSender, clock: Clock, gate: Gate) -> None:
        self.sender = sender
        self.clock = clock
        self.gate = gate

    async def attempt(self, job: Job, target: Target) -> Outcome:
        """Try one delivery. Faults of the map, the network and the receiver are outcomes, not exceptions."""
        try:
            rendered = render(target.webhook, job.event, target.base_path, job.ladder)
        except CrossdockError as error:
            return recording.dead(job, "mapping", error.failure)
        if isinstance(rendered, Skipped):
            return recording.skipped(job, rendered.reason)
        try:
            identity = await identifying.identity_of(target)
        except Postponed as error:  # before anything was sent: no attempt, like an open breaker
            at = self.clock.now() + timedelta(seconds=error.after or 1.0)
            return recording.postponed(job, at, "auth", error.failure)
        if target.link is None:
            return await self._send(job, target, rendered, identity)
        ticket = Ticket(target.webhook.timeout)
        try:
            clear = self.gate.clear(target.link)
            wait = None if clear else await asyncio.to_thread(self.gate.wait, target.link, ticket)
        except Unavailable as away:  # nobody knows whether it may go: it waits, and no attempt is burned
            wait = Wait(away.after or 1.0, "database")
        if wait is not None:
            return recording.postponed(job, self.clock.now() + timedelta(seconds=wait.seconds), wait.reason)
        works: bool | None = None
        try:
            outcome = await self._send(job, target, rendered, identity)
            works = _works(outcome)
        finally:  # however it ended: its place, or its being the probe, is given back
            if not (works and self.gate.clear(target.link)):
                await asyncio.to_thread(partial(self.gate.record, target.link, ticket, succeeded=works))
        return outcome

    async def _send(self, job: Job, target: Target, rendered: Rendered, identity: Mapping[str, str]) -> Outcome:
        started = self.clock.now()
        seconds = int(started.timestamp())
        message = {"webhook-id": job.row.message_id, "webhook-timestamp": str(seconds)}
        message |= hops.headers_of(job.event, job.claim.ref)
        own = {"User-Agent": AGENT, **target.headers, **rendered.headers, **message}
        sign = partial(_signature, target, job.row.message_id, seconds, rendered.body)
        headers = identifying.over(own, identity)
        signature = sign(headers)
        shown = {"User-Agent": AGENT, **target.shown_headers, **_shown(rendered.headers, target), **message}
        shown |= dict.fromkeys((*identity, *signature), HIDDEN)
        url, timeout = _url(target, rendered.path), target.webhook.timeout
        tls = target.auth.tls if target.auth is not None else None
        request = Request(rendered.method, url, {**headers, **signature}, rendered.body, timeout, tls)

        def anew(renewed: Mapping[str, str]) -> dict[str, str]:
            headers = identifying.over(own, renewed)
            return {**headers, **sign(headers)}

        try:
            answer = await identifying.send(self.sender, request, target, identity, anew)
        except CrossdockError as error:
            outcome = "timeout" if "TIME" in error.code else ("failure" if error.retryable else "refused")
            tried = self._attempt(job, target, shown, started, outcome, None, error.failure)
            return recording.failed(
                job,
                error.failure,
                self.clock.now(),
                tried,
                None,
                target.webhook.retry,
                random.random(),  # noqa: S311
            )
        return self._judge(job, target, shown, started, answer)

    def _judge(self, job: Job, target: Target, headers: dict[str, str], started: datetime, answer: Answer) -> Outcome:
        verdict = outcomes.verdict(answer.status)
        if verdict == "delivered":
            return recording.delivered(job, self._attempt(job, target, headers, started, "success", answer))
        failure = outcomes.status_failure(answer.status)
        tried = self._attempt(job, target, headers, started, "failure", answer, failure)
        if verdict == "loop":
            came_back = loops.trail_of(job.event.extensions).came_back(f"webhook/{job.row.webhook_name}")
            return recording.dead(job, loops.REASON, came_back, tried)
        now = self.clock.now()
        if verdict == "retry":
            pause = outcomes.retry_after(answer.status, answer.headers.get("Retry-After"), now)
            seconds = pause.total_seconds() if pause else None
            return recording.failed(job, failure, now, tried, seconds, target.webhook.retry, random.random())  # noqa: S311
        return recording.dead(job, "gone" if verdict == "gone" else "refused", failure, tried)

    def _attempt(
        self,
        job: Job,
        target: Target,
        headers: dict[str, str],
        started: datetime,
        outcome: str,
        answer: Answer | None,
        failure: Failure | None = None,
    ) -> Attempt:
        return Attempt(
            id=new_uuid(),
            no=job.row.attempts + 1,
            started_at=started,
            outcome=outcome,
            status=answer.status if answer else None,
            request_headers=headers,
            response_headers=hide(redact_headers(answer.headers), target.hidden) if answer else None,
            response_body=hide_bytes(answer.body, target.hidden) if answer else None,
            error=failure,
            timings=dict(answer.timings) if answer else {},
            definition_version=target.definition_version,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self.sender.close()


def _works(outcome: Outcome) -> bool | None:
    """Say what a try tells of the other system, whatever becomes of the delivery: see `answered`."""
    failure = outcome.attempt.error if outcome.attempt is not None else None
    return True if failure is None else answered(failure)


def _signature(
    target: Target, message_id: str, seconds: int, body: bytes, headers: Mapping[str, str]
) -> Mapping[str, str]:
    """Sign a request with all its headers: what shows who we are may be signed, too."""
    return _NONE if target.signer is None else target.signer.headers(message_id, seconds, body, headers)


def _shown(headers: dict[str, str], target: Target) -> Mapping[str, str]:
    """Return a request's own headers as attempts show them; most have nothing but their type."""
    if headers == _USUAL:
        return _usual_shown(target.secrets)
    shown: dict[str, str] = hide(redact_headers(headers), target.secrets)
    return shown


@lru_cache(maxsize=16_384)
def _usual_shown(secrets: tuple[str, ...]) -> Mapping[str, str]:
    shown: dict[str, str] = hide(redact_headers(_USUAL), secrets)
    return shown


def _url(target: Target, path: str) -> str:
    """Put the URL together; the query of the address comes after what the path brings of its own."""
    if not target.query:
        return target.origin + path
    return f"{target.origin}{path}{'&' if '?' in path else '?'}{target.query}"
