"""What holds whatever the scheme: the CloudEvents handshake."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from server.webhooks.inbound.arrived import Reply
from server.webhooks.verifiers.reading import header, refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server.webhooks.inbound.arrived import Arrived, Verified
    from server.webhooks.verifiers.scheme import Verify

_ORIGIN = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*(?::[0-9]{1,5})?")
_RATE = re.compile(r"[1-9][0-9]{0,8}")
ASKING = "OPTIONS"


def cloudevents(request: Arrived, origins: Sequence[str] = (), rate: int | None = None) -> Reply | None:
    """Return the answer to a validation request of a CloudEvents sender (HTTP 1.1 Web Hooks, section 4), else None.

    `origins` are those that may send, all where there is none; `rate` is how many requests a minute we take.

    Raises:
        Unauthenticated: SIGNATURE_REFUSED: the origin is malformed or none of those.

    """
    if request.method != ASKING or "webhook-request-origin" not in request.headers:
        return None
    origin = header(request, "webhook-request-origin")
    if not _ORIGIN.fullmatch(origin) or (origins and origin.lower() not in origins):
        raise refused("origin")
    asked = header(request, "webhook-request-rate")
    wanted = int(asked) if _RATE.fullmatch(asked) else None
    allowed = min((each for each in (rate, wanted) if each is not None), default=None)
    headers = {"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*" if allowed is None else str(allowed)}
    return Reply(200, headers=headers)


class Endpoint:
    """A scheme's verifier, with what holds whatever the scheme."""

    __slots__ = ("_inner", "_origins", "_rate")

    def __init__(self, inner: Verify, origins: Sequence[str], rate: int | None) -> None:
        self._inner = inner
        self._origins = tuple(origins)
        self._rate = rate

    def verify(self, request: Arrived, now: float) -> Verified:
        """See `Verify`."""
        return self._inner.verify(request, now)

    def handshake(self, request: Arrived) -> Reply | None:
        """See `Verify`."""
        return cloudevents(request, self._origins, self._rate) or self._inner.handshake(request)
