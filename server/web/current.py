"""What is known of the request at hand: its ids, who asks, and the cause that its changes carry."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flask import current_app, g, request

from server.kernel.errors import Unauthenticated
from server.kernel.ids import new_uuid, show
from server.store import Cause

if TYPE_CHECKING:
    from server.store import Scope
    from server.web.frame import Frame
    from server.web.idempotency import Claim
    from server.web.principals import Principal

_CORRELATION = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


@dataclass(slots=True)
class Current:
    """One request from its first hook to its last."""

    request_id: str
    correlation_id: str
    started: float = field(default_factory=time.perf_counter)
    principal: Principal | None = None
    claim: Claim | None = None


def begin() -> Current:
    """Start the record of this request."""
    now = g.crossdock = made(request.headers.get("X-Correlation-ID", ""), request.headers.get("traceparent", ""))
    return now


def made(correlation: str, traceparent: str) -> Current:
    """Make the record of a request: a new request id, and the caller's correlation id if it is well-formed."""
    identity = new_uuid()
    given = correlation if _CORRELATION.fullmatch(correlation) else None
    if given is None and (trace := _TRACEPARENT.fullmatch(traceparent.strip())):
        given = trace[1]
    return Current(show("req", identity), given or show("cor", identity))


def known() -> Current | None:
    """Return the record of this request, or None before its first hook and outside of any."""
    return g.get("crossdock") if g else None


def current() -> Current:
    """Return the record of this request."""
    found: Current = g.crossdock
    return found


def frame() -> Frame:
    """Return what the application was built from."""
    found: Frame = current_app.extensions["crossdock"]
    return found


def principal() -> Principal:
    """Return who asks.

    Raises:
        Unauthenticated: the route is public and nobody was asked for.

    """
    found = current().principal
    if found is None:
        raise Unauthenticated("this needs a token", source="access")
    return found


def scope() -> Scope:
    """Return the tenant of whoever asks."""
    return principal().scope


def cause() -> Cause:
    """Return the cause that changes made by this request carry."""
    now = current()
    return Cause(principal().id, now.correlation_id)
