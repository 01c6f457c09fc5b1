"""What is worth another try: the one table, for deliveries, plugin calls and everything that comes later.

Whoever meets a failure of another system raises the class that stands here for it; a test holds every sender to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.kernel.errors import Failure

RETRYABLE_STATUS = frozenset({408, 425, 429, *range(500, 600)} - {508})
"""Answers that may be others next time; 508, a loop, is not one. Every other answer than 2xx would be the same again; redirects
are never followed."""


@dataclass(frozen=True, slots=True)
class FailureKind:
    """One way in which work fails: the codes that it has, and whether it is worth another try."""

    name: str
    codes: tuple[str, ...]
    retryable: bool


_AGAIN = {
    "network": ("DNS_FAILED", "CONNECT_FAILED", "TLS_FAILED", "PROXY_FAILED", "ANSWER_BROKEN"),
    "time-out": ("TIMEOUT",),
    "429": ("UPSTREAM_LIMITED", "HTTP_STATUS"),
    "5xx, 408, 425": ("UPSTREAM_FAILED", "HTTP_STATUS"),
    "not now": ("CIRCUIT_OPEN", "THROTTLED", "CONCURRENCY", "PLUGIN_BUSY", "CALL_IN_PROGRESS"),
}
_NEVER = {
    "any other answer": ("UPSTREAM_FORBIDDEN", "UPSTREAM_NOT_FOUND", "UPSTREAM_REFUSED", "HTTP_STATUS"),
    "schema": ("INPUT_INVALID", "OUTPUT_INVALID"),
    "mapping": ("EXPR_TYPE", "EXPR_VALUE", "EXPR_MISSING", "EXPR_BUDGET", "RENDERED_REFUSED"),
    "refused by us": ("URL_REFUSED", "ADDRESS_REFUSED", "REQUEST_REFUSED", "ANSWER_TOO_LARGE"),
    "a fault of the plugin": ("PLUGIN_BROKEN",),
    "a key of another call": ("CALL_KEY_REUSED",),
}
FAILURE_KINDS = (
    *(FailureKind(name, codes, retryable=True) for name, codes in _AGAIN.items()),
    *(FailureKind(name, codes, retryable=False) for name, codes in _NEVER.items()),
)

_UNASKED = {
    "refused by us": ("URL_REFUSED", "ADDRESS_REFUSED", "REQUEST_REFUSED", "HEADER_UNSIGNED", "INPUT_INVALID"),
    "a place of databases or files refused by us": (
        *("DATABASE_URL_REFUSED", "DATABASE_DRIVER_MISSING", "FILES_URL_REFUSED", "FILE_REFUSED"),
    ),
    "not offered by the plugin": (
        *("NOT_SUPPORTED_HERE", "ATOMIC_NOT_OFFERED", "SOURCE_CANNOT", "TARGET_CANNOT", "END_MISSING", "NOT_HERE"),
    ),
    # Whoever issues tokens is another system, with a pause of its own after failures.
    "who we are": ("AUTH_KEY_INVALID", "TOKEN_REFUSED", "TOKEN_UNAVAILABLE"),
    "a fault of ours": ("PLUGIN_BROKEN", "DATABASE_AWAY", "SECRET_UNREADABLE"),
}
UNASKED = frozenset(name for names in _UNASKED.values() for name in names)
"""Failures that say nothing of the other system: it was not asked, or the fault is ours. No breaker counts them."""


def answered(failure: Failure) -> bool | None:
    """Say what a failure tells of the other system: that it answered, that it did not as it should, or nothing (None)."""
    return None if failure.code in UNASKED else not failure.retryable
