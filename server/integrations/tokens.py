"""Tokens of OAuth 2.0: asked for once, shared by all processes, renewed before they end.

A process keeps a token in memory until its leeway begins (a tenth of its life, 60 s at most), and only then looks at the row
that all share. Of those who look, one asks; while the older token holds, the others go on with it. A failure is shared, too, with
its pause: 1 s, 2 s, 4 s, … 60 s.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from server.integrations.token_requests import unavailable
from server.kernel.errors import CrossdockError, Postponed, Retryable

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from server.integrations.session_requests import SessionRequest
    from server.integrations.token_requests import TokenRequest
    from server.integrations.token_rows import Seen, TokenRow

PATIENCE = 12.0  # seconds to wait for whoever asks
LEEWAY = 60.0
_LEEWAY_SHARE = 0.1
_LONGEST_AFTER = 300.0
_POLL = 0.1
_SHORTEST = 0.2


@dataclass(frozen=True, slots=True)
class _Failed:
    """What a failed request left to all: an error of its own for each who comes before the pause is over."""

    until: float
    told: dict[str, Any]

    def error(self, after: float) -> CrossdockError:
        kind = Postponed if self.told["postponed"] else Retryable
        return kind(
            self.told["message"], code=self.told["code"], source="auth", after=after, **self.told.get("details", {})
        )


class TokenSource:
    """The token of one declaration in this process; threads share it, and one of them at a time looks for a new one."""

    def __init__(
        self, row: TokenRow, request: TokenRequest | SessionRequest, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._row = row
        self._request = request
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._fresh_until = 0.0
        self._failed: _Failed | None = None
        self.known: tuple[str, ...] = ()
        """The tokens used last, newest first: what an echo may hold."""

    def ready(self) -> str | None:
        """Return the token while it is fresh; never blocks."""
        return self.known[0] if self.known and self._monotonic() < self._fresh_until else None

    def obtain(self, refused: str | None = None) -> str | None:
        """Return a token; after a 401 for `refused` another one, or None when there is none to be had. May block.

        Raises:
            Postponed: TOKEN_UNAVAILABLE.
            Retryable: TOKEN_REFUSED.
            Permanent: the URL or its address must not be reached.
            Unavailable: the database is away.

        """
        if not self._lock.acquire(timeout=PATIENCE):
            raise unavailable("no token yet: somebody asks for it", "TIMEOUT", 1.0)
        try:
            found = self.ready()
            if found is not None and found != refused:
                return found
            left = self._failed.until - self._monotonic() if self._failed else 0.0
            if self._failed is not None and left > 0:
                raise self._failed.error(left)
            return self._look(refused)
        finally:
            self._lock.release()

    def _look(self, refused: str | None) -> str | None:
        until, stuck = self._monotonic() + PATIENCE, -1
        while True:
            seen = self._row.look()
            good = seen.token is not None and seen.token != refused and seen.left > _leeway(seen) / 4
            if good and seen.left > _leeway(seen):
                return self._keep(seen)
            if seen.failure is not None and not good:
                raise self._fail(seen.failure, seen.pause)
            lease = self._row.lease(seen.generation, forced=refused is not None)
            if lease is not None:
                return self._ask(lease, seen, refused, usable=good)
            if good:  # somebody asks already, or all wait after a failure: this one still holds
                return self._keep(seen, seen.pause)
            if refused is not None and seen.token == refused and not seen.busy and stuck == seen.generation:
                return None  # a 401 made somebody ask a moment ago, and the answer to it is refused again
            stuck = seen.generation
            if self._monotonic() > until:
                raise unavailable("no token yet: another process asks for it", "TIMEOUT", 1.0)
            time.sleep(_POLL)

    def _ask(self, lease: UUID, seen: Seen, refused: str | None, *, usable: bool) -> str | None:
        """Ask for a token as the one who holds the lease, with no transaction open."""
        forced, began = refused is not None, self._monotonic()
        try:
            token, seconds = self._request.ask()
        except (Postponed, Retryable) as error:
            told = {"code": error.code, "message": error.message, "details": error.details} | {
                "postponed": isinstance(error, Postponed)
            }
            after = min(error.after or 0.0, _LONGEST_AFTER)
            pause = self._row.failed(lease, orjson.dumps(told).decode(), after, forced=forced)
            if usable:
                return self._keep(seen, pause)
            raise self._fail(told, pause) from error
        except BaseException:  # whatever else it is, nobody need wait for the lease to end; it goes on up
            self._row.free(lease)
            raise
        took = self._monotonic() - began
        if not self._row.store(lease, seen.generation, token, seconds, took, forced=forced):
            return self._look(refused)  # it took so long that another has asked meanwhile
        return self._use(token, seconds - took, seconds)

    def _keep(self, seen: Seen, pause: float = 0.0) -> str:
        """Use a token of the row; within its leeway look again soon, since somebody is about to renew it."""
        return self._use(str(seen.token), seen.left, seen.lifetime, pause)

    def _use(self, token: str, left: float, lifetime: float, pause: float = 0.0) -> str:
        leeway = leeway_of(lifetime)
        fresh = left - leeway if left > leeway else min(max(pause, _SHORTEST), left - leeway / 4)
        self._failed = None
        self._fresh_until = self._monotonic() + fresh
        self.known = (token, *(each for each in self.known if each != token))[:2]
        return token

    def _fail(self, told: dict[str, Any], pause: float) -> CrossdockError:
        self._failed = _Failed(self._monotonic() + pause, told)
        return self._failed.error(pause)


def leeway_of(lifetime: float) -> float:
    """Return how many seconds before its end a token is renewed."""
    return min(LEEWAY, lifetime * _LEEWAY_SHARE)


def _leeway(seen: Seen) -> float:
    return leeway_of(seen.lifetime)
