"""The quick way to publish: a request of the usual form is answered on the event loop, without the application and its threads.

It takes what is plain in every respect: our JSON in a small body, a token that was somebody's lately, no key, no hop, no encoding.
All else, whatever is wrong with it, is handed over before anything was done, so that it is refused by the application alone. What
was stored or may have been stored is answered here: handed over, it would be published twice.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from server.events import intake
from server.events.taking import METHOD, PATH, PERMISSION, STATUS, shown_of
from server.events.together import LARGE, LEADERS, Offer, too_slow
from server.kernel.errors import CrossdockError, Unavailable
from server.store import Cause
from server.store.values import write_json
from server.telemetry import traces
from server.web import guard, problems
from server.web.current import made
from server.web.direct import Plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from server.events.intake import Intake
    from server.events.together import Lead, Together
    from server.web.current import Current
    from server.web.frame import Served
    from server.web.principals import Principal

MOST_BYTES = 16 * 1024
"""Of a body: more takes long to read for a loop that others wait for."""
LOOKS = 4
"""Looks at tokens under way at once, of the thousands that may be in use."""
MOST_WAITING = 1024
"""Requests that wait for their turn; more go to the application, which answers that they are too many."""
_TYPES = frozenset((intake.JSON, f"{intake.JSON}; charset=utf-8", f"{intake.JSON};charset=utf-8"))
_ASKED = frozenset(("authorization", "content-length", "content-type", "host", "traceparent", "x-correlation-id"))
_STRANGE = frozenset(("content-encoding", "idempotency-key", "transfer-encoding"))
_PREFIXES = ("ce-", "crossdock-")
_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?")
_TRACED = {"http.request.method": METHOD, "url.path": PATH}


class Recall(Protocol):
    """What `access` implements: who presents a token, asked without waiting in a thread."""

    def known(self, credential: str | None) -> Principal | None:
        """Return who, if that was looked up just now."""
        ...

    async def again(self, credential: str | None, executor: Executor) -> Principal | None:
        """Look once more for one that was somebody's lately; None for all others."""
        ...


class PublishDoor:
    """Implements `web.direct.Door`."""

    def __init__(
        self,
        together: Together,
        tokens: Recall,
        observers: Sequence[Callable[[Served], None]] = (),
    ) -> None:
        self._together = together
        self._tokens = tokens
        self._observers = observers
        self._waiting: dict[Offer[bytes], asyncio.Future[None]] = {}
        self._done: deque[Offer[bytes]] = deque()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin, inside the process that serves."""
        self._loop = loop
        self._woken = False
        self._threads = ThreadPoolExecutor(LEADERS, "publish")
        self._looking = ThreadPoolExecutor(LOOKS, "publish-token")

    def takes(self, scope: Any) -> bool:
        """Say whether it is a request to publish."""
        return bool(scope.path == PATH and scope.proto == "http" and scope.method == METHOD)

    async def answer(self, scope: Any, body: bytes) -> Plain | None:
        """Publish what a plain request brings."""
        headers = None if scope.query_string else plain_headers(scope.headers, body)
        if headers is None or len(self._waiting) >= MOST_WAITING:
            return None
        token = guard.token_of(headers.get("authorization"))
        who = self._tokens.known(token) or await self._tokens.again(token, self._looking)
        if who is None:
            return None
        now = made(headers.get("x-correlation-id", ""), headers.get("traceparent", ""))
        now.principal = who
        try:
            who.must(PERMISSION)
            taken = intake.read(intake.JSON, {}, body)
        except CrossdockError:
            return None
        if len(taken.events) > LARGE:
            return None
        with traces.span(f"HTTP {METHOD}", traces.read_traceparent(headers), **_TRACED):
            answer = await self._published(now, who, taken)
        return answer and self._finished(now, who, answer)

    async def _published(self, now: Current, who: Principal, taken: Intake) -> Plain | None:
        """Wait until all of it is stored; None where nothing was."""
        offer = Offer(
            cause=Cause(who.id, now.correlation_id),
            news=taken.events,
            show=lambda published: write_json(shown_of(taken, published)).encode(),
            submit=partial(self._submit, now, who),
            told=self._told,
        )
        future = self._waiting[offer] = self._loop.create_future()
        try:
            self._together.offer(who.scope, offer)
            async with asyncio.timeout(self._together.wait_seconds):
                await future
        except TimeoutError:
            self._together.withdraw(who.scope, offer)
            return _refused(too_slow(), now)
        finally:
            del self._waiting[offer]
        if offer.error is None:
            content = offer.made[0]
            return Plain(STATUS, [("content-type", intake.JSON), ("content-length", str(len(content)))], content)
        return _refused(offer.error, now) if isinstance(offer.error, Unavailable) else None

    def _submit(self, now: Current, who: Principal, work: Lead) -> None:
        """Let a thread lead, whose log says for whom first of all."""
        context = copy_context()
        context.run(structlog.contextvars.bind_contextvars, **_about(now, who))
        self._threads.submit(context.run, work)

    def _told(self, offer: Offer[bytes]) -> None:
        """Take note, in a thread, of what was done; the loop is woken once for all that is told before it looks."""
        self._done.append(offer)
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # the loop is closed: the process ends
                self._loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        self._woken = False
        while self._done:
            future = self._waiting.get(self._done.popleft())
            if future is not None and not future.done():
                future.set_result(None)

    def _finished(self, now: Current, who: Principal, answer: Plain) -> Plain:
        """Add what every answer has; the request's line is written once it is on its way."""
        self._loop.call_soon(self._report, now, answer.status, _about(now, who))
        added = guard.headers_of(now.request_id, now.correlation_id)
        return Plain(answer.status, [*answer.headers, *added], answer.body)

    def _report(self, now: Current, status: int, about: dict[str, str]) -> None:
        guard.report(now, METHOD, PATH, status, self._observers, **about)


def plain_headers(headers: Any, body: bytes) -> dict[str, str] | None:
    """Return those headers that matter, by their names in lower case, or None where one is not plain."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        if name in _ASKED:
            if name in found:
                return None
            found[name] = value
        elif name in _STRANGE or name.startswith(_PREFIXES):
            return None
    typed = found.get("content-type", "").lower() in _TYPES
    sized = 0 < len(body) <= MOST_BYTES and found.get("content-length") == str(len(body))
    return found if typed and sized and _plain_host(found.get("host", "")) else None


@lru_cache(256)
def _plain_host(host: str) -> bool:
    return _HOST.fullmatch(host) is not None


def _about(now: Current, who: Principal) -> dict[str, str]:
    """Return what the application binds to each line of a request."""
    return {
        "request_id": now.request_id,
        "correlation_id": now.correlation_id,
        "organization": who.organization,
        "workspace": who.workspace,
        "principal": who.id,
    }


def _refused(error: Unavailable, now: Current) -> Plain:
    response = problems.answer(error.failure, problems.status_of(error), after=error.after, of=now)
    return Plain(response.status_code, [(name.lower(), value) for name, value in response.headers], response.get_data())
